"""One interpolation from the open input to the named output: decode, interpolate and encode at the same time.

Nothing appears under the output's name before it is whole. Until then its pieces lie in a hidden folder beside it,
which stays after a kill, for ``resume``, and goes after an error.
"""

import itertools
import operator
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import torch

from dataset_tools.device import select_device
from dataset_tools.errors import UsageError, VfiError, VideoError
from dataset_tools.interpolators import create_interpolator
from dataset_tools.progress import track
from dataset_tools.video_pyav import PyavReader
from vfidpa_model.calibration import Calibration
from vfidpa_model.checkpoint import load_checkpoint
from vfidpa_model.dynamic import DEFAULT_THRESHOLD, DynamicInterpolator
from vfidpa_model.interpolate_stream import PairDone, Shown, StreamInterpolator, read_source
from vfidpa_model.overlap import running_ahead
from vfidpa_model.preview import Preview
from vfidpa_model.routers import AllFast, FlowMagnitude
from vfidpa_model.segments import WorkFolder, check_tracks, join
from vfidpa_model.timeline import Timeline
from vfidpa_model.timesteps import AnyTimestep
from vfidpa_model.video_writer import (
    Encoding,
    FrameConverter,
    describe_input,
    encoder_options,
    picture_format,
    write_piece,
)

PIECE_FRAMES = 48  # input frames per piece: what a kill loses at most; each piece starts with a keyframe
_READ_AHEAD, _WRITE_BEHIND = 4, 8  # frames in the queues: 4K RGB takes 25 MB a frame


@dataclass(frozen=True)
class Routing:
    """Who interpolates what.

    Attributes:
        fast, accurate: Names of the interpolators, with ``fast_weights`` and ``accurate_weights``.
        assessor: RUN folder or checkpoint of VFI-DPA, or ``None``.
        threshold, budget, quality: How the threshold is set; at most one.
        calibration: File that ``budget`` and ``quality`` are looked up in.
    """

    fast: str
    accurate: str
    fast_weights: Path | None = None
    accurate_weights: Path | None = None
    assessor: Path | None = None
    threshold: float | None = None
    budget: float | None = None
    quality: float | None = None
    calibration: Path | None = None


@dataclass(frozen=True)
class Job:
    """What is to be done with a file."""

    source: Path
    target: Path
    timeline: Timeline
    routing: Routing
    container: str
    codec: str
    crf: int | None = None
    scene_cuts: bool = True
    preview: Path | None = None


@dataclass
class Outcome:
    """What was done.

    Attributes:
        routes: Pairs of this run by route.
        frames: Frames in the output.
        network_seconds: Time in routers and interpolators.
        stream_seconds: Time from the first frame decoded to the last one encoded, networks included.
        piece_count: Pieces of the whole output.
    """

    routes: Counter[str]
    frames: int = 0
    network_seconds: float = 0.0
    stream_seconds: float = 0.0
    piece_count: int = 0
    resumed_pieces: int = 0


def run_job(job: Job, *, device: str = "auto", resume: bool = False, overwrite: bool = False) -> Outcome:
    """Interpolate a file.

    Raises:
        VideoError: The input cannot be read, or the output cannot be written as asked; nothing is left behind.
        OSError: The disk is full; nothing is left behind.
    """

    _check_target(job, overwrite=overwrite)
    chosen = select_device(device)
    folder = WorkFolder(job.target)
    with PyavReader(job.source) as reader:
        check_tracks(job.source, job.container)
        converter, encoding = _plan_encoding(job, reader)
        dynamic = build_dynamic(job.routing, chosen)
        pieces = folder.prepare(_identity(job, dynamic), resume=resume)
        try:
            outcome = _process(job, reader, converter, encoding, dynamic, folder, done=pieces, device=chosen)
        except KeyboardInterrupt:
            raise  # the pieces stay for --resume
        except BaseException as error:
            folder.remove()
            if isinstance(error, av.error.FFmpegError):
                raise VideoError(f"cannot write {job.target}: {error.strerror or error}") from error
            raise
    folder.remove()
    return outcome


def build_dynamic(routing: Routing, device: torch.device) -> DynamicInterpolator:
    """Return the two interpolators with their router; the accurate one is not loaded when nothing can reach it."""
    fast = AnyTimestep(create_interpolator(routing.fast, weights=routing.fast_weights, device=device))
    if routing.assessor is None and routing.threshold is None:
        return DynamicInterpolator(AllFast(), fast, fast, 0.0)
    accurate = AnyTimestep(create_interpolator(routing.accurate, weights=routing.accurate_weights, device=device))
    if routing.assessor is None:
        return DynamicInterpolator(FlowMagnitude(), fast, accurate, routing.threshold or 0.0)
    router = load_checkpoint(routing.assessor, device=str(device), backend="auto")
    return DynamicInterpolator(router, fast, accurate, _threshold(routing, fast.name, accurate.name))


