"""RIFE 4.25 and 4.26 (one network, two trainings): the RIFE that most video tools run today, at any time step.

The fourth generation of "Real-Time Intermediate Flow Estimation for Video Frame Interpolation" (ECCV 2022), published
by Practical-RIFE under the MIT licence: five blocks instead of four, each handing a feature on to the next, and a head
that shows the blocks features of both images. It has neither a refinement network nor a rule for large motion.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from dataset_tools.common.weights import load_into, load_weights
from dataset_tools.interpolators.padding import Padding, check_pair
from dataset_tools.interpolators.precision import check_precision, computing
from dataset_tools.interpolators.refinable import Begun
from dataset_tools.interpolators.warp import backward_warp, resize, warp_small

SCALES = (16.0, 8.0, 4.0, 2.0, 1.0)  # each block works at 1/scale of the image's size
_USER_SCALES = (0.25, 0.5, 1.0)
_WIDTHS = (192, 128, 96, 64, 32)
_MULTIPLE = 64  # of image sizes: the first block works at a 16th, and halves that twice
_HEAD = 4  # channels of an image's feature
_HANDED_ON = 1 + 8  # the mask and the feature that a block hands to the next
_SLOPE = 0.2


def _leaky(convolution: nn.Module) -> nn.Sequential:
    return nn.Sequential(convolution, nn.LeakyReLU(_SLOPE))


class Head(nn.Module):
    """Four channels of feature for every pixel of an image, found at half of its size."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn0 = nn.Conv2d(3, 16, 3, 2, 1)
        self.cnn1 = nn.Conv2d(16, 16, 3, 1, 1)
        self.cnn2 = nn.Conv2d(16, 16, 3, 1, 1)
        self.cnn3 = nn.ConvTranspose2d(16, _HEAD, 4, 2, 1)
        self.relu = nn.LeakyReLU(_SLOPE)

    def forward(self, image: Tensor) -> Tensor:
        """Return (B, 4, H, W) of an image (B, 3, H, W) with even sides."""
        return self.convolutions(image)

    def convolutions(self, image: Tensor) -> Tensor:
        """Return the same; another engine may stand in for it."""
        x = self.relu(self.cnn0(image))
        x = self.relu(self.cnn1(x))
        x = self.relu(self.cnn2(x))
        feature: Tensor = self.cnn3(x)
        return feature


