"""Bringing frames down to the model's height by area averaging, as the data set does."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dataset_tools.frames import fit_height
from dataset_tools.frames.area import resize_area
from vfidpa_model.networks.config import SMALLEST_SIDE


def seen_size(width: int, height: int, *, rows: int | None) -> tuple[int, int]:
    """Return the (width, height) that a model with ``rows`` rows sees a frame at; never enlarged.

    A tall, narrow frame keeps more rows, so that its width stays at 64 pixels, the least a model takes.
    """
    if rows is None or rows >= height or width < SMALLEST_SIDE:
        return width, height
    seen = fit_height(width, height, target_height=rows)
    return seen if seen[0] >= SMALLEST_SIDE else (SMALLEST_SIDE, math.ceil(height * SMALLEST_SIDE / width))


def shrink_to_height(frames: Tensor, height: int | None) -> Tensor:
    """Return frames brought down to ``height`` rows, same aspect ratio; see ``seen_size``.

    On a CPU the pixels are those of ``dataset_tools.frames.area.resize_area``, to the bit: the model sees what it was
    trained on. On another device they are within one level of them.

    Args:
        frames: (B, 3, H, W), uint8, or float in [0, 1], which is rounded to 8 bits.
        height: Rows wanted; None, or at least H, leaves the frames alone.

    Returns:
        Float32 in [0, 1], (B, 3, height, width).
    """
    H, W = frames.shape[-2:]
    width, height = seen_size(W, H, rows=height)
    if (width, height) == (W, H):
        return frames.float() / 255 if frames.dtype == torch.uint8 else frames.float()
    if frames.dtype != torch.uint8:
        frames = (frames * 255).add_(0.5).clamp_(0, 255).to(torch.uint8)  # rounded
    if frames.device.type != "cpu":
        return average_areas(frames, width=width, height=height)
    arrays = frames.permute(0, 2, 3, 1).contiguous().numpy()
    small = np.stack([resize_area(rgb, width=width, height=height) for rgb in arrays])
    return torch.from_numpy(small).permute(0, 3, 1, 2).contiguous().float().div_(255)


def average_areas(frames: Tensor, *, width: int, height: int) -> Tensor:
    """Return uint8 frames made smaller, as float32 in [0, 1], on their device.

    Each new pixel is the mean of the pixels whose centres lie under it, which is what Pillow's BOX filter computes;
    then rounded to 8 bits, because the data set's frames are. Pillow also rounds between its two passes, hence the
    difference of at most one level.
    """
    return _average(_average(frames, height, dim=2), width, dim=3).round() / 255


def _average(frames: Tensor, wanted: int, *, dim: int) -> Tensor:
    size = frames.shape[dim]
    if wanted == size:
        return frames.float()
    total: Tensor | None = None
    shape = [1, 1, 1, 1]
    shape[dim] = wanted
    for positions, shares in _taps(size, wanted, frames.device):
        part = frames.index_select(dim, positions).float() * shares.view(shape)
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


@lru_cache(maxsize=32)
def _taps(size: int, wanted: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Return, per tap, the source position and the share of each new pixel."""
    step = size / wanted
    bins = []
    for index in range(wanted):
        low, high = int(index * step + 0.5), int((index + 1) * step + 0.5)  # pixel p is under it: low <= p < high
        bins.append(range(low, min(high, size)))
    taps = []
    for number in range(max(map(len, bins))):
        positions = [under[min(number, len(under) - 1)] for under in bins]
        shares = [1 / len(under) if number < len(under) else 0.0 for under in bins]
        taps.append((torch.tensor(positions, device=device), torch.tensor(shares, device=device)))
    return taps
