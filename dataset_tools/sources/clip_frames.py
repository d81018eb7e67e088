"""The frames of a clip, forward and once: of a video file, or of a sequence of image files."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from dataset_tools.common.files import sha256_file
from dataset_tools.errors import FrameError, VideoError
from dataset_tools.frames import Rgb, read_image
from dataset_tools.sources import Clip
from dataset_tools.video import open_video
from dataset_tools.video.facts import HDR_TRANSFERS
from dataset_tools.video.interlacing import deinterlaced
from dataset_tools.video.pyav import PyavFrame, PyavReader
from dataset_tools.video.reader import Luma
from dataset_tools.video.tonemap import tone_mapped_frame


class Frame(Protocol):
    """One frame: ``dataset_tools.video.reader.VideoFrame``, or its like from an image file."""

    index: int

    def rgb(self) -> Rgb:
        """Return the picture as 8-bit RGB, shape (height, width, 3)."""
        ...

    def luma(self) -> Luma:
        """Return its luma, 8-bit, shape (height, width)."""
        ...


class ImageFrame:
    """A frame from an image file; it has a presentation time when the frame rate is known."""

    def __init__(self, index: int, rgb: Rgb, frame_rate: float | None = None) -> None:
        self.index = index
        self.pts_seconds = index / frame_rate if frame_rate else None
        self._rgb = rgb

    def rgb(self) -> Rgb:
        """Return the file's pixels."""
        return self._rgb

    def luma(self) -> Luma:
        """Return the weighted mean of the channels (OpenCV's fixed-point conversion: the same on every CPU)."""
        return np.asarray(cv2.cvtColor(self._rgb, cv2.COLOR_RGB2GRAY), np.uint8)


@dataclass(frozen=True)
class Treatment:
    """What is done to pictures that are not as people should see them.

    Attributes:
        deinterlace: Make the missing rows of each picture's first field anew.
        hdr_transfer: Map the tones of this curve to 8-bit BT.709; ``None`` for other video.
    """

    deinterlace: bool = False
    hdr_transfer: str | None = None


AS_DECODED = Treatment()


def treatment_of(facts: Mapping[str, Any], *, interlaced: str, hdr: str) -> Treatment:
    """Return what is done to a clip's pictures.

    Args:
        facts: ``field_order`` and ``transfer`` of the clip; missing ones are unknown.
        interlaced: ``reject``, ``deinterlace`` or ``keep``.
        hdr: ``reject`` or ``tonemap``; anything else leaves them as they are.
    """
    transfer = facts.get("transfer")
    is_interlaced = facts.get("field_order") not in (None, "progressive")
    return Treatment(
        deinterlace=interlaced == "deinterlace" and is_interlaced,
        hdr_transfer=transfer if hdr == "tonemap" and transfer in HDR_TRANSFERS else None,
    )


class _ToneMapped:
    """A frame of HDR video whose pixels come tone-mapped."""

    def __init__(self, frame: PyavFrame, transfer: str, reformatter: VideoReformatter) -> None:
        self.index, self.pts_seconds = frame.index, frame.pts_seconds
        self._frame, self._transfer, self._reformatter = frame, transfer, reformatter

    def rgb(self) -> Rgb:
        return tone_mapped_frame(self._frame, self._transfer, self._reformatter)

    def luma(self) -> Luma:
        return self._frame.luma()


def iterate_frames(clip: Clip, *, decoder: str, treatment: Treatment = AS_DECODED) -> Iterator[Frame]:
    """Yield the frames of a clip in presentation order.

    Raises:
        VideoError: The video is damaged, or the images differ in size.
        FrameError: An image file is damaged.
    """
    if not clip.frame_files:
        if treatment != AS_DECODED:
            yield from _treated(clip, decoder, treatment)
            return
        with open_video(clip.path, decoder=decoder) as reader:
            yield from reader.frames()
        return
    shape = None
    for index, name in enumerate(clip.frame_files):
        rgb = read_image(clip.path / name)
        if shape is not None and rgb.shape != shape:
            raise VideoError(f"clip {clip.name}: {name} is {_size(rgb.shape)}, the frames before are {_size(shape)}")
        shape = rgb.shape
        yield ImageFrame(index, rgb, clip.frame_rate)


def _treated(clip: Clip, decoder: str, treatment: Treatment) -> Iterator[Frame]:
    if decoder != "pyav":
        raise VideoError(f"clip {clip.name}: interlaced and HDR video can be treated by --decoder pyav only")
    reformatter = VideoReformatter()
    with PyavReader(clip.path) as reader:
        frames: Iterator[PyavFrame] = reader.frames()
        for frame in deinterlaced(frames) if treatment.deinterlace else frames:
            if treatment.hdr_transfer is None:
                yield frame
            else:
                yield _ToneMapped(frame, treatment.hdr_transfer, reformatter)


def pts_seconds(frame: Frame) -> float | None:
    """Return the presentation time of a frame in seconds, or ``None`` where there is none."""
    return getattr(frame, "pts_seconds", None)


def clip_sha256(clip: Clip) -> str:
    """Return the SHA-256 of the clip's file, or of its image files one after the other."""
    if not clip.frame_files:
        return sha256_file(clip.path)
    digest = hashlib.sha256()
    for name in clip.frame_files:
        digest.update((clip.path / name).read_bytes())
    return digest.hexdigest()


def clip_stamp(clip: Clip) -> list[int]:
    """Return [bytes, newest modification time in ns, access mode]: a cheap sign that the clip is still the same.

    Raises:
        FrameError: A file is gone or may not be looked at.
    """
    paths: list[Path] = [clip.path / name for name in clip.frame_files] or [clip.path]
    try:
        found = [path.stat() for path in paths]
    except OSError as error:
        raise FrameError(f"clip {clip.name}: {error.strerror}") from error
    return [sum(item.st_size for item in found), max(item.st_mtime_ns for item in found), found[0].st_mode]


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
