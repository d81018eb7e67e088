"""Which encoder, at which quality, in which picture format: what players show without a word, unless told otherwise."""

import os
import re
from dataclasses import dataclass, field
from typing import Any

import av
import av.codec
from av.codec.codec import find_best_pix_fmt_of_list

from dataset_tools.errors import VideoError
from vfidpa_model.interpolation.colours import has_alpha, is_deep, is_rgb

# Quality that shows no difference at normal size, at a speed well above that of any interpolator.
_OPTIONS: dict[str, dict[str, str]] = {
    # A resumed run must give the same stream, so x264 goes without what makes its bits depend on more than the frames:
    # mbtree reads memory that was never written (MALLOC_PERTURB_ changes the result), and with lookahead threads 20
    # encodings of one clip gave 10 results. The preset makes up for the speed of one thread.
    "libx264": {"crf": "18", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"},
    "libx264rgb": {"crf": "18", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"},
    "libx265": {"crf": "20", "preset": "medium", "x265-params": "log-level=error"},
    "libvpx-vp9": {"crf": "28", "b": "0", "row-mt": "1", "cpu-used": "4"},
    "libvpx": {"crf": "8", "b": "50M", "cpu-used": "4"},
    "libsvtav1": {"crf": "28", "preset": "8"},
    "libaom-av1": {"crf": "24", "b": "0", "row-mt": "1", "cpu-used": "6"},
    "ffv1": {"level": "3"},
    "mjpeg": {"flags": "+qscale", "global_quality": str(2 * 118), "strict": "unofficial"},  # takes video's range, too
    "dnxhd": {"profile": "dnxhr_hq"},
    "h264_nvenc": {"rc": "vbr", "cq": "19", "b": "0", "preset": "p5"},
    "hevc_nvenc": {"rc": "vbr", "cq": "21", "b": "0", "preset": "p5"},
    "av1_nvenc": {"rc": "vbr", "cq": "26", "b": "0", "preset": "p5"},
    "h264_qsv": {"global_quality": "20", "preset": "medium"},
    "hevc_qsv": {"global_quality": "22", "preset": "medium"},
    "av1_qsv": {"global_quality": "26", "preset": "medium"},
    "vp9_qsv": {"global_quality": "26", "preset": "medium"},
    # q:v of 0 to 100, higher is better, in FFmpeg's units of 1/118; of Apple's processors only
    "h264_videotoolbox": {"flags": "+qscale", "global_quality": str(65 * 118)},
    "hevc_videotoolbox": {"flags": "+qscale", "global_quality": str(65 * 118)},
}
# Others would encode at FFmpeg's 200 kbit/s: here each block at the second finest of 31 steps.
_QUANTIZED = ("mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2", "flv1", "h263p")
_FINE_STEPS = {"flags": "+qscale", "global_quality": str(2 * 118)}
_QUALITY = ("crf", "cq", "global_quality")  # names of the option behind --crf
_RATE_FREE = ("crf", "cq", "global_quality", "flags", "rc", "b")  # what --bitrate takes the place of
# Encoders whose bits do not depend on the number of threads (tests/vfidpa_model/interpolation/test_encoders.py); VP9's
# with one thread are others than those with several.
_THREADED = ("libvpx-vp9", "prores_ks", "png", "dnxhd")
_LEAST_THREADS, _MOST_THREADS = 2, 8
FOR_PLAYERS = ("libx264", "libx265", "libvpx-vp9", "libsvtav1")  # RGB is encoded as 4:2:0: little plays the rest
_EVEN = ("libx264", "libx265", "libsvtav1", "nvenc", "qsv", "videotoolbox")  # need even sizes for halved chroma
_WITH_ALPHA = {"mov": "prores_ks", "webm": "libvpx-vp9"}  # what keeps transparency, by container
_OPAQUE = ("libx265", "libvpx")  # take pictures with transparency, but few players show it, or Matroska's has no place
_BITRATE = re.compile(r"\d+(\.\d+)?[kKmM]?")


@dataclass(frozen=True)
class EncoderChoice:
    """What the user says about the encoder.

    Attributes:
        codec: FFmpeg's name; ``None`` takes what common players show.
        crf: Constant quality, lower is better.
        bitrate: Bits per second instead, e.g. ``"8M"``.
        preset: Speed against size, in the encoder's own words.
        options: FFmpeg's options for it, over all else; ``pix_fmt`` is the picture format.
    """

    codec: str | None = None
    crf: int | None = None
    bitrate: str | None = None
    preset: str | None = None
    options: dict[str, str] = field(default_factory=dict)


def encoder_name(choice: EncoderChoice, *, container: str, first: av.VideoFrame, keeps_alpha: bool = False) -> str:
    """Return the name of the encoder ("h264" is libx264), after checking that it fits the container.

    Args:
        first: A frame of the input: more than 8 bits become HEVC (AV1 in WebM), which players show, unlike H.264 so.
        keeps_alpha: Transparency becomes ProRes 4444 in .mov and VP9 in .webm.

    Raises:
        VideoError: It is not in this build of FFmpeg, is not for video, or does not fit the container.
    """
    codec = choice.codec
    if codec is None:
        plain, deep = ("libvpx-vp9", "libsvtav1") if container == "webm" else ("libx264", "libx265")
        codec = deep if is_deep(first) else plain
        codec = _WITH_ALPHA.get(container, codec) if keeps_alpha else codec
    try:
        known = av.codec.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        known = None
    if known is None or known.type != "video":
        raise VideoError(f"codec {codec!r} is no video encoder of this FFmpeg; try {', '.join(FOR_PLAYERS)}, ffv1")
    with av.open(os.devnull, "w", format=container) as output:
        if known.canonical_name not in output.supported_codecs:
            raise VideoError(f"codec {codec!r} cannot be stored in {container}; choose another of the two")
    return known.name


def encoder_options(codec: str, choice: EncoderChoice) -> dict[str, str]:
    """Return the options for an encoder.

    Raises:
        VideoError: It has no such option.
    """
    encoder: Any = av.CodecContext.create(codec, "w")
    own = {option.name for option in encoder.supported_options.private}
    known = own | {option.name for option in encoder.supported_options.generic}
    options = dict(_OPTIONS.get(codec, _FINE_STEPS if encoder.codec.canonical_name in _QUANTIZED else {}))
    if choice.crf is not None:
        name = next((name for name in _QUALITY if name in options or name in own), None)
        if name is None or "flags" in options:
            raise VideoError(f"codec {codec!r} takes no --crf; leave it out, or give --bitrate")
        options[name] = str(choice.crf)
    if choice.bitrate is not None:
        if not _BITRATE.fullmatch(choice.bitrate):
            raise VideoError(f"--bitrate {choice.bitrate!r} must be bits per second, e.g. 8M or 2500k")
        options = {name: value for name, value in options.items() if name not in _RATE_FREE} | {"b": choice.bitrate}
    if choice.preset is not None:
        if "preset" not in own:
            raise VideoError(f"codec {codec!r} takes no --preset; leave it out")
        options["preset"] = choice.preset
    if codec in _THREADED:
        options["threads"] = str(max(_LEAST_THREADS, min(os.cpu_count() or 1, _MOST_THREADS)))
    for name, value in choice.options.items():
        if name == "pix_fmt":
            continue
        if name not in known:
            raise VideoError(f"--encoder-option {name}={value}: codec {codec!r} has no such option")
        options[name] = value
    if codec == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only: it tells its settings for every piece otherwise
    return options


def picture_format(
    codec: str, first: av.VideoFrame, *, is_chosen: bool = True, keeps_alpha: bool = False, container: str = ""
) -> str:
    """Return the picture format to encode in: that of the input's first frame, else the closest the codec takes.

    Args:
        is_chosen: The user asked for this codec; else it is 4:2:0, which all players show.
        keeps_alpha: One with transparency, where the codec has one and the container stores it; else never one.
    """
    known = [fmt for fmt in av.codec.Codec(codec, "w").video_formats or () if fmt.components and not fmt.has_palette]
    source = first.format.name
    clear = [fmt.name for fmt in known if has_alpha(fmt)] if keeps_alpha and _stores_alpha(codec, container) else []
    if clear and codec in FOR_PLAYERS:
        return "yuva420p"
    if clear:
        closest, _ = find_best_pix_fmt_of_list(clear, source, True)
        return closest.name if closest else clear[0]
    names = [fmt.name for fmt in known if not has_alpha(fmt)]
    colourless = source.startswith(("gray", "mono")) and not any(name.startswith("gray") for name in names)
    if codec in FOR_PLAYERS and ((not is_chosen and not _is_plain(first.format)) or is_rgb(first.format) or colourless):
        source = "yuv420p10le" if is_deep(first) else "yuv420p"
    closest, _ = find_best_pix_fmt_of_list(names, source, False)
    return closest.name if closest else source


def checked_format(codec: str, name: str) -> str:
    """Return a picture format that the user gives.

    Raises:
        VideoError: The encoder does not take it.
    """
    names = [fmt.name for fmt in av.codec.Codec(codec, "w").video_formats or ()]
    if names and name not in names:
        raise VideoError(f"--encoder-option pix_fmt={name}: codec {codec!r} takes {', '.join(names)}")
    return name


def is_halved(fmt: av.VideoFormat) -> bool:
    """Return whether a picture format has a quarter of the colour samples (4:2:0)."""
    sized = av.VideoFormat(fmt.name, 16, 16)
    return (sized.chroma_width(), sized.chroma_height()) == (8, 8)


def encoded_size(codec: str, pix_fmt: str, first: av.VideoFrame) -> tuple[int, int]:
    """Return width and height to encode: one more where halved chroma needs even numbers."""
    width, height = first.width, first.height
    fmt = av.VideoFormat(pix_fmt, 16, 16)
    if not any(name in codec for name in _EVEN):
        return width, height
    across, down = (16 // side for side in (fmt.chroma_width(), fmt.chroma_height()))
    return -(-width // across) * across, -(-height // down) * down


def _stores_alpha(codec: str, container: str) -> bool:
    return codec not in _OPAQUE and (codec != "libvpx-vp9" or container in ("matroska", "webm"))


def _is_plain(fmt: av.VideoFormat) -> bool:
    return is_halved(fmt) and not has_alpha(fmt) and fmt.components[0].bits in (8, 10)
