"""RIFE as published at ECCV 2022: the paper's model, its arbitrary-time variant, and the large one.

"Real-Time Intermediate Flow Estimation for Video Frame Interpolation" (Huang et al.), section 3. Three blocks
estimate the flows from the middle frame to both images, coarse to fine; both images are warped and merged, and a
refinement network adds a residual. The teacher, which sees the true frame, is kept: it is part of every checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from dataset_tools.common.weights import load_into, load_weights
from dataset_tools.interpolators.backend import with_engine
from dataset_tools.interpolators.padding import Padding, check_pair
from dataset_tools.interpolators.precision import check_precision, computing
from dataset_tools.interpolators.refinable import Begun
from dataset_tools.interpolators.rife_block import IFBlock
from dataset_tools.interpolators.rife_refinement import Contextnet, Unet
from dataset_tools.interpolators.rife_tiles import refine
from dataset_tools.interpolators.tiles import TilePlan
from dataset_tools.interpolators.warp import backward_warp

_SCALES = (4.0, 2.0, 1.0)  # of the three blocks
_USER_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
_MULTIPLE = 32  # image sizes must divide by it, at scale 1
_FAST = "-fast"  # after the name of a model without its refinement


@dataclass(frozen=True)
class Estimate:
    """What the three blocks found.

    Attributes:
        flows: After each block, (B, 4, H, W) in full-size pixels: x, y from the middle to img0, then to img1.
        merged: The frame after each block, before refinement, (B, 3, H, W).
        mask_logit: Weight of img0 against img1 before the sigmoid, (B, 1, H, W).
        warped0, warped1: Both images, warped with the last flow.
    """

    flows: list[Tensor]
    merged: list[Tensor]
    mask_logit: Tensor
    warped0: Tensor
    warped1: Tensor


class IFNet(nn.Module):
    """RIFE, the paper's model: the frame in the middle.

    Args:
        scale: 0.5 for 4K, where motion is large in pixels; 1 otherwise.
        flip_average: Average with the result on inputs turned by 180 degrees (twice the time).
        refine: Add the refinement network's residual, as published; without it the model is faster.
        precision: See ``precision.PRECISIONS``.
    """

    name = "rife-eccv"
    _times = False  # does it take the time as a channel?
    _double_resolution = False

    def __init__(
        self, *, scale: float = 1.0, flip_average: bool = False, refine: bool = True, precision: str = "auto"
    ) -> None:
        super().__init__()
        if scale not in _USER_SCALES:
            raise ValueError(f"scale ({scale}) must be one of {', '.join(map(str, _USER_SCALES))}")
        self.scale, self.flip_average, self.refine = scale, flip_average, refine
        self.precision = check_precision(precision)
        self.weights_sha256 = ""
        images = 7 if self._times else 6
        large = self._double_resolution
        self.block0 = IFBlock(images, 240, double_resolution=large)
        self.block1 = IFBlock(images + 7 + 4, 150, double_resolution=large)
        self.block2 = IFBlock(images + 7 + 4, 90, double_resolution=large)
        self.block_tea = IFBlock(images + 7 + 3 + 4, 90, double_resolution=large)
        self.contextnet = Contextnet(double_resolution=large)
        self.unet = Unet(double_resolution=large)

    @classmethod
    def from_weights(
        cls,
        path: Path,
        *,
        device: torch.device | str = "cpu",
        scale: float = 1.0,
        flip_average: bool | None = None,
        refine: bool = True,
        precision: str = "auto",
    ) -> Self:
        """Return the model with the weights of ``path``, in eval mode.

        Raises:
            WeightsError: The file is missing, unsafe, or belongs to another variant.
        """
        options = {} if flip_average is None else {"flip_average": flip_average}
        model = cls(scale=scale, refine=refine, precision=precision, **options)
        model.name += "" if refine else _FAST
        state, model.weights_sha256 = load_weights(path)
        load_into(model, state, path=path)
        # On a CPU the convolutions are a quarter faster with channels last.
        return model.to(memory_format=torch.channels_last).to(device).eval()

    def estimate(
        self, img0: Tensor, img1: Tensor, timestep: float = 0.5, *, scales: Sequence[float] = _SCALES
    ) -> Estimate:
        """Return flows, mask and merged frames of images whose sizes divide by 8 times the largest scale."""
        images = self._images(img0, img1, timestep)
        warped0, warped1 = img0, img1
        flow: Tensor | None = None
        mask: Tensor | None = None
        flows, merged = [], []
        for block, scale in zip((self.block0, self.block1, self.block2), scales, strict=True):
            if flow is None or mask is None:
                flow, mask = block((images,), None, scale)
            else:
                flow_change, mask_change = block((images, warped0, warped1, mask), flow, scale)
                flow, mask = flow + flow_change, mask + mask_change
            warped0, warped1 = backward_warp(img0, flow[:, :2]), backward_warp(img1, flow[:, 2:])
            flows.append(flow)
            merged.append(_merge(warped0, warped1, mask))
        assert mask is not None
        return Estimate(flows, merged, mask, warped0, warped1)

    def forward(
        self, img0: Tensor, img1: Tensor, timestep: float = 0.5, *, scales: Sequence[float] = _SCALES
    ) -> Tensor:
        """Return the refined frame (B, 3, H, W), clamped to [0, 1]."""
        found = self.estimate(img0, img1, timestep, scales=scales)
        flow = found.flows[-1]
        context0 = self.contextnet(img0, flow[:, :2])
        context1 = self.contextnet(img1, flow[:, 2:])
        images = torch.cat((img0, img1, found.warped0, found.warped1, found.mask_logit), 1)
        residual = self.unet(images, flow, context0, context1)
        return (found.merged[-1] + residual).clamp(0, 1)

    @torch.inference_mode()
    def interpolate(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Tensor:
        """Return the frame at ``timestep``; see ``Interpolator.interpolate``. Padded with zeros, right and bottom."""
        begun = self.begin(img0, img1, timestep)
        return self.go_on(begun) if self.refine else begun.frame

    @property
    def goes_on_from(self) -> str:
        """Name of the model whose frame the first step gives; empty without refinement."""
        if not self.refine:
            return ""
        return with_engine(with_engine(self.name, like="") + _FAST, like=self.name)

    @torch.inference_mode()
    def begin(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Begun:
        """Return the fast frame and what it rests on; see ``refinable.Beginning.begin``."""
        check_pair(img0, img1, timestep)
        if timestep != 0.5 and not self._times:
            raise ValueError(f"{self.name} interpolates at timestep 0.5 only, not {timestep}; rife-m takes any")
        height, width = img0.shape[-2:]
        padding = Padding.to_multiple(height, width, max(_MULTIPLE, round(_MULTIPLE / self.scale)))
        img0, img1 = padding.pad(img0), padding.pad(img1)
        with computing(self.precision, img0.device):
            begun = self._begin(padding, img0, img1, timestep)
            if not self.flip_average:
                return begun
            turned = self._begin(padding, img0.flip(2, 3), img1.flip(2, 3), timestep)
        frame = padding.crop((begun.merged + turned.merged.flip(2, 3)) / 2)
        return replace(begun, frame=frame.float().clamp(0, 1), turned=turned)

    @torch.inference_mode()
    def go_on(self, begun: Begun, tiles: Sequence[TilePlan] | None = None) -> Tensor:
        """Return the refined frames; see ``refinable.Refinable.go_on``."""
        with computing(self.precision, begun.img0.device):
            frame = refine(self.contextnet, self.unet, begun, tiles)
            if begun.turned is not None:
                turned = None if tiles is None else [plan.turned() for plan in tiles]
                frame = (frame + refine(self.contextnet, self.unet, begun.turned, turned).flip(2, 3)) / 2
        return begun.padding.crop(frame).float().clamp(0, 1)

    def _begin(self, padding: Padding, img0: Tensor, img1: Tensor, timestep: float) -> Begun:
        found = self.estimate(img0, img1, timestep, scales=[scale / self.scale for scale in _SCALES])
        warped, merged = torch.cat((found.warped0, found.warped1), 1), found.merged[-1]
        frame = padding.crop(merged).float().clamp(0, 1)
        return Begun(frame, padding, img0, img1, found.flows[-1], found.mask_logit, warped, merged)

    def _images(self, img0: Tensor, img1: Tensor, timestep: float) -> Tensor:
        times = [torch.full_like(img0[:, :1], timestep)] if self._times else []
        return torch.cat((img0, img1, *times), 1)


class IFNetM(IFNet):
    """RIFE for any time between the images (``IFNet_m``)."""

    name = "rife-m"
    _times = True


class IFNet2R(IFNet):
    """RIFE-Large: double resolution inside (``IFNet_2R``), averaged with the turned result by default."""

    name = "rife-large"
    _double_resolution = True

    def __init__(
        self, *, scale: float = 1.0, flip_average: bool = True, refine: bool = True, precision: str = "auto"
    ) -> None:
        super().__init__(scale=scale, flip_average=flip_average, refine=refine, precision=precision)


def _merge(warped0: Tensor, warped1: Tensor, mask_logit: Tensor) -> Tensor:
    mask = torch.sigmoid(mask_logit)
    return warped0 * mask + warped1 * (1 - mask)
