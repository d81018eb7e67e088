"""The alternative video reader: decord, reading forward, and only files it is known to read rightly.

decord was measured to return wrong frames on edit lists, MPEG-TS, missing first keyframes and AVI with B-frames, to
take another stream than the first, and to fail on AV1. The packets, read with PyAV, tell whether a file is such a one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.error
import cv2
import numpy as np

from dataset_tools.errors import VideoError
from dataset_tools.frames import Rgb
from dataset_tools.video.pyav import PyavReader, is_mirrored, open_container
from dataset_tools.video.reader import Luma, VideoFrame, VideoReader

_CONTAINERS = ("mov", "matroska")
_CODECS = ("h264", "hevc", "vp8", "vp9", "mpeg4", "mpeg2video", "mjpeg", "prores", "ffv1")


class DecordFrame(VideoFrame):
    """A frame of ``DecordReader``: pixels come as RGB by decord's own conversion, up to a few levels from PyAV's."""

    __slots__ = ("_pixels",)

    def __init__(self, index: int, pts_seconds: float, *, pixels: Rgb) -> None:
        super().__init__(index, pts_seconds)
        self._pixels = pixels

    def rgb(self) -> Rgb:
        return self._pixels

    def luma(self) -> Luma:
        return np.asarray(cv2.cvtColor(self._pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


class DecordReader(VideoReader):
    """Reads a clip with decord; see ``dataset_tools.video.VideoReader``."""

    def __init__(self, path: Path) -> None:
        with PyavReader(path) as reader:  # also proves that the first frame can be decoded
            self.info = reader.info
            mirrored = is_mirrored(reader.matrix)
        if mirrored:
            raise _refusal(path, "it is stored mirrored")
        self._path = path
        self._pts_seconds = _presentation_times(path)
        self._decoder = _open_decord(path)
        if len(self._decoder) != len(self._pts_seconds):
            raise _refusal(path, f"it counts {len(self._decoder)} frames where {len(self._pts_seconds)} are stored")
        self._next_index = 0
        _check_undamaged(path, len(self._pts_seconds))

    def frames(self) -> Iterator[DecordFrame]:
        while self._next_index < len(self._pts_seconds):
            index = self._next_index
            try:
                pixels: Rgb = self._decoder.next().asnumpy()
            except Exception as error:  # decord raises its own error class, StopIteration and ValueError
                raise VideoError(
                    f"clip {self._path}: decord cannot decode frame {index}: {_last_line(error)}"
                ) from error
            if pixels.shape[:2] != (self.info.height, self.info.width):
                raise _refusal(self._path, f"frame {index} has another size, {pixels.shape[1]}x{pixels.shape[0]}")
            self._next_index += 1
            yield DecordFrame(index, self._pts_seconds[index], pixels=pixels)

    def close(self) -> None:
        self._decoder = None


def _check_undamaged(path: Path, num_frames: int) -> None:
    """Refuse a clip with damage: decord paints over it and says nothing (17 of 28 wrong frames after a flipped bit).

    PyAV decodes all of it for that, with errors told; damage that decodes as another valid picture no decoder sees.
    """
    with PyavReader(path) as reader:
        found = sum(1 for _ in reader.frames())
    if found != num_frames:
        raise _refusal(path, f"{found} of {num_frames} stored pictures can be decoded")


def _open_decord(path: Path) -> Any:
    import decord

    decord.logging.set_level(decord.logging.FATAL)
    try:
        return decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    except Exception as error:
        raise VideoError(f"clip {path}: decord cannot open it: {_last_line(error)}") from error


def _presentation_times(path: Path) -> list[float]:
    """Return the presentation time of every stored picture, sorted, after checking what decord cannot do."""
    with open_container(path) as container:
        streams = container.streams.video
        if not container.format.name.startswith(_CONTAINERS):
            raise _refusal(path, f"container {container.format.name!r} must be mp4, mov, mkv or webm")
        if len(streams) > 1:
            raise _refusal(path, f"it has {len(streams)} video streams and decord may not take the first")
        if streams[0].codec_context.name not in _CODECS:
            raise _refusal(path, f"codec {streams[0].codec_context.name!r} must be one of {', '.join(_CODECS)}")
        try:
            packets = [packet for packet in container.demux(streams[0]) if packet.size]
        except (av.error.FFmpegError, OSError) as error:
            raise VideoError(f"clip {path}: cannot be read: {error}") from error
    if any(packet.is_corrupt for packet in packets):
        raise VideoError(f"clip {path}: a packet is damaged or cut off")
    stamps = [packet.pts * packet.time_base for packet in packets if packet.pts is not None]
    if len(stamps) < len(packets) or min(stamps) < 0 or any(packet.is_discard for packet in packets):
        raise _refusal(path, "it has an edit list or no time stamps")
    if not packets[0].is_keyframe or min(stamps) != stamps[0]:
        raise _refusal(path, "it does not start with a keyframe")
    return [float(stamp) for stamp in sorted(stamps)]


def _refusal(path: Path, reason: str) -> VideoError:
    return VideoError(f"clip {path}: refused for decord: {reason}; use --decoder pyav")


def _last_line(error: Exception) -> str:
    return str(error).strip().rpartition("\n")[2].rpartition("] ")[2]
