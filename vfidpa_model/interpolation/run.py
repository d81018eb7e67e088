"""One interpolation from the open input to the named output: decode, interpolate and encode at the same time.

Nothing appears under the output's name before it is whole. Until then its pieces lie in a hidden folder beside it,
which stays after a kill, for ``resume``, and goes after an error.
"""

import itertools
import operator
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import torch

from dataset_tools.common.device import select_device
from dataset_tools.common.progress import track
from dataset_tools.errors import UsageError, VfiError, VideoError
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.precision import PRECISIONS
from dataset_tools.levels import HARD_ABOVE
from dataset_tools.video.pyav import PyavReader, open_container
from vfidpa_model.inference.assessor import load_checkpoint
from vfidpa_model.interpolation.caveats import caveats, cut_off_note
from vfidpa_model.interpolation.colours import FrameConverter
from vfidpa_model.interpolation.hdr import with_hdr
from vfidpa_model.interpolation.prefetch import running_ahead
from vfidpa_model.interpolation.preview import Preview
from vfidpa_model.interpolation.segments import WorkFolder, join
from vfidpa_model.interpolation.stream import PairDone, Shown, StreamInterpolator, read_source
from vfidpa_model.interpolation.timeline import Timeline
from vfidpa_model.interpolation.tracks import check_tracks, kept_stream_tags
from vfidpa_model.interpolation.writer import (
    Encoding,
    describe_input,
    encoder_name,
    encoder_options,
    picture_format,
    write_piece,
)
from vfidpa_model.routing.any_timestep import AnyTimestep
from vfidpa_model.routing.calibrated import Calibration
from vfidpa_model.routing.dynamic import DynamicInterpolator
from vfidpa_model.routing.routers import AllFast, FlowMagnitude

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
        precision: Of both interpolators, see ``dataset_tools.interpolators.precision.PRECISIONS``.
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
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Check what can be told before anything is loaded.

        Raises:
            UsageError: Options exclude each other or lack what they need.
        """
        if sum(goal is not None for goal in (self.threshold, self.budget, self.quality)) > 1:
            raise UsageError("--threshold, --budget and --quality exclude each other; give one of them")
        if self.assessor is None and (self.budget is not None or self.quality is not None):
            raise UsageError("--budget and --quality need --assessor, the model they were calibrated with")
        if self.precision not in PRECISIONS:
            raise UsageError(f"--precision {self.precision!r} must be one of {', '.join(PRECISIONS)}")


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
        ends_at_seconds: When the last frame of the input ends, on the input's clock.
    """

    routes: Counter[str]
    frames: int = 0
    network_seconds: float = 0.0
    stream_seconds: float = 0.0
    piece_count: int = 0
    resumed_pieces: int = 0
    ends_at_seconds: float = 0.0


def run_job(
    job: Job,
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    on_note: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Interpolate a file.

    Args:
        on_note: Told what the output will not have of the input, a sentence at a time.

    Raises:
        VideoError: The input cannot be read, or the output cannot be written as asked; nothing is left behind.
        OSError: The disk is full; nothing is left behind.
    """

    _check_target(job, overwrite=overwrite)
    chosen = select_device(device)
    folder = WorkFolder(job.target)
    with PyavReader(job.source) as reader:
        converter, encoding = _plan_encoding(job, reader)
        with open_container(job.source) as original:
            check_tracks(original, job.container, encoding)
        for note in caveats(reader, encoding, job.container):
            on_note(note)
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
        cut_off = cut_off_note(reader, ends_at_seconds=outcome.ends_at_seconds)
        if cut_off is not None:
            on_note(cut_off)
    folder.remove()
    return outcome


def build_dynamic(routing: Routing, device: torch.device) -> DynamicInterpolator:
    """Return the two interpolators with their router; the accurate one is not loaded when nothing can reach it."""
    options = {} if routing.precision == "auto" else {"precision": routing.precision}
    fast = AnyTimestep(create_interpolator(routing.fast, weights=routing.fast_weights, device=device, **options))
    if routing.assessor is None and routing.threshold is None:
        return DynamicInterpolator(AllFast(), fast, fast, 0.0)
    accurate = AnyTimestep(
        create_interpolator(routing.accurate, weights=routing.accurate_weights, device=device, **options)
    )
    if routing.assessor is None:
        return DynamicInterpolator(FlowMagnitude(), fast, accurate, routing.threshold or 0.0)
    router = load_checkpoint(routing.assessor, device=str(device), backend="auto")
    return DynamicInterpolator(router, fast, accurate, _threshold(routing, fast.name, accurate.name))


def _threshold(routing: Routing, fast: str, accurate: str) -> float:
    if routing.budget is None and routing.quality is None:
        return HARD_ABOVE if routing.threshold is None else routing.threshold
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
    outcome.stream_seconds, outcome.ends_at_seconds = time.perf_counter() - started, float(stream.end)
    pieces = sorted(folder.path.glob("*.packets"))
    outcome.piece_count = len(pieces)
    joined = folder.path / "joined"
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
    codec = encoder_name(job.codec, container=job.container)
    options = encoder_options(codec, job.crf)
    first = reader.peek()
    pix_fmt = picture_format(codec, first)
    tags, matrix = describe_input(reader.stream, first, pix_fmt)
    encoding = Encoding(
        codec=codec,
        options=with_hdr(options, codec, first),
        pix_fmt=pix_fmt,
        width=first.width,
        height=first.height,
        time_base=job.timeline.time_base(reader.stream.time_base or 1 / reader.usual_fps),
        fps=job.timeline.output_fps(reader.usual_fps),
        tags=tags,
        matrix=matrix,
        metadata=kept_stream_tags(reader.stream.metadata),
        disposition=int(reader.stream.disposition),
    )
    return FrameConverter(pix_fmt, tags, like=first), encoding


def _identity(job: Job, dynamic: DynamicInterpolator) -> dict[str, Any]:
    """Return everything that decides what the pieces look like."""
    facts = job.source.stat()
    models = [[model.name, model.weights_sha256] for model in (dynamic.fast, dynamic.accurate)]
    return {
        "input": [str(job.source.resolve()), facts.st_size, facts.st_mtime_ns],
        "timeline": [job.timeline.factor, str(job.timeline.fps)],
        "routing": [models, str(job.routing.assessor), dynamic.threshold, job.routing.precision],
        "encoding": [job.codec, job.crf, job.container, PIECE_FRAMES],
        "scene_cuts": job.scene_cuts,
    }


def _check_target(job: Job, *, overwrite: bool) -> None:
    if str(job.source) == "-" or not (job.source.is_file() or _is_missing_file(job.source)):
        raise VfiError(f"input {job.source} must be a file, no pipe, folder or address; it is read twice: save it")
    for name, path in (("output", job.target), ("preview", job.preview)):
        if path is None or not os.path.lexists(path):
            continue
        if path.exists() and not path.is_file():
            raise VfiError(f"{name} {path} is no file that could be replaced; choose another name")
        if path.exists() and job.source.exists() and path.samefile(job.source):
            raise VfiError(f"{name} {path} is the input; choose another name")
    if job.preview is not None and job.preview.absolute() == job.target.absolute():
        raise VfiError(f"preview {job.preview} is the output; choose another name")
    if os.path.lexists(job.target) and not overwrite:
        raise VfiError(f"output {job.target} exists; give --overwrite to replace it")


def _is_missing_file(path: Path) -> bool:
    return not path.exists() and not re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path))
