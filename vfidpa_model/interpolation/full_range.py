"""Full-range video of more than 8 bits to RGB and back, by the definition: swscale comes back 0.4 levels brighter."""

from typing import Any

import av
import numpy as np
import numpy.typing as npt

BETWEEN = "yuv444p16le"  # what swscale makes of other depths and samplings without a shift
_FULL = 2  # FFmpeg's tag
_LARGEST, _MIDDLE = 65535, 32768
# Luma weights of red and blue by FFmpeg's tag of the matrix (ITU-R BT.709, FCC, SMPTE 240M, BT.2020); else BT.601.
_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
_BT601 = (0.299, 0.114)


def to_rgb(frame: av.VideoFrame, matrix: int) -> npt.NDArray[np.uint16]:
    """Return a frame in ``BETWEEN`` as RGB, 16 bit, (height, width, 3).

    Args:
        matrix: FFmpeg's tag of the matrix.
    """
    kr, kb = _WEIGHTS.get(matrix, _BT601)
    y, u, v = (
        np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, -1)[:, : plane.width].astype(np.float32)
        for plane in frame.planes
    )
    red, blue = y + 2 * (1 - kr) * (v - _MIDDLE), y + 2 * (1 - kb) * (u - _MIDDLE)
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return _rounded(np.stack([red, green, blue], axis=-1))


def from_rgb(pixels: npt.NDArray[Any], matrix: int) -> av.VideoFrame:
    """Return RGB of 16 bit as a frame in ``BETWEEN``."""
    kr, kb = _WEIGHTS.get(matrix, _BT601)
    red, green, blue = np.moveaxis(pixels.astype(np.float32), -1, 0)
    y = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - y) / (2 * (1 - kb)) + _MIDDLE, (red - y) / (2 * (1 - kr)) + _MIDDLE
    frame = av.VideoFrame(pixels.shape[1], pixels.shape[0], BETWEEN)
    frame.color_range = _FULL  # else it would be taken for limited range on the way on
    for plane, values in zip(frame.planes, (y, u, v), strict=True):
        rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        rows[:, : plane.width] = _rounded(values)
        plane.update(rows.tobytes())
    return frame


def _rounded(values: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    return np.rint(np.clip(values, 0, _LARGEST)).astype(np.uint16)
