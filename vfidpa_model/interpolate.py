"""python -m vfidpa_model.interpolate: a video file through the dynamic pipeline, at a higher frame rate."""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_tools.common.cli import program, run, say
from dataset_tools.errors import UsageError
from dataset_tools.video.cuts import CUT_LEVELS
from vfidpa_model.interpolation import arguments

if TYPE_CHECKING:
    from vfidpa_model.interpolation.job import Job, Outcome

DUPLICATE_CHOICES = ("keep", "smooth")
_PROG = "python -m vfidpa_model.interpolate"


def interpolate(
    files: arguments.Files,
    factor: arguments.Factor = None,
    fps: arguments.Fps = None,
    prefer: arguments.Prefer = "psnr",
    fast: arguments.Fast = None,
    accurate: arguments.Accurate = None,
    fast_weights: arguments.FastWeights = None,
    accurate_weights: arguments.AccurateWeights = None,
    effort: arguments.Effort = None,
    assessor: arguments.Assessor = None,
    threshold: arguments.Threshold = None,
    budget: arguments.Budget = None,
    quality: arguments.Quality = None,
    calibration: arguments.Calibration = None,
    slow_motion: arguments.SlowMotion = None,
    start: arguments.Start = None,
    duration: arguments.Duration = None,
    duplicates: arguments.Duplicates = "keep",
    loop: arguments.Loop = False,
    deinterlace: arguments.Deinterlace = False,
    scene_threshold: arguments.SceneThreshold = None,
    flow_scale: arguments.FlowScale = 1.0,
    scene_cuts: arguments.SceneCuts = True,
    codec: arguments.Codec = None,
    crf: arguments.Crf = None,
    bitrate: arguments.Bitrate = None,
    preset: arguments.Preset = None,
    encoder_option: arguments.EncoderOption = None,
    container: arguments.Container = None,
    input_fps: arguments.InputFps = "24",
    raw: arguments.Raw = None,
    preview: arguments.Preview = None,
    damage: arguments.Damage = "stop",
    max_gap: arguments.MaxGap = None,
    drop: arguments.Drop = None,
    resume: arguments.Resume = False,
    restart: arguments.Restart = False,
    overwrite: arguments.Overwrite = False,
    device: arguments.Device = "auto",
    backend: arguments.Backend = "auto",
    precision: arguments.Precision = "auto",
) -> int:
    """Raise the frame rate of a video; every original frame is kept, audio and subtitles are copied.

    The fast interpolator makes every frame, and the accurate one goes on where its two views of it differ most, as far
    as --effort allows. With --assessor or --threshold whole pairs go to one of both instead, as in the paper.

    Example: python -m vfidpa_model.interpolate in.mp4 out.mp4 --factor 2 --effort 0.3
    """
    from vfidpa_model.interpolation import options
    from vfidpa_model.interpolation.batch import is_batch
    from vfidpa_model.interpolation.job import Job, Routing
    from vfidpa_model.interpolation.preflight import check_pipe
    from vfidpa_model.interpolation.run import run_job
    from vfidpa_model.interpolation.survey import DAMAGE_CHOICES
    from vfidpa_model.interpolation.tracks import DROP_CHOICES

    if resume and restart:
        raise UsageError("--resume and --restart exclude each other; give one of them")
    spending = (accurate, effort, assessor, threshold, budget, quality)
    fast = options.preferred_fast(prefer, fast, spends=any(given is not None for given in spending))
    routing = Routing(
        fast, accurate, fast_weights, accurate_weights, assessor, threshold, budget, quality, calibration, precision,
        flow_scale, effort, backend,
    )  # fmt: skip
    stretch = options.parse_slow_motion(slow_motion)
    if max_gap is not None and not max_gap > 0:
        raise UsageError(f"--max-gap {max_gap} must be above 0")
    if len(files) < 2:
        raise UsageError("IN and OUT are needed: what to read, and what to write")
    *sources, target = files
    is_several = is_batch(sources, target)
    if is_several:
        kind = ""
    else:
        target, kind = options.parse_target(sources[0], target, container)
    job = Job(
        sources[0],
        target,
        options.parse_timeline(factor, fps, stretch),
        routing,
        kind,
        options.parse_encoder(codec, crf, bitrate, preset, encoder_option or []),
        (CUT_LEVELS if scene_threshold is None else scene_threshold) if scene_cuts else None,
        preview,
        damage=options.parse_choice("--damage", damage, DAMAGE_CHOICES),
        drop=tuple(options.parse_choice("--drop", kind, DROP_CHOICES) for kind in drop or ()),
        max_gap=options.parse_seconds("--max-gap", max_gap, least=0),
        stretch=stretch,
        start=options.parse_seconds("--start", start, least=0),
        duration=options.parse_seconds("--duration", duration, least=0.001),
        duplicates=options.parse_choice("--duplicates", duplicates, DUPLICATE_CHOICES),
        is_loop=loop,
        deinterlaces=deinterlace,
        input_fps=options.parse_rate("--input-fps", input_fps),
        raw=raw,
    )
    check_pipe(job)
    run_one = partial(run_job, device=device, restart=restart, overwrite=overwrite, on_note=_note)
    if is_several:
        return _interpolate_several(
            job, sources, target, run_one, container=container, overwrite=overwrite, device=device
        )
    started = time.monotonic()
    _tell(job, run_one(job), time.monotonic() - started)
    return 0


def _interpolate_several(
    job: "Job",
    sources: list[Path],
    target: Path,
    run_one: Callable[..., "Outcome"],
    *,
    container: str | None,
    overwrite: bool,
    device: str,
) -> int:
    """Do a job for each input by one pair of networks, say what became of them, and return the exit code."""
    from dataset_tools.common.device import select_device
    from vfidpa_model.interpolation.batch import pairs, run_batch, with_files
    from vfidpa_model.interpolation.models import build_dynamic
    from vfidpa_model.interpolation.options import parse_target

    jobs = [
        with_files(job, file, output, parse_target(file, output, None)[1])
        for file, output in pairs(sources, target, container=container)
    ]
    dynamic = build_dynamic(job.routing, select_device(device))
    summary = run_batch(
        jobs,
        partial(run_one, dynamic=dynamic),
        overwrite=overwrite,
        on_done=lambda job, outcome: _tell(job, outcome, outcome.stream_seconds),
        on_failed=lambda job, error: say(f"{program(_PROG)}: {job.source}: {error}", is_error=True),
    )
    say(f"{target}: {summary}")
    return 1 if summary.failed else 0


def _tell(job: "Job", outcome: "Outcome", seconds: float) -> None:
    from vfidpa_model.interpolation.job import describe_routes

    kept = f", {outcome.resumed_pieces} of {outcome.piece_count} pieces kept" if outcome.resumed_pieces else ""
    routes = describe_routes(outcome.routes, outcome.area)
    say(f"{job.whole}: {outcome.frames} frames; {routes}; {seconds:.1f} s{kept}", is_error=job.is_to_pipe)
    for warning in outcome.warnings:
        say(f"{program(_PROG)}: warning: {job.whole}: {warning}", is_error=True)


def _note(text: str) -> None:
    say(f"{program(_PROG)}: note: {text}", is_error=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run(interpolate, argv, prog=_PROG, interrupted="interrupted; the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
