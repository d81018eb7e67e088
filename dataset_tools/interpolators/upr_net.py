"""UPR-Net: one small network that estimates motion and synthesises the frame at every level of an image pyramid.

"A Unified Pyramid Recurrent Network for Video Frame Interpolation" (Jin et al., CVPR 2023), section 3. All levels
share all weights, so the number of levels is free: more levels see larger motion.
"""

import math
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dataset_tools.common.weights import load_into, load_weights
from dataset_tools.interpolators.padding import Padding, check_pair
from dataset_tools.interpolators.precision import check_precision, computing
from dataset_tools.interpolators.warp import correlation, resize, splat

_NAMES = {16: "upr-net", 24: "upr-net-large", 32: "upr-net-llarge"}
_TRAINED_WIDTH, _TRAINED_LEVELS = 448, 3  # Vimeo90K; twice the width needs one level more
_SKIPPING_LEVELS, _SKIPPED = 7, 2  # at 4K the finest motion estimates do harm (section 4.3)
_PADDING_VALUE = 0.5
_SLOPE = 0.1


class FeaturePyramid(nn.Module):
    """Features of an image at full, half and quarter size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_stage0 = _stage(3, width, stride=1)
        self.conv_stage1 = _stage(width, 2 * width, stride=2)
        self.conv_stage2 = _stage(2 * width, 4 * width, stride=2)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return features of ``width``, 2 and 4 times ``width`` channels."""
        full = self.conv_stage0(image)
        half = self.conv_stage1(full)
        return [full, half, self.conv_stage2(half)]