def _threshold(routing: Routing, fast: str, accurate: str) -> float:
    if routing.budget is None and routing.quality is None:
        return DEFAULT_THRESHOLD if routing.threshold is None else routing.threshold
    if routing.calibration is None:
        raise UsageError("--budget and --quality need --calibration; make one with vfidpa_model.calibration")
    calibration = Calibration.read(routing.calibration)
    if (calibration.fast, calibration.accurate) != (fast, accurate):
        raise UsageError(
            f"calibration {routing.calibration} is for {calibration.fast} and {calibration.accurate}, "
            f"not for {fast} and {accurate}; make one for these"
        )
    return calibration.threshold(budget=routing.budget, quality=routing.quality)


def describe_routes(routes: Counter[str]) -> str:
    """Return the share of each route in words, e.g. ``"pairs: 75 % fast, 20 % accurate, 5 % cut"``."""
    total = sum(routes.values())
    if not total:
        return "no pairs"
    return "pairs: " + ", ".join(f"{100 * count / total:.0f} % {route}" for route, count in routes.most_common())


def _process(
    job: Job,
    reader: PyavReader,
    converter: FrameConverter,
    encoding: Encoding,
    dynamic: DynamicInterpolator,
    folder: WorkFolder,
    *,
    done: int,
    device: torch.device,
) -> Outcome:

    outcome = Outcome(Counter(), resumed_pieces=done)
    preview, started = Preview(), time.perf_counter()
    total = reader.info.num_frames_from_header
    with track("interpolate", total - 1 if total else None) as progress:
        progress.advance(done * PIECE_FRAMES)

        def on_pair(pair: PairDone) -> None:
            outcome.routes[pair.decision.route] += 1
            outcome.network_seconds += pair.decision.seconds
            preview.add(pair)
            progress.advance(note=describe_routes(outcome.routes))

        stream = StreamInterpolator(
            dynamic,
            job.timeline,
            time_base=encoding.time_base,
            piece_frames=PIECE_FRAMES,
            device=device,
            scene_cuts=job.scene_cuts,
            on_pair=on_pair,
        )
        frames = read_source(reader, converter, skip=done * PIECE_FRAMES)
        with (
            running_ahead(frames, depth=_READ_AHEAD) as ahead,
            running_ahead(stream.run(ahead), depth=_WRITE_BEHIND) as shown,
        ):
            for piece, items in itertools.groupby(shown, key=operator.attrgetter("piece")):
                write_piece(folder.piece(piece), encoding, _encodable(items, converter))
    outcome.stream_seconds = time.perf_counter() - started
    pieces = sorted(folder.path.glob("*.packets"))
    outcome.piece_count = len(pieces)
    joined = folder.path / f"joined.{job.target.name}"
    end_ticks = round(stream.end / encoding.time_base)
    outcome.frames = join(
        pieces, source=job.source, target=joined, container=job.container, video=encoding, end_ticks=end_ticks
    )
    os.replace(joined, job.target)
    if job.preview is not None:
        preview.write(job.preview, title=job.target.name, summary=describe_routes(outcome.routes))
    return outcome


def _encodable(items: Iterator[Shown], converter: FrameConverter) -> Iterator[tuple[av.VideoFrame, int]]:
    for item in items:
        if item.made is not None:
            yield converter.made(item.made), item.ticks
        elif item.original is not None:
            yield converter.original(item.original), item.ticks


def _plan_encoding(job: Job, reader: PyavReader) -> tuple[FrameConverter, Encoding]:

    options = encoder_options(job.codec, job.crf, container=job.container)
    first = reader.peek()
    pix_fmt = picture_format(job.codec, first)
    tags, matrix = describe_input(reader.stream, first)
    encoding = Encoding(
        codec=job.codec,
        options=options,
        pix_fmt=pix_fmt,
        width=first.width,
        height=first.height,
        time_base=job.timeline.time_base(reader.stream.time_base or 1 / reader.usual_fps),
        fps=job.timeline.output_fps(reader.usual_fps),
        tags=tags,
        matrix=matrix,
    )
    return FrameConverter(pix_fmt, like=first), encoding


def _identity(job: Job, dynamic: DynamicInterpolator) -> dict[str, Any]:
    """Return everything that decides what the pieces look like."""
    facts = job.source.stat()
    models = [[model.name, model.weights_sha256] for model in (dynamic.fast, dynamic.accurate)]
    return {
        "input": [str(job.source.resolve()), facts.st_size, facts.st_mtime_ns],
        "timeline": [job.timeline.factor, str(job.timeline.fps)],
        "routing": [models, str(job.routing.assessor), dynamic.threshold],
        "encoding": [job.codec, job.crf, job.container, PIECE_FRAMES],
        "scene_cuts": job.scene_cuts,
    }


def _check_target(job: Job, *, overwrite: bool) -> None:
    if job.target.exists():
        if job.source.exists() and job.target.samefile(job.source):
            raise VfiError(f"output {job.target} is the input; choose another name")
        if not overwrite or job.target.is_dir():
            raise VfiError(f"output {job.target} exists; give --overwrite to replace it")
