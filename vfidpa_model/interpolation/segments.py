"""Encoded pieces of a video on disk, and putting them together: what makes an interpolation resumable.

A piece is a file of packets, whole or absent. Pieces are encoded independently, so a run that was killed ends in the
same video stream as one that was not.
"""

import heapq
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.packet import PacketSideData
from av.video.stream import VideoStream

from dataset_tools.common.priority import usual_priority
from dataset_tools.video.pyav import open_container
from vfidpa_model.interpolation.copying import Clock, other_packets
from vfidpa_model.interpolation.display_size import set_display_size
from vfidpa_model.interpolation.timeline import decoding_times
from vfidpa_model.interpolation.tracks import TrackPlan, add_track

_PACKET = struct.Struct("<qBI")  # presentation time, what there is (see below), number of bytes that follow
_SHAPE_IN_STREAM = ("h264", "hevc", "mpeg4", "mpeg2video")  # codecs whose own headers tell the pixel shape
_SIZE = struct.Struct("<I")
_KEYFRAME, _HAS_ALPHA = 1, 2  # the second: a number of bytes and the transparency follow, as Matroska stores it beside
_ALPHA_NUMBER = 15  # FFmpeg's AV_PKT_DATA_MATROSKA_BLOCKADDITIONAL
# not about the film; a time code would become a track of its own
_ABOUT_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "timecode")


def write_packet(file: BinaryIO, packet: "av.Packet[Any]") -> None:
    """Append one encoded packet to a piece."""
    data = bytes(packet)
    alpha = (
        bytes(packet.get_sidedata("matroska_block_additional"))
        if packet.has_sidedata("matroska_block_additional")
        else b""
    )
    file.write(_PACKET.pack(packet.pts or 0, _KEYFRAME * packet.is_keyframe | _HAS_ALPHA * bool(alpha), len(data)))
    file.write(data)
    if alpha:
        file.write(_SIZE.pack(len(alpha)) + alpha)


def join(
    pieces: list[Path],
    *,
    source: Path | None,
    tracks: Sequence[TrackPlan],
    clock: Clock,
    target: Path,
    container: str,
    video: Any,
    end_ticks: int,
) -> int:
    """Write ``target`` from the pieces, with other tracks, chapters and tags of ``source``.

    Args:
        tracks: What becomes of the other tracks of ``source``.
        clock: How times in ``source`` become times in the output, which those of the pieces are.
        target: Written in place: give a temporary name in the folder of the final one.
        container: FFmpeg's name of the container.
        video: A ``vfidpa_model.interpolation.writer.Encoding``.
        end_ticks: When the last frame ends, in the video's time base.

    Returns:
        The number of frames written.
    """
    url = f"file:{target}"  # else a colon in the name is taken for a protocol
    with ExitStack() as stack:
        original = None if source is None else stack.enter_context(open_container(source))
        output = stack.enter_context(av.open(url, "w", format=container, options=_options(original, container)))
        stream = video.add_stream(output)
        others: Iterator[Any] = iter(())
        if original is not None:
            copied = {track.index: add_track(original.streams[track.index], output, track) for track in tracks}
            output.metadata.update(kept_tags(original.metadata))
            chapters = [_moved(chapter, clock) for chapter in original.chapters()]
            output.set_chapters([chapter for chapter in chapters if chapter["start"] < chapter["end"]])
            hides = container in ("mp4", "mov")  # these have edit lists
            others = other_packets(original, copied, clock, tracks=tracks, hides=hides)
        with usual_priority():
            output.start_encoding()
        pts = [value for piece in pieces for value, *_ in read_piece(piece, with_data=False)]
        packets = _video_packets(pieces, pts, stream, video.time_base, end_ticks)
        for packet in heapq.merge(packets, others, key=_seconds):
            output.mux_one(packet)
    shape = video.tags.get("sample_aspect_ratio")
    named = av.codec.Codec(video.codec, "w").canonical_name
    if container in ("matroska", "webm") and shape not in (None, 1) and named not in _SHAPE_IN_STREAM:
        set_display_size(target, video.width, video.height, shape)
    _sync(target)
    return len(pts)


def _moved(chapter: Any, clock: Clock) -> Any:
    if (clock.zero, clock.stretch, clock.end) == (0, 1, None):
        return chapter
    unit = chapter["time_base"]
    last = chapter["end"] * unit if clock.end is None else clock.zero + clock.end / clock.stretch
    ends = [max(clock.zero, min(chapter[name] * unit, last)) for name in ("start", "end")]
    start, end = (round(clock.output(value) / unit) for value in ends)
    return {**chapter, "start": start, "end": end}


def kept_tags(metadata: dict[str, str]) -> dict[str, str]:
    """Return the tags of a file that hold for the film in it: title, place, date, camera."""
    return {key: value for key, value in metadata.items() if key.lower() not in _ABOUT_THE_FILE}


def _video_packets(
    pieces: list[Path], pts: list[int], stream: VideoStream, time_base: Fraction, end_ticks: int
) -> Iterator[Any]:
    following = dict(zip(sorted(pts), [*sorted(pts)[1:], end_ticks], strict=True))
    decoding = iter(decoding_times(pts))
    for piece in pieces:
        for value, keyframe, data, alpha in read_piece(piece, with_data=True):
            packet = av.Packet(data)
            if alpha:
                make: Any = PacketSideData
                beside = make(_ALPHA_NUMBER, len(alpha))
                beside.update(alpha)
                packet.set_sidedata(beside)
            packet.pts, packet.dts = value, next(decoding)
            packet.duration = following[value] - value
            packet.time_base, packet.is_keyframe, packet.stream = time_base, keyframe, stream
            yield packet


def read_piece(piece: Path, *, with_data: bool) -> Iterator[tuple[int, bool, bytes, bytes]]:
    """Yield presentation time, whether it is a keyframe, data and transparency of each packet."""
    with piece.open("rb") as file:
        while head := file.read(_PACKET.size):
            pts, flags, size = _PACKET.unpack(head)
            data, alpha = (file.read(size), b"") if with_data else (b"", b"")
            if not with_data:
                file.seek(size, os.SEEK_CUR)
            if flags & _HAS_ALPHA:
                (size,) = _SIZE.unpack(file.read(_SIZE.size))
                alpha = file.read(size)
            yield pts, bool(flags & _KEYFRAME), data, alpha


def _options(original: av.container.InputContainer | None, container: str) -> dict[str, str]:
    """Return options for the container: what tells the place of all is put in front, for players on the web.

    Phones put place, date and camera into tags that are only kept when told.
    """
    if container not in ("mp4", "mov"):
        return {}
    kept = "+use_metadata_tags" if original and any(key.startswith("com.") for key in original.metadata) else ""
    return {"movflags": "+faststart" + kept}


def _seconds(packet: Any) -> float:
    return float(packet.dts * packet.time_base)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
