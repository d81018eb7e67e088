"""What an accurate interpolator would add to a prediction: its quality, and where in the frame it removes error."""

from typing import Any

import numpy as np

from dataset_tools.frames import Rgb
from dataset_tools.prediction.columns import ACCURATE_COLUMNS
from dataset_tools.prediction.metrics import Lpips, psnr

CELL = 64  # pixels a side: the tile that routing inside a frame refines


def cell_grid(width: int, height: int) -> tuple[int, int]:
    """Return rows and columns of the cells of a frame; the last ones are smaller where 64 does not divide a side."""
    return -(-height // CELL), -(-width // CELL)


def error_removed(pred: Rgb, accurate: Rgb, gt: Rgb) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return by how much the mean squared error of each 64-pixel cell falls from ``pred`` to ``accurate``.

    Args:
        pred, accurate, gt: (height, width, 3), uint8.

    Returns:
        (rows, columns) of ``cell_grid``, in squared 8-bit levels, float32; negative where ``accurate`` is worse.

    Raises:
        ValueError: Shapes differ.
    """
    if not pred.shape == accurate.shape == gt.shape:
        raise ValueError(f"pred {pred.shape}, accurate {accurate.shape} and gt {gt.shape} must have one shape")
    truth = gt.astype(np.int32)
    removed = (np.square(pred - truth) - np.square(accurate - truth)).mean(axis=2)
    rows, columns = (np.arange(0, side, CELL) for side in removed.shape)
    sums = np.add.reduceat(np.add.reduceat(removed, rows, axis=0), columns, axis=1)
    heights, widths = (np.diff([*starts, side]) for starts, side in zip((rows, columns), removed.shape, strict=True))
    return (sums / (heights[:, None] * widths)).astype(np.float32)


def measure_accurate(
    pred: Rgb, accurate: Rgb, gt: Rgb, *, lpips: Lpips, predictor: str, weights_sha256: str
) -> dict[str, Any]:
    """Return the values of ``ACCURATE_COLUMNS`` for one triplet; the gain by cell row after row."""
    gain = error_removed(pred, accurate, gt).ravel().tolist()
    values = (predictor, weights_sha256, psnr(accurate, gt), lpips(accurate, gt), gain)
    return dict(zip(ACCURATE_COLUMNS, values, strict=True))
