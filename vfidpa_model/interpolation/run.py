"""One interpolation from the open input to the named output: decode, interpolate and encode at the same time.

Nothing appears under the output's name before it is whole. Until then its pieces lie in a hidden folder beside it,
which stays after a kill or an error: the same command goes on.
"""

import itertools
import operator
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial

import av
import av.error
import torch

from dataset_tools.common.device import select_device
from dataset_tools.common.progress import Progress, track
from dataset_tools.errors import VideoError
from dataset_tools.video.past_damage import DamageLog
from dataset_tools.video.pyav import PyavReader
from vfidpa_model.interpolation.colours import FrameConverter
from vfidpa_model.interpolation.encoders import encoder_options
from vfidpa_model.interpolation.job import Job, Outcome, describe_routes, routing_warnings
from vfidpa_model.interpolation.look import Work, frames_of, look, look_at_pipe
from vfidpa_model.interpolation.models import build_dynamic
from vfidpa_model.interpolation.pictures import MOVING, write_moving, write_numbered
from vfidpa_model.interpolation.pipes import write_to_pipe
from vfidpa_model.interpolation.prefetch import running_ahead
from vfidpa_model.interpolation.preflight import check_files
from vfidpa_model.interpolation.preview import PieceRecord, write_page
from vfidpa_model.interpolation.segments import join
from vfidpa_model.interpolation.setup import identity
from vfidpa_model.interpolation.stream import PairDone, Shown, StreamInterpolator, read_source
from vfidpa_model.interpolation.survey import noticing_repeats
from vfidpa_model.interpolation.work_folder import WorkFolder
from vfidpa_model.interpolation.writer import write_piece
from vfidpa_model.routing.dynamic import Pipeline

PIECE_FRAMES = 48  # input frames per piece: what a kill loses at most; each piece starts with a keyframe
_READ_AHEAD, _WRITE_BEHIND = 4, 8  # frames in the queues: 4K RGB takes 25 MB a frame


def run_job(
    job: Job,
    *,
    device: str = "auto",
    restart: bool = False,
    overwrite: bool = False,
    on_note: Callable[[str], None] = lambda text: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    dynamic: Pipeline | None = None,
) -> Outcome:
    """Interpolate an input; finished pieces of an earlier run with the same job are taken over.

    Args:
        restart: Begin anew.
        on_note: Told what the output will not have of the input, a sentence at a time.
        on_progress: Called after every frame of the first look and after every pair; what it raises ends the run.
        dynamic: The networks, where several jobs share them.

    Raises:
        VideoError: The input cannot be read, or the output cannot be written as asked.
        OSError: The disk is full. Finished pieces stay.
    """
    check_files(job, overwrite=overwrite)
    chosen = select_device(device)
    if job.is_to_pipe:
        return _pipe(job, dynamic, chosen, on_note)
    work_on = partial(_process, device=chosen, on_progress=on_progress)
    with WorkFolder(job.whole) as folder:
        if job.input.is_pipe:
            with job.input.open(DamageLog()) as reader:
                work = look_at_pipe(job, reader, on_note)
                folder.prepare({}, restart=True)
                outcome = work_on(work, dynamic or build_dynamic(job.routing, chosen), folder, reader)
            folder.remove()
            return outcome
        reading = Progress("read", None, on_progress)
        work = look(job, on_note, on_frame=lambda frame: reading.advance())
        dynamic = dynamic or build_dynamic(job.routing, chosen)
        done = folder.prepare(identity(job, dynamic, piece_frames=PIECE_FRAMES), restart=restart)
        try:
            with job.input.open(DamageLog(), work.entry) as reader:
                outcome = work_on(work, dynamic, folder, reader, done=done)
        except BaseException as error:
            if folder.count():
                on_note(f"{folder.count()} finished pieces stay in {folder.path}; the same command goes on with them")
            if isinstance(error, av.error.FFmpegError):
                raise VideoError(f"cannot write {job.target}: {error.strerror or error}") from error
            raise
        folder.remove()
    return outcome


def _pipe(job: Job, dynamic: Pipeline | None, device: torch.device, on_note: Callable[[str], None]) -> Outcome:
    """Interpolate to standard output: nothing is kept, so nothing can be gone on with."""
    outcome, started = Outcome(), time.perf_counter()
    work = None if job.input.is_pipe else look(job, on_note)
    with job.input.open(DamageLog(), work.entry if work else None) as reader:
        work = work or look_at_pipe(job, reader, on_note)
        dynamic = dynamic or build_dynamic(job.routing, device)
        dynamic.restore("")
        with track("interpolate", work.plan.num_pairs) as progress:
            on_pair = partial(_count, outcome, progress, {}, with_samples=False)
            with _shown(work, dynamic, reader, device=device, on_pair=on_pair) as shown:
                outcome.frames = write_to_pipe(work, _encodable(shown, work.converter))
    outcome.stream_seconds = time.perf_counter() - started
    outcome.warnings = routing_warnings(outcome, job.routing, dynamic.setting)
    return outcome


