"""Encoded pieces of a video on disk, and putting them together: what makes an interpolation resumable.

A piece is a file of packets, whole or absent. Pieces are encoded independently, so a run that was killed ends in the
same video stream as one that was not.
"""

import heapq
import json
import os
import shutil
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error
from av.video.stream import VideoStream

from dataset_tools.errors import VideoError
from dataset_tools.files import write_json
from dataset_tools.video_pyav import open_container
from vfidpa_model.timeline import decoding_times

_PACKET = struct.Struct("<qBI")  # presentation time, keyframe, number of bytes that follow
_COPIED = ("audio", "subtitle", "attachment")


class WorkFolder:
    """The hidden folder beside an output that holds its pieces while it is made.

    Attributes:
        path: The folder.
    """

    def __init__(self, output: Path) -> None:
        """Name the folder that belongs to ``output``; nothing is written yet."""
        self.path = output.parent / f".{output.name}.parts"

    def prepare(self, job: dict[str, Any], *, resume: bool) -> int:
        """Create the folder and return how many pieces of the same job are already whole.

        Args:
            job: Everything that decides what the pieces look like.
            resume: Keep the pieces of an earlier run; else they are removed.

        Raises:
            VideoError: The pieces there belong to another job.
        """
        note = self.path / "job.json"
        if resume and note.exists():
            if json.loads(note.read_text()) != job:
                raise VideoError(f"cannot resume {self.path}: input or options have changed; run without --resume")
            return next(index for index in range(1 << 30) if not self.piece(index).exists())
        self.remove()
        self.path.mkdir(parents=True)
        write_json(note, job)
        return 0

    def piece(self, index: int) -> Path:
        """Return the path of a piece."""
        return self.path / f"{index:06d}.packets"

    def remove(self) -> None:
        """Remove the folder and all in it, if it is there."""
        shutil.rmtree(self.path, ignore_errors=True)


def write_packet(file: BinaryIO, packet: "av.Packet[Any]") -> None:
    """Append one encoded packet to a piece."""
    data = bytes(packet)
    file.write(_PACKET.pack(packet.pts or 0, packet.is_keyframe, len(data)))
    file.write(data)


def join(pieces: list[Path], *, source: Path, target: Path, container: str, video: Any, end_ticks: int) -> int:
    """Write ``target`` from the pieces, with the other tracks, chapters and tags of ``source``.

    Args:
        target: Written in place: give a temporary name in the folder of the final one.
        container: FFmpeg's name of the container.
        video: A ``vfidpa_model.video_writer.Encoding``.
        end_ticks: When the last frame ends, in the video's time base.

    Returns:
        The number of frames written.

    Raises:
        VideoError: A track cannot be stored in this container.
    """
    with open_container(source) as original, av.open(str(target), "w", format=container) as output:
        stream = video.add_stream(output)
        copied = {track.index: _copy_stream(track, output) for track in tracks_to_copy(original)}
        output.metadata.update({key: value for key, value in original.metadata.items() if key in _KEPT_TAGS})
        output.set_chapters(original.chapters())
        output.start_encoding()
        pts = [value for piece in pieces for value, _, _ in _read(piece, with_data=False)]
        packets = _video_packets(pieces, pts, stream, video.time_base, end_ticks)
        for packet in heapq.merge(packets, _other_packets(original, copied), key=_seconds):
            output.mux_one(packet)
    _sync(target)
    return len(pts)


_KEPT_TAGS = ("title", "artist", "album", "comment", "date", "genre", "copyright", "creation_time", "description")


def tracks_to_copy(container: av.container.InputContainer) -> list[Any]:
    """Return the streams that are taken over as they are: audio, subtitles, attached files."""
    return [stream for stream in container.streams if stream.type in _COPIED]


def check_tracks(source: Path, container: str) -> None:
    """Check, before any work, that a container can hold the other tracks of a file.

    Raises:
        VideoError: It cannot; the message names the track and a container that can.
    """
    with open_container(source) as original:
        for stream in tracks_to_copy(original):
            name = "unknown" if stream.codec_context is None else stream.codec_context.codec.canonical_name
            if stream.type == "attachment" and container == "matroska":
                continue
            if name not in supported_codecs(container):
                raise VideoError(
                    f"clip {source}: track {stream.index} ({stream.type}, {name}) cannot be stored in {container}; "
                    "give the output the file type of the input"
                )


def _copy_stream(track: Any, output: av.container.OutputContainer) -> Any:
    stream: Any = output.add_stream_from_template(track)
    stream.metadata.update(track.metadata)
    stream.disposition = track.disposition
    return stream


def supported_codecs(container: str) -> set[str]:
    """Return the names of all codecs that a container can hold."""
    with av.open(os.devnull, "w", format=container) as output:
        return output.supported_codecs


def _video_packets(
    pieces: list[Path], pts: list[int], stream: VideoStream, time_base: Fraction, end_ticks: int
) -> Iterator[Any]:
    following = dict(zip(sorted(pts), [*sorted(pts)[1:], end_ticks], strict=True))
    decoding = iter(decoding_times(pts))
    for piece in pieces:
        for value, keyframe, data in _read(piece, with_data=True):
            packet = av.Packet(data)
            packet.pts, packet.dts, packet.duration = value, next(decoding), following[value] - value
            packet.time_base, packet.is_keyframe, packet.stream = time_base, bool(keyframe), stream
            yield packet


def _read(piece: Path, *, with_data: bool) -> Iterator[tuple[int, int, bytes]]:
    with piece.open("rb") as file:
        while head := file.read(_PACKET.size):
            pts, keyframe, size = _PACKET.unpack(head)
            if with_data:
                yield pts, keyframe, file.read(size)
            else:
                file.seek(size, os.SEEK_CUR)
                yield pts, keyframe, b""


def _other_packets(original: av.container.InputContainer, copied: dict[int, Any]) -> Iterator[Any]:
    wanted = [stream for stream in tracks_to_copy(original) if stream.type != "attachment"]
    if not wanted:
        return
    for packet in original.demux(wanted):
        if packet.dts is not None:
            packet.stream = copied[packet.stream.index]
            yield packet


def _seconds(packet: Any) -> float:
    return float(packet.dts * packet.time_base)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
