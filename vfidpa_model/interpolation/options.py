"""What the command line says, checked and in the words of the job."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from dataset_tools.errors import UsageError
from vfidpa_model.interpolation.encoders import EncoderChoice
from vfidpa_model.interpolation.pictures import CODECS, MOVING
from vfidpa_model.interpolation.sources import is_pattern
from vfidpa_model.interpolation.timeline import MAX_DENOMINATOR, Timeline

PIPES = {"y4m": "yuv4mpegpipe", "rawvideo": "rawvideo"}
CONTAINERS = {"mp4": "mp4", "m4v": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}
MOVING_SUFFIXES = tuple(MOVING)
_MAX_FACTOR = 32
_PREFERRED = {"psnr": "rife", "lpips": "rife-v4"}  # docs/results.md, "Which interpolator is best at what"


def parse_timeline(factor: int | None, fps: str | None, slow_motion: Fraction) -> Timeline | None:
    """Return when frames are shown; ``None`` for a slow motion that keeps the input's rate.

    Raises:
        UsageError: The options exclude each other or are out of range.
    """
    if fps is not None:
        if factor is not None:
            raise UsageError("--factor and --fps exclude each other; give one of them")
        return Timeline(fps=parse_rate("--fps", fps))
    if factor is None and slow_motion != 1:
        return Timeline(factor=int(slow_motion)) if slow_motion.denominator == 1 else None
    factor = 2 if factor is None else factor
    if not 2 <= factor <= _MAX_FACTOR:
        raise UsageError(f"--factor {factor} must be 2 to {_MAX_FACTOR}")
    return Timeline(factor=factor)


def parse_slow_motion(text: str | None) -> Fraction:
    """Return how many seconds each one becomes.

    Raises:
        UsageError: It is out of range.
    """
    if text is None:
        return Fraction(1)
    factor = _fraction(text)
    if not 1 < factor <= _MAX_FACTOR:
        raise UsageError(f"--slow-motion {text!r} must be a number above 1 and up to {_MAX_FACTOR}, e.g. 2 or 2.5")
    return factor.limit_denominator(100)


def parse_seconds(name: str, value: float | None, *, least: float) -> Fraction | None:
    """Return a number of seconds, exactly enough.

    Raises:
        UsageError: It is not above ``least`` (or equal to it, where that is 0).
    """
    if value is None:
        return None
    if not least <= value < float("inf") or (value == least and least < 0):
        raise UsageError(f"{name} {value} must be at least {least:g}")
    return Fraction(value).limit_denominator(10_000)


def parse_rate(name: str, text: str) -> Fraction:
    """Return frames per second.

    Raises:
        UsageError: It is no number above 0 and up to 1000.
    """
    rate = _fraction(text)
    if not 0 < rate <= 1000:
        raise UsageError(f"{name} {text!r} must be a number above 0 and up to 1000, or a fraction like 60000/1001")
    return rate


def parse_choice(name: str, value: str, choices: Sequence[str]) -> str:
    """Return ``value`` after checking that it is one of ``choices``.

    Raises:
        UsageError: It is not.
    """
    if value not in choices:
        raise UsageError(f"{name} {value!r} must be one of {', '.join(choices)}")
    return value


def preferred_fast(prefer: str, fast: str | None, *, spends: bool) -> str:
    """Return the name of the fast interpolator.

    Args:
        prefer: The measure that frames shall be good in, ``psnr`` or ``lpips``.
        fast: The one asked for, if any.
        spends: Something is said about when to use an accurate one.

    Raises:
        UsageError: The measure is unknown, or leaves nothing to an accurate interpolator.
    """
    chosen = _PREFERRED[parse_choice("--prefer", prefer, tuple(_PREFERRED))]
    if prefer == "lpips" and (fast is not None or spends):
        raise UsageError(
            f"--prefer lpips takes {chosen} for all frames, which no accurate interpolator improves in LPIPS; leave it "
            "out, or --fast, --accurate, --effort, --assessor, --threshold and the like"
        )
    return fast or chosen


def parse_encoder(
    codec: str | None, crf: int | None, bitrate: str | None, preset: str | None, options: Sequence[str]
) -> EncoderChoice:
    """Return what is said about the encoder.

    Raises:
        UsageError: The options exclude each other or are no ``KEY=VALUE``.
    """
    if crf is not None and bitrate is not None:
        raise UsageError("--crf and --bitrate exclude each other; give one of them")
    pairs = [option.partition("=") for option in options]
    for option, (name, _, value) in zip(options, pairs, strict=True):
        if not name or not value:
            raise UsageError(f"--encoder-option {option!r} must be KEY=VALUE, e.g. tune=animation")
    return EncoderChoice(codec, crf, bitrate, preset, {name: value for name, _, value in pairs})


def parse_target(source: Path, target: Path, container: str | None) -> tuple[Path, str]:
    """Return the output and FFmpeg's name of its container.

    Args:
        source: The input: pictures become pictures, where the output is a folder.

    Raises:
        UsageError: It is unknown.
    """
    suffix = target.suffix.lower().removeprefix(".")
    if str(target) == "-":
        if container not in (None, *PIPES):
            raise UsageError(f"container {container!r} cannot go to standard output; take one of {', '.join(PIPES)}")
        return target, PIPES[container or "y4m"]
    is_pictures = source.is_dir() or is_pattern(source)
    if is_pictures and not suffix and container is None:
        return target / "%06d.png", "image2"
    if is_pattern(target) and suffix in CODECS:
        return target, "image2"
    name = container or suffix
    if name not in (*CONTAINERS, *MOVING_SUFFIXES):
        raise UsageError(
            f"container {name!r} must be one of {', '.join((*CONTAINERS, *MOVING_SUFFIXES))}; name OUT so or give "
            "--container; pictures are named like frames/%06d.png"
        )
    return target, CONTAINERS.get(name, name)


def _fraction(text: str) -> Fraction:
    try:
        return Fraction(text).limit_denominator(MAX_DENOMINATOR)
    except (ValueError, ZeroDivisionError):
        return Fraction(0)
