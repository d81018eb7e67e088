"""python -m vfidpa_model.interpolate: a video file through the dynamic pipeline, at a higher frame rate."""

import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.common.cli import program, run, say
from dataset_tools.errors import UsageError
from vfidpa_model.interpolation.timeline import MAX_DENOMINATOR, Timeline

if TYPE_CHECKING:
    from vfidpa_model.interpolation.encoders import EncoderChoice

CONTAINERS = {"mp4": "mp4", "m4v": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}
_MAX_FACTOR = 32
_PROG = "python -m vfidpa_model.interpolate"


def interpolate(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Video file.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Video file to write: .mp4, .mov, .mkv or .webm.")],
    factor: Annotated[
        int | None, typer.Option(help="Frames for each one, 2 to 32; time stamps are kept. Default 2.")
    ] = None,
    fps: Annotated[str | None, typer.Option(help="Frames per second instead, e.g. 60 or 60000/1001.")] = None,
    fast: Annotated[str, typer.Option(help="Interpolator for easy pairs.")] = "rife",
    accurate: Annotated[str, typer.Option(help="Interpolator for hard pairs.")] = "rife-full",
    fast_weights: Annotated[Path | None, typer.Option(help="Weights file of --fast.")] = None,
    accurate_weights: Annotated[Path | None, typer.Option(help="Weights file of --accurate.")] = None,
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
    container: Annotated[str | None, typer.Option(help="mp4, mov, mkv or webm. Default: by the name of OUT.")] = None,
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
    precision: Annotated[
        str,
        typer.Option(help="Of the interpolators: auto, fp32, fp16 or bf16. auto is fp16 for rife on CUDA, else fp32."),
    ] = "auto",
) -> int:
    """Raise the frame rate of a video; every original frame is kept, audio and subtitles are copied.

    Without --assessor and --threshold every pair goes to the fast interpolator.

    Example: python -m vfidpa_model.interpolate in.mp4 out.mp4 --factor 2 --assessor runs/x --threshold 2.5
    """
    from vfidpa_model.interpolation.job import Job, Routing, describe_routes
    from vfidpa_model.interpolation.run import run_job
    from vfidpa_model.interpolation.survey import DAMAGE_CHOICES
    from vfidpa_model.interpolation.tracks import DROP_CHOICES

    if resume and restart:
        raise UsageError("--resume and --restart exclude each other; give one of them")
    if damage not in DAMAGE_CHOICES:
        raise UsageError(f"--damage {damage!r} must be one of {', '.join(DAMAGE_CHOICES)}")
    for kind in drop or []:
        if kind not in DROP_CHOICES:
            raise UsageError(f"--drop {kind!r} must be one of {', '.join(DROP_CHOICES)}")
    if max_gap is not None and not max_gap > 0:
        raise UsageError(f"--max-gap {max_gap} must be above 0")
    routing = Routing(
        fast, accurate, fast_weights, accurate_weights, assessor, threshold, budget, quality, calibration, precision
    )  # fmt: skip
    kind = _container(target, container)
    encoder = _encoder(codec, crf, bitrate, preset, encoder_option or [])
    job = Job(
        source,
        target,
        _timeline(factor, fps),
        routing,
        kind,
        encoder,
        scene_cuts,
        preview,
        damage=damage,
        drop=tuple(drop or ()),
        max_gap=None if max_gap is None else Fraction(max_gap).limit_denominator(10_000),
    )
    started = time.monotonic()
    outcome = run_job(job, device=device, restart=restart, overwrite=overwrite, on_note=_note)
    seconds = time.monotonic() - started
    kept = f", {outcome.resumed_pieces} of {outcome.piece_count} pieces kept" if outcome.resumed_pieces else ""
    say(f"{target}: {outcome.frames} frames; {describe_routes(outcome.routes)}; {seconds:.1f} s{kept}")
    return 0


def _note(text: str) -> None:
    say(f"{program(_PROG)}: note: {text}", is_error=True)


def _timeline(factor: int | None, fps: str | None) -> Timeline:
    if fps is not None:
        if factor is not None:
            raise UsageError("--factor and --fps exclude each other; give one of them")
        try:
            rate = Fraction(fps).limit_denominator(MAX_DENOMINATOR)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= 1000:
            raise UsageError(f"--fps {fps!r} must be a number above 0 and up to 1000, or a fraction like 60000/1001")
        return Timeline(fps=rate)
    factor = 2 if factor is None else factor
    if not 2 <= factor <= _MAX_FACTOR:
        raise UsageError(f"--factor {factor} must be 2 to {_MAX_FACTOR}")
    return Timeline(factor=factor)


def _encoder(
    codec: str | None, crf: int | None, bitrate: str | None, preset: str | None, options: list[str]
) -> "EncoderChoice":
    from vfidpa_model.interpolation.encoders import EncoderChoice

    if crf is not None and bitrate is not None:
        raise UsageError("--crf and --bitrate exclude each other; give one of them")
    pairs = [option.partition("=") for option in options]
    for option, (name, _, value) in zip(options, pairs, strict=True):
        if not name or not value:
            raise UsageError(f"--encoder-option {option!r} must be KEY=VALUE, e.g. tune=animation")
    return EncoderChoice(codec, crf, bitrate, preset, {name: value for name, _, value in pairs})


def _container(target: Path, container: str | None) -> str:
    name = container or target.suffix.lower().removeprefix(".")
    if name not in CONTAINERS:
        raise UsageError(f"container {name!r} must be one of {', '.join(CONTAINERS)}; name OUT so or give --container")
    return CONTAINERS[name]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run(interpolate, argv, prog=_PROG, interrupted="interrupted; the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
