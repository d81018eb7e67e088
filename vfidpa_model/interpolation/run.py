"""One interpolation from the open input to the named output: decode, interpolate and encode at the same time.

Nothing appears under the output's name before it is whole. Until then its pieces lie in a hidden folder beside it,
which stays after a kill or an error: the same command goes on.
"""

import itertools
import operator
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import av
import av.error
import torch

from dataset_tools.common.device import select_device
from dataset_tools.common.progress import track
from dataset_tools.errors import VideoError
from dataset_tools.video.past_damage import DamageLog
from dataset_tools.video.pyav import PyavFrame, PyavReader, open_container
from vfidpa_model.interpolation.caveats import caveats
from vfidpa_model.interpolation.colours import FrameConverter, has_alpha
from vfidpa_model.interpolation.copying import Clock, clock_start
from vfidpa_model.interpolation.deinterlacing import deinterlaced
from vfidpa_model.interpolation.job import Job, Outcome, describe_routes
from vfidpa_model.interpolation.models import build_dynamic
from vfidpa_model.interpolation.plan import Plan
from vfidpa_model.interpolation.prefetch import running_ahead
from vfidpa_model.interpolation.preflight import check_clock, check_files
from vfidpa_model.interpolation.preview import PieceRecord, write_page
from vfidpa_model.interpolation.segments import join
from vfidpa_model.interpolation.setup import identity, plan_encoding
from vfidpa_model.interpolation.stream import PairDone, Shown, StreamInterpolator, read_source
from vfidpa_model.interpolation.survey import survey
from vfidpa_model.interpolation.timeline import MAX_DENOMINATOR, Timeline
from vfidpa_model.interpolation.tracks import TrackPlan, plan_tracks
from vfidpa_model.interpolation.work_folder import WorkFolder
from vfidpa_model.interpolation.writer import Encoding, write_piece
from vfidpa_model.routing.dynamic import DynamicInterpolator

PIECE_FRAMES = 48  # input frames per piece: what a kill loses at most; each piece starts with a keyframe
_READ_AHEAD, _WRITE_BEHIND = 4, 8  # frames in the queues: 4K RGB takes 25 MB a frame


@dataclass(frozen=True)
class _Work:
    """All that is decided before the first network runs."""

    job: Job
    timeline: Timeline
    plan: Plan
    clock: Clock
    tracks: list[TrackPlan]
    converter: FrameConverter
    encoding: Encoding


