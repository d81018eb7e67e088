"""python -m vfidpa_model.interpolate: a video file through the dynamic pipeline, at a higher frame rate."""

import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.common.cli import program, run, say
from dataset_tools.errors import UsageError
from dataset_tools.video.cuts import CUT_LEVELS

if TYPE_CHECKING:
    from vfidpa_model.interpolation.job import Job, Outcome

DUPLICATE_CHOICES = ("keep", "smooth")
_PROG = "python -m vfidpa_model.interpolate"


def interpolate(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN... OUT",
            help="Video file (or several, or a folder of them), numbered pictures (a folder, or a pattern like "
            "frames/%06d.png), or - for Y4M on standard input. Then what to write: .mp4, .mov, .mkv, .webm, .gif, "
            ".apng, .webp, a pattern for pictures, - for Y4M, or a folder for several.",
        ),
    ],
    factor: Annotated[
        int | None, typer.Option(help="Frames for each one, 2 to 32; time stamps are kept. Default 2.")
    ] = None,
    fps: Annotated[str | None, typer.Option(help="Frames per second instead, e.g. 60 or 60000/1001.")] = None,
    fast: Annotated[str, typer.Option(help="Interpolator for easy pairs.")] = "rife",
    accurate: Annotated[
        str | None,
        typer.Option(
            help="Interpolator for what is hard. Default: rife-refined, which goes on from rife; for whole pairs "
            "rife-full."
        ),
    ] = None,
    fast_weights: Annotated[Path | None, typer.Option(help="Weights file of --fast.")] = None,
    accurate_weights: Annotated[Path | None, typer.Option(help="Weights file of --accurate.")] = None,
    effort: Annotated[
        float | None,
        typer.Option(
            help="Share of the accurate interpolator's extra cost that may be spent, on the parts of frames that need "
            "it: 0 is all fast, 1 all accurate. Default 0.4."
        ),
    ] = None,
    assessor: Annotated[Path | None, typer.Option(help="VFI-DPA: RUN folder of train, or a checkpoint.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Pairs with a score up to it are fast. With --assessor on the level scale (default 2.5); without, "
            "mean motion in pixels at 256 rows."
        ),
    ] = None,
    budget: Annotated[float | None, typer.Option(help="Instead: largest share of the accurate model's time.")] = None,
    quality: Annotated[float | None, typer.Option(help="Instead: largest loss against the accurate model, dB.")] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Result of vfidpa_model.calibration, for --budget and --quality.")
    ] = None,
    slow_motion: Annotated[
        str | None,
        typer.Option(help="How many times as long it lasts, e.g. 4: frames are added, sound keeps its pitch."),
    ] = None,
    start: Annotated[float | None, typer.Option(help="Begin so many seconds after the first frame.")] = None,
    duration: Annotated[float | None, typer.Option(help="Use so many seconds of the input.")] = None,
    duplicates: Annotated[
        str,
        typer.Option(help="Repeated frames (animation on twos and threes): keep, or smooth the motion over them."),
    ] = "keep",
    loop: Annotated[
        bool, typer.Option("--loop", help="The clip repeats: put frames between its last and first, too.")
    ] = False,
    deinterlace: Annotated[
        bool, typer.Option("--deinterlace", help="Fill in the lines of interlaced pictures (bwdif).")
    ] = False,
    scene_threshold: Annotated[
        float | None, typer.Option(help="Smallest change that is a cut, in levels of 255. Default 10.")
    ] = None,
    flow_scale: Annotated[
        float, typer.Option(help="Look for motion at this share of the size: 0.5 for 4K (rife and rife-v4).")
    ] = 1.0,
    scene_cuts: Annotated[bool, typer.Option(help="Repeat the nearer frame across a cut.")] = True,
    codec: Annotated[
        str | None,
        typer.Option(help="FFmpeg encoder. Default: libx264, for 10 bit libx265; for .webm libvpx-vp9, libsvtav1."),
    ] = None,
    crf: Annotated[
        int | None, typer.Option(help="Quality of the encoder, lower is better. Default: 18 for x264.")
    ] = None,
    bitrate: Annotated[str | None, typer.Option(help="Bits per second instead of a quality, e.g. 8M.")] = None,
    preset: Annotated[str | None, typer.Option(help="Speed of the encoder, in its own words, e.g. slow.")] = None,
    encoder_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="FFmpeg's option for the encoder, e.g. tune=animation; repeatable."),
    ] = None,
    container: Annotated[
        str | None,
        typer.Option(help="mp4, mov, mkv, webm, gif, ...; y4m or rawvideo for -. Default: by the name of OUT."),
    ] = None,
    input_fps: Annotated[str, typer.Option(help="Frames per second of numbered pictures and of --raw.")] = "24",
    raw: Annotated[
        str | None, typer.Option(metavar="WxH:FORMAT", help="Standard input is raw video, e.g. 1920x1080:yuv420p.")
    ] = None,
    preview: Annotated[Path | None, typer.Option(help="HTML page with samples of each route.")] = None,
    damage: Annotated[
        str,
        typer.Option(
            help="Where pictures inside cannot be decoded: stop (before any work), or hold the last good one. What is "
            "broken at the beginning or the end is left out, with a note."
        ),
    ] = "stop",
    max_gap: Annotated[
        float | None,
        typer.Option(help="Seconds between two frames above which the first is held. Default: five usual steps."),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="Leave out tracks: audio, subtitles or data; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Taken, but not needed: the same command goes on.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Remove the finished pieces of an earlier run and begin anew.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    backend: Annotated[
        str,
        typer.Option(help="Engine of RIFE's convolutions: torch, ncnn (extra ncnn, CPU); auto: ncnn where installed."),
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(help="Of the interpolators: auto, fp32, fp16 or bf16. auto is fp16 for rife on CUDA, else fp32."),
    ] = "auto",
) -> int:
    """Raise the frame rate of a video; every original frame is kept, audio and subtitles are copied.

    The fast interpolator makes every frame, and the accurate one goes on where its two views of it differ most, as far
    as --effort allows. With --assessor or --threshold whole pairs go to one of both instead, as in the paper.

    Example: python -m vfidpa_model.interpolate in.mp4 out.mp4 --factor 2 --effort 0.3
    """
    from dataset_tools.common.device import select_device
    from vfidpa_model.interpolation import options
    from vfidpa_model.interpolation.batch import is_batch, pairs, run_batch, with_files
    from vfidpa_model.interpolation.job import Job, Routing
    from vfidpa_model.interpolation.models import build_dynamic
    from vfidpa_model.interpolation.preflight import check_pipe
    from vfidpa_model.interpolation.run import run_job
    from vfidpa_model.interpolation.survey import DAMAGE_CHOICES
    from vfidpa_model.interpolation.tracks import DROP_CHOICES

    if resume and restart:
        raise UsageError("--resume and --restart exclude each other; give one of them")
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
    if not is_several:
        started = time.monotonic()
        _tell(job, run_one(job), time.monotonic() - started)
        return 0
    jobs = [
        with_files(job, file, output, options.parse_target(file, output, None)[1])
        for file, output in pairs(sources, target, container=container)
    ]
    dynamic = build_dynamic(routing, select_device(device))
    summary = run_batch(
        jobs,
        partial(run_one, dynamic=dynamic),
        overwrite=overwrite,
        on_done=lambda job, outcome: _tell(job, outcome, outcome.stream_seconds),
        on_failed=lambda job, error: say(f"{_PROG}: {job.source}: {error}", is_error=True),
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