def _process(
    work: Work,
    dynamic: Pipeline,
    folder: WorkFolder,
    reader: PyavReader,
    *,
    done: int = 0,
    device: torch.device,
    on_progress: Callable[[Progress], None],
) -> Outcome:
    job, started = work.job, time.perf_counter()
    outcome = Outcome(resumed_pieces=done)
    finished = folder.records()
    for record in finished:
        outcome.routes.update(record.get("routes", {}))
        outcome.area += record.get("area", 0.0)
        outcome.unscored += record.get("unscored", 0)
    dynamic.restore(next((record["routing"] for record in reversed(finished) if record.get("routing")), ""))
    records: dict[int, PieceRecord] = {}
    with track("interpolate", work.plan.num_pairs, done=sum(outcome.routes.values())) as progress:
        count = partial(_count, outcome, progress, records, with_samples=job.preview is not None)

        def on_pair(pair: PairDone) -> None:
            count(pair)
            on_progress(progress)

        with _shown(work, dynamic, reader, device=device, on_pair=on_pair, skip=done * PIECE_FRAMES) as shown:
            for piece, items in itertools.groupby(shown, key=operator.attrgetter("piece")):
                write_piece(
                    folder.piece(piece),
                    work.encoding,
                    _encodable(items, work.converter),
                    before_it_appears=partial(_keep, folder, records, piece),
                )
    outcome.stream_seconds = time.perf_counter() - started
    outcome.warnings = routing_warnings(outcome, job.routing, dynamic.setting)
    outcome.piece_count = folder.count()
    outcome.frames = _finish(work, folder, ends=work.plan.end_behind(sum(outcome.routes.values())))
    if job.preview is not None:
        told = describe_routes(outcome.routes, outcome.area)
        summary = ". ".join([told, *(f"Warning: {warning}" for warning in outcome.warnings)])
        write_page(job.preview, folder.records(), title=job.target.name, summary=summary)
    return outcome


@contextmanager
def _shown(
    work: Work,
    dynamic: Pipeline,
    reader: PyavReader,
    *,
    device: torch.device,
    on_pair: Callable[[PairDone], None],
    skip: int = 0,
) -> Iterator[Iterator[Shown]]:
    """Yield the frames of the output, made in threads of their own."""
    stream = StreamInterpolator(
        dynamic,
        work.timeline,
        work.plan,
        time_base=work.encoding.time_base,
        piece_frames=PIECE_FRAMES,
        device=device,
        cut_levels=work.job.cut_levels,
        on_pair=on_pair,
    )
    frames = frames_of(work.job, reader)
    if work.plan.is_open:
        frames = noticing_repeats(frames, work.plan)
    with (
        running_ahead(read_source(frames, work.plan, work.converter, skip=skip), depth=_READ_AHEAD) as ahead,
        running_ahead(stream.run(ahead), depth=_WRITE_BEHIND) as shown,
    ):
        yield shown


def _count(
    outcome: Outcome, progress: Progress, records: dict[int, PieceRecord], pair: PairDone, *, with_samples: bool
) -> None:
    outcome.routes[pair.decision.route] += 1
    outcome.area += pair.decision.area or 0.0
    outcome.unscored += pair.decision.is_unscored
    outcome.network_seconds += pair.decision.seconds
    piece = pair.first.index // PIECE_FRAMES
    records.setdefault(piece, PieceRecord(piece, with_samples=with_samples)).add(pair)
    progress.advance(note=describe_routes(outcome.routes, outcome.area))


def _keep(folder: WorkFolder, records: dict[int, PieceRecord], piece: int) -> None:
    record = records.pop(piece, None)
    folder.write_record(piece, {} if record is None else record.as_dict())


def _finish(work: Work, folder: WorkFolder, *, ends: Fraction) -> int:
    """Put the pieces together under the output's name and return the number of frames; ``ends`` in seconds."""
    job, joined = work.job, folder.path / "joined"
    pieces = [folder.piece(index) for index in range(folder.count())]
    if job.container == "image2":
        return write_numbered(pieces, job.target)
    try:
        if job.container in MOVING:
            options = encoder_options(MOVING[job.container][0], job.encoder)
            frames = write_moving(pieces, joined, kind=job.container, encoding=work.encoding, options=options)
        else:
            frames = join(
                pieces,
                source=job.source if job.input.has_tracks else None,
                tracks=work.tracks,
                clock=work.clock,
                target=joined,
                container=job.container,
                video=work.encoding,
                end_ticks=round(ends / work.encoding.time_base),
            )
        os.replace(joined, job.target)
    finally:
        joined.unlink(missing_ok=True)
    return frames


def _encodable(items: Iterator[Shown], converter: FrameConverter) -> Iterator[tuple[av.VideoFrame, int]]:
    for item in items:
        if item.made is not None:
            yield converter.made(item.made), item.ticks
        elif item.original is not None:
            yield converter.original(item.original), item.ticks
