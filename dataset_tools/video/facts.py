"""What a stream says of itself, as far as it matters for frames that people judge."""

import re
from pathlib import Path
from typing import Any, cast

import av

from dataset_tools.video.interlacing import flagged_field_order
from dataset_tools.video.pyav import PyavReader

_TRANSFERS = {  # FFmpeg's AVColorTransferCharacteristic; 2 is unspecified
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    11: "iec61966-2-4",
    12: "bt1361e",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    17: "smpte428",
    18: "arib-std-b67",
}
HDR_TRANSFERS = ("smpte2084", "arib-std-b67")  # PQ and HLG
_TOLERATED_SECONDS, _TOLERATED_SHARE = 0.5, 0.02  # writers round, and some count a pause at the end


def clip_facts(path: Path, *, decoder: str) -> dict[str, Any]:
    """Return ``frame_rate``, ``field_order``, ``transfer``, ``pixel_aspect``, ``bit_depth``, ``codec``, ``decoder``.

    ``duration_seconds`` besides: until when the stream claims to last.

    Raises:
        VideoError: The file is missing or unreadable.
    """
    with PyavReader(path) as reader:
        return facts_of(reader, decoder=decoder)


def facts_of(reader: PyavReader, *, decoder: str) -> dict[str, Any]:
    """Return what ``clip_facts`` does of an open clip of which no frame has been taken."""
    first, stream = reader.peek(), reader.stream
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if aspect and reader.matrix[0] == 0:  # turned by a quarter
        aspect = 1 / aspect
    return {
        "frame_rate": float(reader.usual_fps),
        "field_order": flagged_field_order(reader),
        "transfer": _TRANSFERS.get(int(first.color_trc)),
        "pixel_aspect": float(aspect) if aspect else 1.0,
        "bit_depth": first.format.components[0].bits,
        "codec": stream.codec_context.name,
        "decoder": decoder_version(decoder),
        "duration_seconds": _claimed_seconds(reader),
    }


def cut_off_note(claimed_seconds: float | None, last_pts: float | None, frame_rate: float | None) -> str:
    """Return what is missing at the end of a clip by its own account; empty when nothing is.

    Args:
        claimed_seconds: Duration by the stream.
        last_pts: Time of the last picture in seconds.
    """
    if claimed_seconds is None or last_pts is None:
        return ""
    there = last_pts + (1 / frame_rate if frame_rate else 0.0)
    missing = claimed_seconds - there
    if missing <= max(_TOLERATED_SECONDS, _TOLERATED_SHARE * claimed_seconds):
        return ""
    return f"cut off: it claims {claimed_seconds:.1f} s, and its pictures end after {there:.1f} s"


def _claimed_seconds(reader: PyavReader) -> float | None:
    """Return how long the video is by its stream, or by the tag that Matroska's writers leave; ``None`` if unsaid."""
    stream = reader.stream
    if stream.duration and stream.time_base:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)\s*", stream.metadata.get("DURATION", ""))
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None


def decoder_version(decoder: str) -> str:
    """Return a decoder's name and version, e.g. ``pyav 18.1.0, libavcodec 62.28.102``."""
    if decoder == "decord":
        from importlib.metadata import version

        return f"decord {version('decord')}"
    codec = ".".join(map(str, cast(dict[str, tuple[int, ...]], av.library_versions)["libavcodec"]))
    return f"pyav {av.__version__}, libavcodec {codec}"
