"""Exact frame access: frame k is the k-th picture a player would show, or the clip is refused.

Two backends read the same way, forward and once: PyAV (default) and decord. Random access is not offered, because
every reader tried returns wrong frames for some container (open GOP, edit lists, variable frame rate).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from dataset_tools.errors import UsageError
from dataset_tools.frames import Rgb

DECODERS = ("pyav", "decord")

Luma = npt.NDArray[np.uint8]  # (height, width)


@dataclass(frozen=True)
class VideoInfo:
    """What is known about a clip once its first frame is decoded.

    Attributes:
        width, height: Size in pixels of the frames handed out, after rotation.
        average_fps: Frames per second by the container, or ``None``; not to be trusted to the frame.
        rotation_degrees: Clockwise rotation (0, 90, 180 or 270) that the reader applies to the stored pictures.
        num_frames_from_header: Frame count the container claims, or ``None``; often wrong, use ``count_frames``.
    """

    width: int
    height: int
    average_fps: Fraction | None
    rotation_degrees: int
    num_frames_from_header: int | None


class VideoFrame(ABC):
    """One decoded picture; pixels are converted only when asked for.

    Attributes:
        index: 0-based position in presentation order.
        pts_seconds: Presentation time as stored; without time stamps, ``index`` over the container's frame rate.
    """

    __slots__ = ("index", "pts_seconds")

    def __init__(self, index: int, pts_seconds: float) -> None:
        self.index = index
        self.pts_seconds = pts_seconds

    @abstractmethod
    def rgb(self) -> Rgb:
        """Return the picture as 8-bit RGB, shape (height, width, 3), rotation applied."""

    @abstractmethod
    def luma(self) -> Luma:
        """Return the luma plane as stored (limited range stays limited), 8-bit, shape (height, width), rotated.

        Cheap: no colour conversion, and with PyAV and 8-bit video not even a copy.
        """


class VideoReader(ABC):
    """An open clip, read once from front to back. Use it in a ``with`` block.

    Attributes:
        info: Facts about the clip.
    """

    info: VideoInfo

    @abstractmethod
    def frames(self) -> Iterator[VideoFrame]:
        """Yield every frame in presentation order; a second call goes on where the first one stopped.

        Raises:
            VideoError: The stream is damaged, cut off, or changes its size. The frames before are right.
        """

    @abstractmethod
    def close(self) -> None:
        """Free the decoder; frames already handed out stay valid."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_video(path: Path, *, decoder: str = "pyav") -> VideoReader:
    """Open the first video stream of a file and decode its first frame.

    Args:
        decoder: ``"pyav"``, or ``"decord"``, which refuses files it would read wrongly.

    Returns:
        A reader, to be used in a ``with`` block. A damaged stream can make a decoder hang or crash: read untrusted
        clips in a process of their own with a time limit.

    Raises:
        UsageError: Unknown decoder.
        VideoError: The file is missing, unreadable, has no video stream or no frame.
    """
    if decoder == "pyav":
        from dataset_tools.video_pyav import PyavReader

        return PyavReader(path)
    if decoder == "decord":
        from dataset_tools.video_decord import DecordReader

        return DecordReader(path)
    raise UsageError(f"decoder {decoder!r} must be one of {', '.join(DECODERS)}")


def count_frames(path: Path, *, decoder: str = "pyav") -> int:
    """Return how many frames a clip has, by decoding it: headers lie.

    Raises:
        VideoError: See ``open_video`` and ``VideoReader.frames``.
    """
    with open_video(path, decoder=decoder) as reader:
        return sum(1 for _ in reader.frames())