def run_job(
    job: Job,
    *,
    device: str = "auto",
    restart: bool = False,
    overwrite: bool = False,
    on_note: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Interpolate a file; finished pieces of an earlier run with the same job are taken over.

    Args:
        restart: Begin anew.
        on_note: Told what the output will not have of the input, a sentence at a time.

    Raises:
        VideoError: The input cannot be read, or the output cannot be written as asked.
        OSError: The disk is full. Finished pieces stay.
    """
    check_files(job, overwrite=overwrite)
    chosen = select_device(device)
    with WorkFolder(job.target) as folder:
        work = _look(job, on_note)
        dynamic = build_dynamic(job.routing, chosen)
        done = folder.prepare(identity(job, dynamic, piece_frames=PIECE_FRAMES), restart=restart)
        try:
            outcome = _process(work, dynamic, folder, done=done, device=chosen)
        except BaseException as error:
            if folder.count():
                on_note(f"{folder.count()} finished pieces stay in {folder.path}; the same command goes on with them")
            if isinstance(error, av.error.FFmpegError):
                raise VideoError(f"cannot write {job.target}: {error.strerror or error}") from error
            raise
        folder.remove()
    return outcome


def _look(job: Job, on_note: Callable[[str], None]) -> _Work:
    """Decode the input once and find out what will come out, and what will not."""
    log = DamageLog()
    with PyavReader(job.source, damage=log, with_alpha=True) as reader:
        first = reader.peek()
        timeline = job.timeline or Timeline(fps=reader.usual_fps.limit_denominator(MAX_DENOMINATOR))
        converter, encoding = plan_encoding(job, timeline, reader, first, keeps_alpha=has_alpha(first.format))
        with open_container(job.source) as original:
            tracks = plan_tracks(original, job.container, encoding, drop=job.drop, stretches=job.stretch != 1)
            zero = clock_start(original)
        until = None if job.duration is None else (job.start or 0) + job.duration
        found = survey(reader, log, _frames(job, reader), damage=job.damage, max_gap=job.max_gap, until=until)
        if has_alpha(first.format) and not found.has_alpha:
            converter, encoding = plan_encoding(job, timeline, reader, first, keeps_alpha=False)
        notes = caveats(reader, first, encoding, job.container, tracks=tracks, keeps_alpha=found.has_alpha)
        if first.interlaced_frame and not job.deinterlaces:
            notes.append("the video is interlaced and taken as it is: --deinterlace fills in the missing lines")
        for note in notes + found.notes:
            on_note(note)
    plan, end = found.plan, None
    if until is not None or job.start:
        zero = plan.pts[0] + (job.start or 0)
        try:
            plan = plan.part(job.start or Fraction(0), job.duration)
        except ValueError as error:
            raise VideoError(f"clip {job.source}: {error}; give another --start or --duration") from error
        end = (plan.end - zero) * job.stretch
    if job.duplicates == "smooth":
        plan = plan.smoothed()
    clock = Clock(zero, job.stretch, [shift for _, shift in found.seams], end)
    plan = replace(plan.mapped(clock.zero, clock.stretch), is_loop=job.is_loop)
    check_clock(plan, timeline, job.container)
    return _Work(job, timeline, plan, clock, tracks, converter, encoding)


def _frames(job: Job, reader: PyavReader) -> Iterator[PyavFrame]:
    """Return the frames of a reader of which none has been taken."""
    if not job.deinterlaces:
        return reader.frames()
    like, time_base = reader.peek(), reader.stream.time_base
    return deinterlaced(reader.frames(), like=like, time_base=time_base)


def _process(
    work: _Work, dynamic: DynamicInterpolator, folder: WorkFolder, *, done: int, device: torch.device
) -> Outcome:
    job, plan, started = work.job, work.plan, time.perf_counter()
    outcome = Outcome(resumed_pieces=done)
    for record in folder.records():
        outcome.routes.update(record.get("routes", {}))
    with track("interpolate", plan.num_pairs, done=sum(outcome.routes.values())) as progress:

        def on_pair(pair: PairDone) -> None:
            outcome.routes[pair.decision.route] += 1
            outcome.network_seconds += pair.decision.seconds
            piece = pair.first.index // PIECE_FRAMES
            records.setdefault(piece, PieceRecord(piece, with_samples=job.preview is not None)).add(pair)
            progress.advance(note=describe_routes(outcome.routes))

        records: dict[int, PieceRecord] = {}
        stream = StreamInterpolator(
            dynamic,
            work.timeline,
            plan,
            time_base=work.encoding.time_base,
            piece_frames=PIECE_FRAMES,
            device=device,
            cut_levels=job.cut_levels,
            on_pair=on_pair,
        )
        with (
            PyavReader(job.source, damage=DamageLog(), with_alpha=True) as reader,
            running_ahead(
                read_source(_frames(job, reader), plan, work.converter, skip=done * PIECE_FRAMES), depth=_READ_AHEAD
            ) as ahead,
            running_ahead(stream.run(ahead), depth=_WRITE_BEHIND) as shown,
        ):
            for piece, items in itertools.groupby(shown, key=operator.attrgetter("piece")):
                write_piece(
                    folder.piece(piece),
                    work.encoding,
                    _encodable(items, work.converter),
                    before_it_appears=partial(_keep, folder, records, piece),
                )
    outcome.stream_seconds = time.perf_counter() - started
    outcome.piece_count = folder.count()
    outcome.frames = _finish(work, folder)
    if job.preview is not None:
        write_page(job.preview, folder.records(), title=job.target.name, summary=describe_routes(outcome.routes))
    return outcome


def _keep(folder: WorkFolder, records: dict[int, PieceRecord], piece: int) -> None:
    record = records.pop(piece, None)
    folder.write_record(piece, {} if record is None else record.as_dict())


def _finish(work: _Work, folder: WorkFolder) -> int:
    """Join the pieces under the output's name and return the number of frames."""
    joined = folder.path / "joined"
    try:
        frames = join(
            [folder.piece(index) for index in range(folder.count())],
            source=work.job.source,
            tracks=work.tracks,
            clock=work.clock,
            target=joined,
            container=work.job.container,
            video=work.encoding,
            end_ticks=round(work.plan.end / work.encoding.time_base),
        )
        os.replace(joined, work.job.target)
    finally:
        joined.unlink(missing_ok=True)
    return frames


def _encodable(items: Iterator[Shown], converter: FrameConverter) -> Iterator[tuple[av.VideoFrame, int]]:
    for item in items:
        if item.made is not None:
            yield converter.made(item.made), item.ticks
        elif item.original is not None:
            yield converter.original(item.original), item.ticks
