"""Encoded pieces of a video on disk, and putting them together: what makes an interpolation resumable.

A piece is a file of packets, whole or absent. Pieces are encoded independently, so a run that was killed ends in the
same video stream as one that was not.
"""

import heapq
import os
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
from av.format import Flags
from av.packet import PacketSideData
from av.video.stream import VideoStream

from dataset_tools.video.pyav import open_container
from vfidpa_model.interpolation.timeline import decoding_times
from vfidpa_model.interpolation.tracks import add_track, is_cover, tracks_to_copy

_PACKET = struct.Struct("<qBI")  # presentation time, what there is (see below), number of bytes that follow
_SIZE = struct.Struct("<I")
_KEYFRAME, _HAS_ALPHA = 1, 2  # the second: a number of bytes and the transparency follow, as Matroska stores it beside
_ALPHA_KIND, _ALPHA_NUMBER = "matroska_block_additional", 15  # FFmpeg's name and number of that
_TIMED = ("audio", "subtitle", "video")
_RUN_UP = Fraction(1, 10)  # seconds of sound before the start that a decoder may need: AAC 0.05, Opus 0.08
# not about the film; a time code would become a track of its own
_ABOUT_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "timecode")


def write_packet(file: BinaryIO, packet: "av.Packet[Any]") -> None:
    """Append one encoded packet to a piece."""
    data = bytes(packet)
    alpha = bytes(packet.get_sidedata(_ALPHA_KIND)) if packet.has_sidedata(_ALPHA_KIND) else b""
    file.write(_PACKET.pack(packet.pts or 0, _KEYFRAME * packet.is_keyframe | _HAS_ALPHA * bool(alpha), len(data)))
    file.write(data)
    if alpha:
        file.write(_SIZE.pack(len(alpha)) + alpha)


def join(pieces: list[Path], *, source: Path, target: Path, container: str, video: Any, end_ticks: int) -> int:
    """Write ``target`` from the pieces, with the other tracks, chapters and tags of ``source``.

    Where the clock of ``source`` starts anywhere, the output starts at 0.

    Args:
        target: Written in place: give a temporary name in the folder of the final one.
        container: FFmpeg's name of the container.
        video: A ``vfidpa_model.interpolation.writer.Encoding``.
        end_ticks: When the last frame ends, in the video's time base.

    Returns:
        The number of frames written.

    Raises:
        VideoError: A track cannot be stored in this container.
    """
    url = f"file:{target}"  # else a colon in the name is taken for a protocol
    with (
        open_container(source) as original,
        av.open(url, "w", format=container, options=_options(original, container)) as output,
    ):
        stream = video.add_stream(output)
        copied = {track.index: add_track(track, output) for track in tracks_to_copy(original, container)}
        output.metadata.update(kept_tags(original.metadata))
        output.set_chapters(original.chapters())
        output.start_encoding()
        pts = [value for piece in pieces for value, *_ in _read(piece, with_data=False)]
        start = clock_start(original)
        packets = _video_packets(pieces, pts, stream, video.time_base, end_ticks, round(start / video.time_base))
        hides = container in ("mp4", "mov")  # these have edit lists
        for packet in heapq.merge(packets, _other_packets(original, copied, start, hides=hides), key=_seconds):
            output.mux_one(packet)
    _sync(target)
    return len(pts)


def clock_start(original: av.container.InputContainer) -> Fraction:
    """Return the time at which a stream begins that was cut out of a broadcast, whose clock starts anywhere; else 0.

    FFmpeg marks these containers (MPEG-TS, MPEG-PS, Ogg). In others a late start is meant: a player shows it.
    """
    flags, anywhere = int(original.format.flags), cast(int, Flags.ts_discont.value)
    if original.start_time is None or not flags & anywhere:
        return Fraction(0)
    return Fraction(original.start_time, av.time_base)


def kept_tags(metadata: dict[str, str]) -> dict[str, str]:
    """Return the tags of a file that hold for the film in it: title, place, date, camera."""
    return {key: value for key, value in metadata.items() if key.lower() not in _ABOUT_THE_FILE}


def _video_packets(
    pieces: list[Path], pts: list[int], stream: VideoStream, time_base: Fraction, end_ticks: int, start_ticks: int
) -> Iterator[Any]:
    following = dict(zip(sorted(pts), [*sorted(pts)[1:], end_ticks], strict=True))
    decoding = iter(decoding_times(pts))
    for piece in pieces:
        for value, keyframe, data, alpha in _read(piece, with_data=True):
            packet = av.Packet(data)
            if alpha:
                make: Any = PacketSideData
                beside = make(_ALPHA_NUMBER, len(alpha))
                beside.update(alpha)
                packet.set_sidedata(beside)
            packet.pts, packet.dts = value - start_ticks, next(decoding) - start_ticks
            packet.duration = following[value] - value
            packet.time_base, packet.is_keyframe, packet.stream = time_base, keyframe, stream
            yield packet


def _read(piece: Path, *, with_data: bool) -> Iterator[tuple[int, bool, bytes, bytes]]:
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


def _other_packets(
    original: av.container.InputContainer, copied: dict[int, Any], start: Fraction, *, hides: bool
) -> Iterator[Any]:
    """Yield the packets of the other tracks; ``hides``: the output can have sound that is not to be heard."""
    wanted = [stream for stream in original.streams if stream.index in copied and copied[stream.index].type in _TIMED]
    if not wanted:
        return
    for packet in original.demux(wanted):
        if is_cover(packet.stream) and packet.size:
            packet.pts = packet.dts = 0
        elif (decoded := packet.pts if packet.dts is None else packet.dts) is None:
            continue
        else:
            ticks = round(start / packet.time_base)
            packet.dts, packet.pts = decoded - ticks, None if packet.pts is None else packet.pts - ticks
            ends = (decoded - ticks + (packet.duration or 0)) * packet.time_base
            if packet.is_discard and not hides and ends < -_RUN_UP:
                continue
        packet.stream = copied[packet.stream.index]
        yield packet


def _options(original: av.container.InputContainer, container: str) -> dict[str, str]:
    """Return options for the container: what tells the place of all is put in front, for players on the web.

    Phones put place, date and camera into tags that are only kept when told.
    """
    if container not in ("mp4", "mov"):
        return {}
    kept = "+use_metadata_tags" if any(key.startswith("com.") for key in original.metadata) else ""
    return {"movflags": "+faststart" + kept}


def _seconds(packet: Any) -> float:
    return float(packet.dts * packet.time_base)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
