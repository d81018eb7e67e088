"""The frames of a clip, forward and once: of a video file, or of a sequence of image files."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from dataset_tools.common.files import sha256_file
from dataset_tools.errors import FrameError, VideoError
from dataset_tools.frames import Rgb, read_image
from dataset_tools.sources import Clip
from dataset_tools.video import open_video
from dataset_tools.video.reader import Luma


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
    """A frame from an image file; it has no presentation time."""

    def __init__(self, index: int, rgb: Rgb) -> None:
        self.index = index
        self._rgb = rgb

    def rgb(self) -> Rgb:
        """Return the file's pixels."""
        return self._rgb

    def luma(self) -> Luma:
        """Return the weighted mean of the channels (OpenCV's fixed-point conversion: the same on every CPU)."""
        return np.asarray(cv2.cvtColor(self._rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def iterate_frames(clip: Clip, *, decoder: str) -> Iterator[Frame]:
    """Yield the frames of a clip in presentation order.

    Raises:
        VideoError: The video is damaged, or the images differ in size.
        FrameError: An image file is damaged.
    """
    if not clip.frame_files:
        with open_video(clip.path, decoder=decoder) as reader:
            yield from reader.frames()
        return
    shape = None
    for index, name in enumerate(clip.frame_files):
        rgb = read_image(clip.path / name)
        if shape is not None and rgb.shape != shape:
            raise VideoError(f"clip {clip.name}: {name} is {_size(rgb.shape)}, the frames before are {_size(shape)}")
        shape = rgb.shape
        yield ImageFrame(index, rgb)


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
