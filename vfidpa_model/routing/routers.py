"""Routers to compare VFI-DPA with: all fast, all accurate, random, flow magnitude, and an oracle.

All have the interface of ``vfidpa_model.routing.dynamic.Router``: a number per pair that grows with its difficulty.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dataset_tools.frames import to_rgb
from dataset_tools.prediction.metrics import mean_motion
from vfidpa_model.pairs.resize import shrink_to_height

_FLOW_HEIGHT = 256  # rows the flow is computed at: the height VFI-DPA's default model looks at


class AllFast:
    """Every pair is easy."""

    def score(self, img0: Tensor, img1: Tensor) -> Tensor:
        """Return minus infinity for each pair, (B,)."""
        return torch.full((len(img0),), -torch.inf)


class AllAccurate:
    """Every pair is hard."""

    def score(self, img0: Tensor, img1: Tensor) -> Tensor:
        """Return infinity for each pair, (B,)."""
        return torch.full((len(img0),), torch.inf)


class RandomRouter:
    """A number drawn for each pair: with threshold ``1 - share``, that share of the pairs is accurate."""

    def __init__(self, generator: np.random.Generator) -> None:
        """Draw from ``generator``."""
        self._generator = generator

    def score(self, img0: Tensor, img1: Tensor) -> Tensor:
        """Return uniform numbers in [0, 1), (B,)."""
        return torch.from_numpy(self._generator.random(len(img0)))


class FlowMagnitude:
    """Mean length of the optical flow between the frames: the classical guess at difficulty."""

    def score(self, img0: Tensor, img1: Tensor) -> Tensor:
        """Return the mean motion of each pair in pixels at 256 rows, (B,)."""
        small0, small1 = (shrink_to_height(images, _FLOW_HEIGHT) for images in (img0, img1))
        pairs = zip(small0, small1, strict=True)
        return torch.tensor([mean_motion(to_rgb(first), to_rgb(second)) for first, second in pairs])


class Oracle:
    """Knows what the accurate model gains on each pair: the best any router can do."""

    def __init__(self, gains: Sequence[float]) -> None:
        """Take the true gains, in the order in which the pairs will be asked about."""
        self._gains = list(gains)
        self._asked = 0

    def score(self, img0: Tensor, img1: Tensor) -> Tensor:
        """Return the gain of the next B pairs, (B,).

        Raises:
            ValueError: More pairs are asked about than gains are known.
        """
        known = self._gains[self._asked : self._asked + len(img0)]
        if len(known) < len(img0):
            raise ValueError(f"oracle knows {len(self._gains)} gains; pair {len(self._gains) + 1} was asked about")
        self._asked += len(img0)
        return torch.tensor(known, dtype=torch.float64)
