"""RIFE HDv3, version 3.9: the fast interpolator of the pipeline, and the one data sets are predicted with.

After "Real-Time Intermediate Flow Estimation for Video Frame Interpolation" (ECCV 2022) in its later "HD" form
(Practical-RIFE, MIT): four blocks, of which only the first sees the original images, and a rule for large motion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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

SCALES = (8.0, 4.0, 2.0, 1.0)  # each block works at 1/scale of the image's size
LARGE_MOTION_PIXELS = 32.0  # the second block moving both flows further than this doubles all scales
_MULTIPLE = 64  # of image sizes: doubled scales need it, plain ones only 32


@dataclass(frozen=True)
class Estimate:
    """What the four blocks found.

    Attributes:
        flow: (B, 4, H, W) in pixels: x, y from the new frame to img0, then to img1.
        mask_logit: (B, 1, H, W), the share of img0 before the sigmoid.
        warped: (B, 6, H, W), img0 and img1 moved along the flow.
    """

    flow: Tensor
    mask_logit: Tensor
    warped: Tensor

    @property
    def mask(self) -> Tensor:
        """The share of img0, (B, 1, H, W) in [0, 1]."""
        return torch.sigmoid(self.mask_logit)

    @property
    def merged(self) -> Tensor:
        """The frame before refinement, (B, 3, H, W), not clamped."""
        return torch.lerp(self.warped[:, 3:], self.warped[:, :3], self.mask)


class RIFE(nn.Module):
    """RIFE HDv3 3.9, with exactly the tensors of its official ``flownet.pkl``.

    Args:
        refine: Add the refinement network's residual ("fast mode" off).
        ensemble: Run every block in both time directions and average (twice the time).
        scale: 0.5 for 4K, where motion is large in pixels; 1 otherwise.
        precision: See ``precision.PRECISIONS``; ``"auto"`` is half precision on CUDA.
    """

    name = "rife-3.9"

    def __init__(
        self, *, refine: bool = False, ensemble: bool = False, scale: float = 1.0, precision: str = "auto"
    ) -> None:
        super().__init__()
        if not 0 < scale <= 1:
            raise ValueError(f"scale ({scale}) must be in (0, 1]")
        self.refine, self.ensemble, self.scale = refine, ensemble, scale
        self.precision = check_precision(precision)
        self.weights_sha256 = ""
        self.block0 = IFBlock(7, 192)
        self.block1 = IFBlock(8 + 4, 128)
        self.block2 = IFBlock(8 + 4, 96)
        self.block3 = IFBlock(8 + 4, 64)
        self.contextnet = Contextnet()
        self.unet = Unet()

    @classmethod
    def from_weights(
        cls,
        path: Path,
        *,
        device: torch.device | str = "cpu",
        refine: bool = False,
        ensemble: bool = False,
        scale: float = 1.0,
        precision: str = "auto",
    ) -> Self:
        """Return the model with the weights of ``path`` (a ``flownet.pkl``), in eval mode.

        Raises:
            WeightsError: The file is missing, unsafe, or belongs to another network.
        """
        model = cls(refine=refine, ensemble=ensemble, scale=scale, precision=precision)
        model.name = _name(refine=refine, ensemble=ensemble)
        state, model.weights_sha256 = load_weights(path)
        load_into(model, state, path=path, ignore_prefixes=("block_tea.",))
        # On a CPU the convolutions are up to 1.35 times as fast with channels last.
        return model.to(memory_format=torch.channels_last).to(device).eval()

    @torch.inference_mode()
    def interpolate(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Tensor:
        """Return the frame at ``timestep``; see ``Interpolator.interpolate``. Padded with zeros, right and bottom."""
        begun = self.begin(img0, img1, timestep)
        return self.go_on(begun) if self.refine else begun.frame

    @property
    def goes_on_from(self) -> str:
        """Name of the model whose frame the first step gives; empty without refinement."""
        return with_engine(_name(refine=False, ensemble=self.ensemble), like=self.name) if self.refine else ""

    @torch.inference_mode()
    def begin(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Begun:
        """Return the fast frame and what it rests on; see ``refinable.Beginning.begin``."""
        check_pair(img0, img1, timestep)
        scales = [scale / self.scale for scale in SCALES]
        height, width = img0.shape[-2:]
        padding = Padding.to_multiple(height, width, max(_MULTIPLE, round(_MULTIPLE / self.scale)))
        img0, img1 = padding.pad(img0), padding.pad(img1)
        with computing(self.precision, img0.device, auto_on_cuda="fp16"):
            found = self.estimate(img0, img1, timestep, scales=scales)
            merged = found.merged
        frame = padding.crop(merged).float().clamp(0, 1)
        return Begun(frame, padding, img0, img1, found.flow, found.mask_logit, found.warped, merged)

    @torch.inference_mode()
    def go_on(self, begun: Begun, tiles: Sequence[TilePlan] | None = None) -> Tensor:
        """Return the refined frames; see ``refinable.Refinable.go_on``."""
        with computing(self.precision, begun.img0.device, auto_on_cuda="fp16"):
            frame = refine(self.contextnet, self.unet, begun, tiles)
        return begun.padding.crop(frame).float().clamp(0, 1)

    def forward(self, img0: Tensor, img1: Tensor, timestep: float = 0.5, *, scales: Sequence[float] = SCALES) -> Tensor:
        """Return the new frame of images whose sizes divide by 8 times the largest scale; clamped if refined."""
        found = self.estimate(img0, img1, timestep, scales=scales)
        if not self.refine:
            return found.merged
        context0 = self.contextnet(img0, found.flow[:, :2])
        context1 = self.contextnet(img1, found.flow[:, 2:])
        images = torch.cat((img0, img1, found.warped, found.mask_logit), 1)
        return (found.merged + self.unet(images, found.flow, context0, context1)).clamp(0, 1)

    def estimate(
        self, img0: Tensor, img1: Tensor, timestep: float = 0.5, *, scales: Sequence[float] = SCALES
    ) -> Estimate:
        """Return flow, mask and warped images.

        A pair that moves more than 32 pixels in both directions at the second block is estimated again at doubled
        scales. The original asks that of a whole batch; here each pair is asked alone, so that a batch gives what
        single calls give.
        """
        images = torch.cat((img0, img1), 1)
        time = torch.full_like(img0[:, :1], timestep)
        first = self._begin(images, time, scales[0], ensemble=self.ensemble)
        change = self._change(1, first, time, scales[1])
        moves_far = _moves_far(change[0])
        if not any(moves_far):
            return self._finish(images, time, self._advance(1, images, time, first, change, scales[1]), scales)
        results: list[Estimate] = []
        for index, far in enumerate(moves_far):
            one = slice(index, index + 1)
            pair, its_time, its_scales = images[one], time[one], [scale * (2 if far else 1) for scale in scales]
            if far:  # the original runs the first block again without its ensemble
                state = self._begin(pair, its_time, its_scales[0], ensemble=False)
                its_change = self._change(1, state, its_time, its_scales[1])
            else:
                state = Estimate(first.flow[one], first.mask_logit[one], first.warped[one])
                its_change = change[0][one], change[1][one]
            state = self._advance(1, pair, its_time, state, its_change, its_scales[1])
            results.append(self._finish(pair, its_time, state, its_scales))
        return Estimate(
            torch.cat([result.flow for result in results]),
            torch.cat([result.mask_logit for result in results]),
            torch.cat([result.warped for result in results]),
        )

    def _begin(self, images: Tensor, time: Tensor, scale: float, *, ensemble: bool) -> Estimate:
        flow, mask = self.block0((images, time), None, scale)
        if ensemble:
            flow, mask = _average((flow, mask), self.block0((_swap(images), 1 - time), None, scale))
        return Estimate(flow, mask, _warp(images, flow))

    def _change(self, number: int, state: Estimate, time: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Return what block ``number`` would change of flow and mask."""
        block = (self.block0, self.block1, self.block2, self.block3)[number]
        changes: tuple[Tensor, Tensor] = block((state.warped, time, state.mask_logit), state.flow, scale)
        return changes

    def _advance(
        self,
        number: int,
        images: Tensor,
        time: Tensor,
        state: Estimate,
        change: tuple[Tensor, Tensor],
        scale: float,
    ) -> Estimate:
        """Return ``state`` after a block's change, which an ensemble averages with that of the other direction."""
        if self.ensemble:
            other = Estimate(_swap(state.flow), -state.mask_logit, _swap(state.warped))
            change = _average(change, self._change(number, other, 1 - time, scale))
        flow = state.flow + change[0]
        return Estimate(flow, state.mask_logit + change[1], _warp(images, flow))

    def _finish(self, images: Tensor, time: Tensor, state: Estimate, scales: Sequence[float]) -> Estimate:
        for number in (2, 3):
            change = self._change(number, state, time, scales[number])
            state = self._advance(number, images, time, state, change, scales[number])
        return state


def _name(*, refine: bool, ensemble: bool) -> str:
    return "-".join(["rife-3.9", *["refined"] * refine, *["ensemble"] * ensemble])


def _moves_far(flow: Tensor) -> list[bool]:
    furthest = flow.abs().reshape(len(flow), 2, -1).amax(2)  # (B, 2): towards img0, towards img1
    decided: list[bool] = (furthest > LARGE_MOTION_PIXELS).all(1).tolist()
    return decided


def _swap(x: Tensor) -> Tensor:
    """Return ``x`` with the halves of its channels exchanged: images or flows in the other time direction."""
    return torch.cat(x.chunk(2, 1)[::-1], 1)


def _average(change: tuple[Tensor, Tensor], swapped: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return (change[0] + _swap(swapped[0])) / 2, (change[1] - swapped[1]) / 2


def _warp(images: Tensor, flow: Tensor) -> Tensor:
    """Return both images moved along their half of the flow, in one call."""
    B, _, H, W = images.shape
    return backward_warp(images.reshape(2 * B, 3, H, W), flow.reshape(2 * B, 2, H, W)).view(B, 6, H, W)
