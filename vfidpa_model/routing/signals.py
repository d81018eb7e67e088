"""Where a frame needs the accurate interpolator: numbers per tile, from what the fast one has found.

A signal sees no true frame. The default asks where both images, moved to the middle along the flow, still differ: that
is where the flow is wrong or something is hidden, and where refinement removes error.
"""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

from dataset_tools.interpolators.refinable import Begun
from dataset_tools.interpolators.tiles import TILE

Scores = npt.NDArray[np.float64]

_UNSEEN = (0.5 / 255) ** 2  # squared differences below half a level: what nobody sees is not worth refining


class Signal(Protocol):
    """Anything that gives each tile of a frame a number that grows with what refining it is worth."""

    name: str

    def tiles(self, img0: Tensor, img1: Tensor, begun: Begun) -> Scores:
        """Return (B, rows, columns) for frames (B, 3, H, W); 0 and less is never refined.

        Args:
            begun: What the fast model found between the frames.
        """
        ...


class WarpedDifference:
    """The mean squared difference of the two images after each was moved to the middle.

    Attributes:
        evenness: 0 follows the squared error of the whole video, which few frames hold; 1 gives every frame the same
            share, for each frame's decibels; between, both.
    """

    def __init__(self, evenness: float = 0.5) -> None:
        """Divide each frame's scores by their mean to the power of ``evenness``."""
        self.evenness = evenness
        self.name = f"warped difference, evenness {evenness:g}"

    def tiles(self, img0: Tensor, img1: Tensor, begun: Begun) -> Scores:
        """Return the difference per tile; see ``Signal.tiles``."""
        difference = begun.padding.crop(begun.warped[:, :3] - begun.warped[:, 3:]).float().square()
        return evened(tile_means(difference), self.evenness)


class DecidedDifference:
    """The warped difference where the mask takes one of both images, not their mean.

    Where it blends both half and half, refinement finds little more to go by; where it chose one, it often chose wrong
    along an edge. Weighted so, the difference ranks tiles better than by itself, by error and by LPIPS
    (docs/results.md).
    """

    def __init__(self, evenness: float = 0.5) -> None:
        """Divide each frame's scores by their mean to the power of ``evenness``, see ``WarpedDifference``."""
        self.evenness = evenness
        self.name = f"decided difference, evenness {evenness:g}"

    def tiles(self, img0: Tensor, img1: Tensor, begun: Begun) -> Scores:
        """Return the weighted difference per tile; see ``Signal.tiles``."""
        difference = begun.padding.crop(begun.warped[:, :3] - begun.warped[:, 3:]).float().square()
        squared = difference.mean(1, keepdim=True)
        decided = begun.padding.crop(begun.mask_logit).float().sigmoid() - 0.5
        scores = evened(tile_means(squared * decided.square()), self.evenness, least=0)
        return np.where(tile_means(squared) <= _UNSEEN, 0.0, scores)


def tile_means(image: Tensor) -> Scores:
    """Return the mean of each tile and all channels of (B, C, H, W), as (B, rows, columns); 0 counts outside."""
    height, width = image.shape[-2:]
    padded = F.pad(image.mean(1, keepdim=True), (0, -width % TILE, 0, -height % TILE))
    means: npt.NDArray[Any] = F.avg_pool2d(padded, TILE)[:, 0].cpu().double().numpy()
    return means


def evened(scores: Scores, evenness: float, *, least: float = _UNSEEN) -> Scores:
    """Return squared errors per tile divided by a power of their frame's mean; those up to ``least`` become 0.

    What is no finite number stays so, and out of the mean.
    """
    known = np.isfinite(scores)
    sums = np.where(known, scores, 0.0).sum(axis=(1, 2), keepdims=True)
    means = sums / np.maximum(known.sum(axis=(1, 2), keepdims=True), 1)
    return np.where(known & (scores <= least), 0.0, scores / np.maximum(means, _UNSEEN) ** evenness)
