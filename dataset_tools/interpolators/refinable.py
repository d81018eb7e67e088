"""An interpolator in two steps: a fast frame with what was found on the way, and a refinement that goes on from it.

The first step shows where the second is worth its time (the two images, moved to the middle, disagree there), so a
caller runs the first on every pair and the second on the tiles it chooses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard

from torch import Tensor

from dataset_tools.interpolators import Interpolator
from dataset_tools.interpolators.padding import Padding
from dataset_tools.interpolators.tiles import TilePlan


@dataclass(frozen=True)
class Begun:
    """What the first step found; every tensor but ``frame`` has the padded size.

    Attributes:
        frame: The fast frame, (B, 3, H, W) in [0, 1], float32, of the inputs' size.
        img0, img1: The padded inputs, (B, 3, H', W').
        flow: (B, 4, H', W') in pixels: x, y from the new frame to img0, then to img1.
        mask_logit: (B, 1, H', W'), the share of img0 before the sigmoid.
        warped: (B, 6, H', W'), img0 and img1 moved along the flow.
        merged: (B, 3, H', W'), the frame before clamping.
        turned: The same for images turned by 180 degrees, where a model averages both.
    """

    frame: Tensor
    padding: Padding
    img0: Tensor
    img1: Tensor
    flow: Tensor
    mask_logit: Tensor
    warped: Tensor
    merged: Tensor
    turned: "Begun | None" = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the padded images: what tiles are planned on."""
        return self.img0.shape[-2], self.img0.shape[-1]


class Beginning(Interpolator, Protocol):
    """An interpolator whose frame comes with what was found on the way."""

    def begin(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Begun:
        """Return the fast frame and what it rests on; arguments and errors are those of ``interpolate``."""
        ...


class Refinable(Beginning, Protocol):
    """An interpolator that can go on from its own first step; ``interpolate`` is both steps, bit for bit.

    Attributes:
        goes_on_from: Name of the interpolator whose ``interpolate`` gives the frame of the first step.
    """

    goes_on_from: str

    def go_on(self, begun: Begun, tiles: Sequence[TilePlan] | None = None) -> Tensor:
        """Return the refined frames, (B, 3, H, W) in [0, 1].

        Args:
            tiles: One plan per pair, made for ``begun.size``; None refines whole frames. Outside of the tiles the
                fast frame stays, and both are blended along the border.
        """
        ...


def can_begin(model: object) -> TypeGuard[Beginning]:
    """Return whether a model's frames are those of ``begin``: a refined model's are not."""
    return hasattr(model, "begin") and not can_go_on(model)


def can_go_on(model: object) -> TypeGuard[Refinable]:
    """Return whether a model can refine its own first step: it may have the methods and be set up without."""
    return bool(getattr(model, "goes_on_from", ""))