class ResConv(nn.Module):
    """A 3x3 convolution, weighted per channel, added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, 1, 1)
        self.beta = nn.Parameter(torch.ones(1, width, 1, 1))
        self.relu = nn.LeakyReLU(_SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.relu(self.conv(x) * self.beta + x)
        return result


class IFBlock(nn.Module):
    """Estimates a change of flow, a mask and a feature at a reduced size.

    Args:
        inputs: Channels of all parts and of the flow.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        first, second = nn.Conv2d(inputs, width // 2, 3, 2, 1), nn.Conv2d(width // 2, width, 3, 2, 1)
        self.conv0 = nn.Sequential(_leaky(first), _leaky(second))
        self.convblock = nn.Sequential(*(ResConv(width) for _ in range(8)))
        lastconv = nn.ConvTranspose2d(width, 4 * (4 + _HANDED_ON), 4, 2, 1)
        self.lastconv = nn.Sequential(lastconv, nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        """Return flow (4 channels), mask logit and feature, (B, 13, h, w), of parts at the reduced size."""
        return self.convolutions(x)

    def convolutions(self, x: Tensor) -> Tensor:
        """Return the same; another engine may stand in for it."""
        result: Tensor = self.lastconv(self.convblock(self.conv0(x)))
        return result


class RIFEv4(nn.Module):
    """RIFE 4.25 or 4.26, with the tensors of its official ``flownet.pkl`` that serve after training.

    Args:
        scale: 0.5 for 4K, where motion is large in pixels; 1 otherwise.
        precision: See ``precision.PRECISIONS``; ``"auto"`` is half precision on CUDA.
    """

    name = "rife-4.25"

    def __init__(self, *, scale: float = 1.0, precision: str = "auto") -> None:
        super().__init__()
        if scale not in _USER_SCALES:
            raise ValueError(f"scale ({scale}) must be one of {', '.join(map(str, _USER_SCALES))}")
        self.scale, self.precision = scale, check_precision(precision)
        self.weights_sha256 = ""
        seen = 2 * (3 + _HEAD) + 1  # both images with their features, and the time
        self.block0 = IFBlock(seen, _WIDTHS[0])
        self.block1 = IFBlock(seen + _HANDED_ON + 4, _WIDTHS[1])
        self.block2 = IFBlock(seen + _HANDED_ON + 4, _WIDTHS[2])
        self.block3 = IFBlock(seen + _HANDED_ON + 4, _WIDTHS[3])
        self.block4 = IFBlock(seen + _HANDED_ON + 4, _WIDTHS[4])
        self.encode = Head()

    @classmethod
    def from_weights(
        cls, path: Path, *, device: torch.device | str = "cpu", scale: float = 1.0, precision: str = "auto"
    ) -> Self:
        """Return the model with the weights of ``path`` (a ``flownet.pkl`` of 4.25 or 4.26), in eval mode.

        Raises:
            WeightsError: The file is missing, unsafe, or belongs to another network.
        """
        model = cls(scale=scale, precision=precision)
        state, model.weights_sha256 = load_weights(path)
        load_into(model, state, path=path, ignore_prefixes=("teacher.", "caltime."))
        return model.to(memory_format=torch.channels_last).to(device).eval()

    @torch.inference_mode()
    def interpolate(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Tensor:
        """Return the frame at ``timestep``; see ``Interpolator.interpolate``. Padded with zeros, right and bottom."""
        return self.begin(img0, img1, timestep).frame

    @torch.inference_mode()
    def begin(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Begun:
        """Return the frame and what it rests on; see ``refinable.Beginning.begin``."""
        check_pair(img0, img1, timestep)
        scales = [scale / self.scale for scale in SCALES]
        height, width = img0.shape[-2:]
        padding = Padding.to_multiple(height, width, max(_MULTIPLE, round(_MULTIPLE / self.scale)))
        img0, img1 = padding.pad(img0), padding.pad(img1)
        with computing(self.precision, img0.device, auto_on_cuda="fp16"):
            flow, mask_logit, warped = self.estimate(img0, img1, timestep, scales=scales)
            merged = _merge(mask_logit, warped)
        frame = padding.crop(merged).float().clamp(0, 1)
        return Begun(frame, padding, img0, img1, flow, mask_logit, warped, merged)

    def forward(self, img0: Tensor, img1: Tensor, timestep: float = 0.5, *, scales: Sequence[float] = SCALES) -> Tensor:
        """Return the new frame, not clamped, of images whose sizes divide by 4 times the largest scale."""
        _, mask_logit, warped = self.estimate(img0, img1, timestep, scales=scales)
        return _merge(mask_logit, warped)

    def estimate(
        self, img0: Tensor, img1: Tensor, timestep: float = 0.5, *, scales: Sequence[float] = SCALES
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return flow, mask logit and warped images.

        Returns:
            Flow (B, 4, H, W) in pixels: x, y from the new frame to img0, then to img1; the share of img0 before the
            sigmoid, (B, 1, H, W); img0 and img1 moved along the flow, (B, 6, H, W).
        """
        B, _, H, W = img0.shape
        time = torch.full_like(img0[:, :1], timestep)
        images = torch.stack((img0, img1), 1).flatten(0, 1)  # (2B, 3, H, W): both of a pair, then the next pair
        sources = torch.cat((images, self.encode(images).contiguous().to(img0.dtype)), 1)
        blocks = (self.block0, self.block1, self.block2, self.block3, self.block4)
        flow: Tensor | None = None
        handed_on: Tensor | None = None
        previous = scales[0]
        for block, scale in zip(blocks, scales, strict=True):
            if flow is None:
                moved = resize(sources, 1 / scale)
            else:
                moved = warp_small(sources, flow.reshape(2 * B, 2, H, W), scale)
            both = moved.unflatten(0, (B, 2))
            parts = [both[:, :, :3].flatten(1, 2), both[:, :, 3:].flatten(1, 2), resize(time, 1 / scale)]
            if flow is not None and handed_on is not None:
                # Resized up by a power of two and down by a smaller one is resized up once: it need not get large.
                parts += [resize(handed_on, previous / scale), resize(flow, 1 / scale) / scale]
            found = block(torch.cat(parts, 1)).contiguous().to(img0.dtype)
            change, handed_on, previous = resize(found[:, :4] * scale, scale), found[:, 4:], scale
            flow = change if flow is None else flow + change
        assert flow is not None
        assert handed_on is not None
        warped = backward_warp(images, flow.reshape(2 * B, 2, H, W)).view(B, 6, H, W)
        return flow, resize(handed_on[:, :1], previous), warped


def _merge(mask_logit: Tensor, warped: Tensor) -> Tensor:
    return torch.lerp(warped[:, 3:], warped[:, :3], torch.sigmoid(mask_logit))
