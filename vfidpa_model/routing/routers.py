"""Routers without a model: all fast, and flow magnitude.

All have the interface of ``vfidpa_model.routing.dynamic.Router``: a number per pair that grows with its difficulty.
"""

import torch
from torch import Tensor

from dataset_tools.frames import to_rgb
from dataset_tools.prediction.metrics import mean_motion
from vfidpa_model.pairs.resize import shrink_to_height

_FLOW_HEIGHT = 256  # rows the flow is computed at: the height VFI-DPA's default model looks at


class AllFast:
    """Every pair is as easy as can be."""

    def score(self, img0: Tensor, img1: Tensor) -> Tensor:
        """Return 0 for each pair, (B,)."""
        return torch.zeros(len(img0))


class FlowMagnitude:
    """Mean length of the optical flow between the frames: the classical guess at difficulty."""

    def score(self, img0: Tensor, img1: Tensor) -> Tensor:
        """Return the mean motion of each pair in pixels at 256 rows, (B,)."""
        small0, small1 = (shrink_to_height(images, _FLOW_HEIGHT) for images in (img0, img1))
        pairs = zip(small0, small1, strict=True)
        return torch.tensor([mean_motion(to_rgb(first), to_rgb(second)) for first, second in pairs])
