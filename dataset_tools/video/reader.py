"""What a decoder backend offers: an open clip, read once from front to back, frame by frame."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from dataset_tools.frames import Rgb

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
