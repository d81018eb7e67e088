"""A first look at an input: all that is decided, and said, before the first network runs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import av

from dataset_tools.errors import VideoError
from dataset_tools.video.past_damage import DamageLog
from dataset_tools.video.pyav import PyavFrame, PyavReader, open_container
from vfidpa_model.interpolation.caveats import caveats
from vfidpa_model.interpolation.colours import FrameConverter, has_alpha
from vfidpa_model.interpolation.copying import Clock, clock_start
from vfidpa_model.interpolation.deinterlacing import deinterlaced
from vfidpa_model.interpolation.job import WITHOUT_CLOCK, Job
from vfidpa_model.interpolation.plan import LivePlan, Plan
from vfidpa_model.interpolation.preflight import check_clock
from vfidpa_model.interpolation.seeking import Entry
from vfidpa_model.interpolation.setup import plan_encoding
from vfidpa_model.interpolation.survey import Survey, survey
from vfidpa_model.interpolation.timeline import MAX_DENOMINATOR, Timeline
from vfidpa_model.interpolation.tracks import TrackPlan, plan_tracks
from vfidpa_model.interpolation.writer import Encoding


@dataclass(frozen=True)
class Work:
    """All that is decided before the first network runs; ``entry`` is where the input is begun."""

    job: Job
    timeline: Timeline
    plan: Plan
    clock: Clock
    tracks: list[TrackPlan]
    converter: FrameConverter
    encoding: Encoding
    entry: Entry | None = None


def look(
    job: Job, on_note: Callable[[str], None], *, on_frame: Callable[[PyavFrame], None] = lambda frame: None
) -> Work:
    """Decode an input once and find out what will come out of it, and what will not.

    Args:
        on_note: Told what the output will not have of the input, a sentence at a time.
        on_frame: Called with every frame; what it raises ends the look.

    Raises:
        VideoError: The input cannot be read, or the output cannot be written as asked.
    """
    log = DamageLog()
    # A line that is filled in rests on the picture before, too.
    entry = None if job.deinterlaces else job.input.entry(job.start)
    with job.input.open(log, entry) as reader:
        first = reader.peek()
        timeline = job.timeline or Timeline(fps=reader.usual_fps.limit_denominator(MAX_DENOMINATOR))
        converter, encoding = plan_encoding(job, timeline, reader, first, keeps_alpha=has_alpha(first.format))
        tracks, zero = _tracks(job, encoding)
        until = None if job.duration is None else (job.start or 0) + job.duration
        frames = shown_to(on_frame, frames_of(job, reader))
        origin = None if entry is None else entry.origin
        found = survey(reader, log, frames, damage=job.damage, max_gap=job.max_gap, until=until, origin=origin)
        if has_alpha(first.format) and not found.has_alpha:
            converter, encoding = plan_encoding(job, timeline, reader, first, keeps_alpha=False)
        for note in _notes(job, reader, first, encoding, tracks, keeps_alpha=found.has_alpha) + found.notes:
            on_note(note)
    plan, clock = _timed(job, found, zero, origin)
    if job.container in WITHOUT_CLOCK and timeline.fps is None and plan.is_uneven:
        on_note("the frame rate varies, which pictures and pipes cannot tell: give --fps for even steps")
    check_clock(plan, timeline, job)
    return Work(job, timeline, plan, clock, tracks, converter, encoding, entry)


def look_at_pipe(job: Job, reader: PyavReader, on_note: Callable[[str], None]) -> Work:
    """Return the same for an input that is read once: nothing is known of it but its first frame.

    Raises:
        VideoError: The output cannot be written as asked.
    """
    first = reader.peek()
    timeline = job.timeline or Timeline(fps=reader.usual_fps.limit_denominator(MAX_DENOMINATOR))
    keeps_alpha = has_alpha(first.format)
    converter, encoding = plan_encoding(job, timeline, reader, first, keeps_alpha=keeps_alpha)
    for note in _notes(job, reader, first, encoding, [], keeps_alpha=keeps_alpha):
        on_note(note)
    plan = LivePlan.regular(1 / reader.usual_fps * job.stretch, max_gap=job.max_gap)
    check_clock(plan, timeline, job)
    return Work(job, timeline, plan, Clock(), [], converter, encoding)


def frames_of(job: Job, reader: PyavReader) -> Iterator[PyavFrame]:
    """Return the frames of a reader of which none has been taken, deinterlaced if asked for."""
    if not job.deinterlaces:
        return reader.frames()
    like, time_base = reader.peek(), reader.stream.time_base
    return deinterlaced(reader.frames(), like=like, time_base=time_base)


def shown_to(on_frame: Callable[[PyavFrame], None], frames: Iterator[PyavFrame]) -> Iterator[PyavFrame]:
    """Yield the frames, each after ``on_frame`` has seen it."""
    for frame in frames:
        on_frame(frame)
        yield frame


def _tracks(job: Job, encoding: Encoding) -> tuple[list[TrackPlan], Fraction]:
    """Return what becomes of the other tracks, and when the input's clock starts."""
    if not job.input.has_tracks:
        return [], Fraction(0)
    with open_container(job.source) as original:
        if not job.has_tracks:
            return [], clock_start(original)
        tracks = plan_tracks(original, job.container, encoding, drop=job.drop, stretches=job.stretch != 1)
        return tracks, clock_start(original)


def _notes(
    job: Job,
    reader: PyavReader,
    first: av.VideoFrame,
    encoding: Encoding,
    tracks: list[TrackPlan],
    *,
    keeps_alpha: bool,
) -> list[str]:
    notes = caveats(reader, first, encoding, job.container, tracks=tracks, keeps_alpha=keeps_alpha)
    if first.interlaced_frame and not job.deinterlaces:
        notes.append("the video is interlaced and taken as it is: --deinterlace fills in the missing lines")
    return notes


def _timed(job: Job, found: Survey, zero: Fraction, origin: Fraction | None) -> tuple[Plan, Clock]:
    """Return the plan in the output's time, and how other times become the output's.

    Args:
        zero: When the input's clock starts.
        origin: When its first frame is shown; ``None`` for that of the plan.

    Raises:
        VideoError: No frame is in the part that is asked for.
    """
    plan, end = found.plan, None
    if job.duration is not None or job.start:
        zero = (plan.pts[0] if origin is None else origin) + (job.start or 0)
        try:
            plan = plan.part(zero, job.duration)
        except ValueError as error:
            raise VideoError(f"clip {job.source}: {error}; give another --start or --duration") from error
        end = (plan.end - zero) * job.stretch
    if job.duplicates == "smooth":
        plan = plan.smoothed()
    clock = Clock(zero, job.stretch, [shift for _, shift in found.seams], end)
    return replace(plan.mapped(clock.zero, clock.stretch), is_loop=job.is_loop), clock
