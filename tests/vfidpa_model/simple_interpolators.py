"""Interpolators without a network, for tests of what is around them; used as ``module:Class``."""

from pathlib import Path
from typing import Self

import torch
from torch import Tensor


class Mean:
    """Blends the two frames."""

    name, weights_sha256 = "mean", ""

    @classmethod
    def from_weights(cls, path: Path | None, *, device: torch.device) -> Self:
        return cls()

    def interpolate(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Tensor:
        return img0 * (1 - timestep) + img1 * timestep


class HalfMean(Mean):
    """Knows only the middle."""

    name = "half-mean"

    def interpolate(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Tensor:
        if timestep != 0.5:
            raise ValueError("timestep must be 0.5")
        return super().interpolate(img0, img1)


class Red(Mean):
    """Gives red frames, to see who was asked."""

    name = "red"

    def interpolate(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Tensor:
        return img0.new_tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand_as(img0).clone()