class MotionEstimator(nn.Module):
    """Bidirectional flow at a quarter of the level's size, anew at each level."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_layer1 = _leaky(nn.Conv2d(81 + 12 * width + 4, 10 * width, 1))
        self.conv_layer2 = _leaky(nn.Conv2d(10 * width, 8 * width, 3, 1, 1))
        self.conv_layer3 = _leaky(nn.Conv2d(8 * width, 7 * width, 3, 1, 1))
        self.conv_layer4 = _leaky(nn.Conv2d(7 * width, 6 * width, 3, 1, 1))
        self.conv_layer5 = _leaky(nn.Conv2d(6 * width, 4 * width, 3, 1, 1))
        self.conv_layer6 = nn.Sequential(nn.Conv2d(4 * width, 4, 3, 1, 1))

    def forward(self, features: Tensor, last_feature: Tensor, last_flow: Tensor) -> tuple[Tensor, Tensor]:
        """Return the flow (B, 4, h, w), in pixels of the level's full size, and the feature before it.

        Args:
            features: Quarter-size features of img0, then of img1, along the batch: (2B, C, h, w).
            last_feature, last_flow: From the level below, brought to this size.
        """
        # Full-size pixels become quarter-size ones, and both images meet half way whatever the timestep.
        meeting = _by_image(last_flow * (0.25 * 0.5))
        moved0, moved1 = splat(features, meeting).chunk(2)
        costs = F.leaky_relu(correlation(moved0, moved1), _SLOPE)
        x = torch.cat((costs, moved0, moved1, last_feature, last_flow), 1)
        x = self.conv_layer3(self.conv_layer2(self.conv_layer1(x)))
        feature = self.conv_layer5(self.conv_layer4(x))
        # Each level finds its flow anew: in half precision one of 100 pixels would be off by up to a quarter of one.
        with torch.autocast(x.device.type, enabled=False):
            return self.conv_layer6(feature.to(last_flow.dtype)), feature


class SynthesisNetwork(nn.Module):
    """The frame at a level's full size, from both images and the frame of the level below."""

    def __init__(self, width: int) -> None:
        super().__init__()
        c2, c4, c8 = 2 * width, 4 * width, 8 * width
        self.encoder_conv = _prelu_stack(nn.Conv2d(19, c2, 3, 1, 1), nn.Conv2d(c2, c2, 3, 1, 1))
        self.encoder_down1 = _down(2 * c2, c4)
        self.encoder_down2 = _down(2 * c4, c8)
        self.decoder_up1 = _prelu_stack(nn.ConvTranspose2d(2 * c8, c4, 4, 2, 1), nn.Conv2d(c4, c4, 3, 1, 1))
        self.decoder_up2 = _prelu_stack(nn.ConvTranspose2d(2 * c4, c2, 4, 2, 1), nn.Conv2d(c2, c2, 3, 1, 1))
        self.decoder_conv = _prelu_stack(nn.Conv2d(2 * c2, c2, 3, 1, 1), nn.Conv2d(c2, c2, 3, 1, 1))
        self.pred = nn.Conv2d(c2, 5, 3, 1, 1)

    def forward(
        self, images: Tensor, features: list[Tensor], flow: Tensor, below: Tensor | None, timestep: float
    ) -> Tensor:
        """Return the frame (B, 3, H, W), clamped to [0, 1].

        Args:
            images: img0, then img1, along the batch: (2B, 3, H, W).
            features: What ``FeaturePyramid`` gives for ``images``.
            flow: (B, 4, H, W), img0 to img1 and back.
            below: The frame of the level below at this size, or ``None`` at the coarsest.
        """
        moves = torch.cat((flow[:, :2] * timestep, flow[:, 2:] * (1 - timestep)), 1)
        # One splat for images and features: they move along the same flow.
        moved = splat(torch.cat((images, features[0]), 1), _by_image(moves))
        moved0, moved1 = moved[:, :3].chunk(2)
        if below is None:
            below = moved0 * (1 - timestep) + moved1 * timestep
        half_moves = resize(moves, 0.5) * 0.5
        half = splat(features[1], _by_image(half_moves))
        quarter = splat(features[2], _by_image(resize(half_moves, 0.5) * 0.5))
        img0, img1 = images.chunk(2)
        skip0 = self.encoder_conv(torch.cat((below, moved0, moved1, img0, img1, moves), 1))
        skip1 = self.encoder_down1(torch.cat((skip0, *moved[:, 3:].chunk(2)), 1))
        x = self.encoder_down2(torch.cat((skip1, *half.chunk(2)), 1))
        x = self.decoder_up1(torch.cat((x, *quarter.chunk(2)), 1))
        x = self.decoder_up2(torch.cat((x, skip1), 1))
        x = self.pred(self.decoder_conv(torch.cat((x, skip0), 1)))
        residual = torch.sigmoid(x[:, :3]) * 2 - 1
        share0 = torch.sigmoid(x[:, 3:4]) * (1 - timestep)
        share1 = torch.sigmoid(x[:, 4:5]) * timestep
        return ((moved0 * share0 + moved1 * share1) / (share0 + share1) + residual).clamp(0, 1)


class UPRNet(nn.Module):
    """UPR-Net base, large or LARGE: any timestep.

    Args:
        width: 16 (base), 24 (large) or 32 (LARGE).
        levels: Pyramid levels; by default 3 at a width of 448 pixels and one more per doubling.
        skipped: How many of the finest levels take their motion from below; by default 2 with seven levels or more.
        precision: See ``precision.PRECISIONS``.
    """

    def __init__(
        self, *, width: int = 16, levels: int | None = None, skipped: int | None = None, precision: str = "auto"
    ) -> None:
        super().__init__()
        if width not in _NAMES:
            raise ValueError(f"width ({width}) must be one of {', '.join(map(str, _NAMES))}")
        if levels is not None and levels < 1:
            raise ValueError(f"levels ({levels}) must be at least 1")
        self.name, self.weights_sha256 = _NAMES[width], ""
        self.width = width
        self.levels, self.skipped, self.precision = levels, skipped, check_precision(precision)
        self.feat_pyramid = FeaturePyramid(width)
        self.motion_estimator = MotionEstimator(width)
        self.synthesis_network = SynthesisNetwork(width)

    @classmethod
    def from_weights(
        cls,
        path: Path,
        *,
        device: torch.device | str = "cpu",
        width: int = 16,
        levels: int | None = None,
        skipped: int | None = None,
        precision: str = "auto",
    ) -> Self:
        """Return the model with the weights of ``path``, in eval mode.

        Raises:
            WeightsError: The file is missing, unsafe, or belongs to another variant.
        """
        model = cls(width=width, levels=levels, skipped=skipped, precision=precision)
        state, model.weights_sha256 = load_weights(path)
        load_into(model, state, path=path)
        # On a CPU the convolutions are a quarter faster with channels last.
        return model.to(memory_format=torch.channels_last).to(device).eval()

    def forward(
        self, img0: Tensor, img1: Tensor, timestep: float = 0.5, *, levels: int = 3, skipped: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Return the frame (B, 3, H, W) and the flow (B, 4, H, W) of images whose sizes divide by 2^(levels + 1).

        Raises:
            ValueError: ``skipped`` is not below ``levels``: the coarsest level cannot be skipped.
        """
        if not 0 <= skipped < levels:
            raise ValueError(f"skipped ({skipped}) must be at least 0 and below levels ({levels})")
        originals = torch.cat((img0, img1))
        height, width = img0.shape[-2] >> (levels + 1), img0.shape[-1] >> (levels + 1)
        flow = img0.new_zeros(len(img0), 4, height, width)
        feature = img0.new_zeros(len(img0), 4 * self.width, height, width)
        frame: Tensor | None = None
        above = levels - 1
        for level in [*range(levels - 1, max(skipped - 1, 0), -1), 0]:
            growth = 2 ** (above - level)
            above = level
            # The feature is doubled like the flow: the published weights were trained that way.
            flow, feature = resize(flow, growth) * growth, resize(feature, growth) * growth
            images = resize(originals, 0.5**level)
            features = self.feat_pyramid(images)
            if level > 0 or not skipped:
                flow, feature = self.motion_estimator(features[2], feature, flow)
            below = None if frame is None else resize(frame, growth)
            frame = self.synthesis_network(images, features, resize(flow, 4), below, timestep)
        assert frame is not None  # levels >= 1
        return frame, resize(flow, 4)

    @torch.inference_mode()
    def interpolate(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Tensor:
        """Return the frame at ``timestep``; see ``Interpolator.interpolate``. Padded with grey, right and bottom."""
        check_pair(img0, img1, timestep)
        height, width = img0.shape[-2:]
        levels = self.levels or levels_for(width)
        skipped = self.skipped if self.skipped is not None else _SKIPPED if levels >= _SKIPPING_LEVELS else 0
        padding = Padding.to_multiple(height, width, 2 ** (levels + 1))
        img0, img1 = (padding.pad(image, value=_PADDING_VALUE) for image in (img0, img1))
        with computing(self.precision, img0.device):
            frame, _ = self(img0, img1, timestep, levels=levels, skipped=skipped)
        return padding.crop(frame)


def levels_for(width: int) -> int:
    """Return the number of pyramid levels for images ``width`` pixels wide: 3 at 448, 5 at 1280, 7 at 4096."""
    return max(_TRAINED_LEVELS, math.ceil(math.log2(width / _TRAINED_WIDTH) + _TRAINED_LEVELS))


def _by_image(flow: Tensor) -> Tensor:
    """Return both halves of a bidirectional flow along the batch, as the images are: (2B, 2, H, W)."""
    return torch.cat((flow[:, :2], flow[:, 2:]))


def _leaky(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.LeakyReLU(_SLOPE))


def _stage(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    first = _leaky(nn.Conv2d(inputs, outputs, 3, stride, 1))
    rest = (_leaky(nn.Conv2d(outputs, outputs, 3, 1, 1)) for _ in range(3))
    return nn.Sequential(*first, *(layer for unit in rest for layer in unit))


def _prelu_stack(*convolutions: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(*(layer for conv in convolutions for layer in (conv, nn.PReLU(conv.out_channels))))


def _down(inputs: int, outputs: int) -> nn.Sequential:
    inner = (nn.Conv2d(outputs, outputs, 3, 1, 1) for _ in range(2))
    return _prelu_stack(nn.Conv2d(inputs, outputs, 3, 2, 1), *inner)
