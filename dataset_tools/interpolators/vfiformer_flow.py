"""VFIformer's first half: a flow network, and features of both images warped to the middle.

"Video Frame Interpolation with Transformer" (Lu et al., CVPR 2022), section 3.1 and the supplement.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dataset_tools.interpolators.rife_block import conv_unit
from dataset_tools.interpolators.rife_refinement import Conv2
from dataset_tools.interpolators.warp import backward_warp, resize

FEATURES = (24, 48, 96, 192)  # channels at full, half, quarter and eighth size
_NORM_EPSILON = 1e-12


class FlowBlock(nn.Module):
    """Estimates a change of flow; an early RIFE block without a mask."""

    def __init__(self, inputs: int, width: int, *, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.conv0 = nn.Sequential(conv_unit(inputs, width // 2, stride=2), conv_unit(width // 2, width, stride=2))
        self.convblock = nn.Sequential(*(conv_unit(width, width) for _ in range(8)))
        self.conv1 = nn.ConvTranspose2d(width, 4, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the change (B, 4, H/2, W/2) in half-size pixels; its values are not scaled with its size."""
        x = self.conv0(resize(x, 1 / self.scale))
        return resize(self.conv1(self.convblock(x) + x), self.scale)


class FlowNet(nn.Module):
    """Flow from the middle to img0 and to img1, at half size."""

    def __init__(self) -> None:
        super().__init__()
        self.block0 = FlowBlock(6, 240, scale=4)
        self.block1 = FlowBlock(10, 150, scale=2)
        self.block2 = FlowBlock(10, 90, scale=1)

    def forward(self, img0: Tensor, img1: Tensor) -> list[Tensor]:
        """Return the flow after each of three steps, (B, 4, H/2, W/2) in half-size pixels; the last is the best."""
        flows = [self.block0(torch.cat((img0, img1), 1))]
        for block in (self.block1, self.block2):
            large = double(flows[-1])
            warped0, warped1 = backward_warp(img0, large[:, :2]), backward_warp(img1, large[:, 2:])
            flows.append(flows[-1] + block(torch.cat((warped0, warped1, large), 1)))
        return flows


class RefineBlock(nn.Module):
    """Refines both flows at one size by looking at the 3x3 neighbourhoods of the warped features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.occl_convs = nn.Sequential(
            *_point_unit(2 * width, width), *_point_unit(width, width), nn.Conv2d(width, 1, 1), nn.Sigmoid()
        )
        self.corr_convs = nn.Sequential(*_point_unit(9, width), *_point_unit(width, width))
        self.flow_convs = nn.Sequential(*conv_unit(2, width), *conv_unit(width, width))
        self.motion_convs = conv_unit(2 * width, width)
        self.gru = nn.Sequential(*conv_unit(3 * width + 2, width), *conv_unit(width, width))
        self.flow_head = nn.Sequential(*conv_unit(width, width), nn.Conv2d(width, 2, 3, 1, 1))

    def forward(self, feature0: Tensor, feature1: Tensor, flow: Tensor) -> Tensor:
        """Return the refined flow (B, 4, H, W), in pixels of the features."""
        flows = (flow[:, :2], flow[:, 2:])
        around = [_neighbourhoods(feature, side) for feature, side in zip((feature0, feature1), flows, strict=True)]
        centres = [entries[:, :, 4] for entries in around]
        share = self.occl_convs(torch.cat(centres, 1))
        blended = share * centres[0] + (1 - share) * centres[1]
        direction = _normalise(blended).unsqueeze(2)
        refined = []
        for entries, centre, side in zip(around, centres, flows, strict=True):
            fit = self.corr_convs((direction * _normalise(entries)).sum(1))
            motion = self.motion_convs(torch.cat((fit, self.flow_convs(side)), 1))
            refined.append(side + self.flow_head(self.gru(torch.cat((blended, centre, motion, side), 1))))
        return torch.cat(refined, 1)


class Refinement(nn.Module):
    """Features of both images at four sizes, warped with a flow that the full model refines on the way.

    Args:
        small: Only the encoder (VFIformerSmall).
    """

    def __init__(self, *, small: bool) -> None:
        super().__init__()
        self.small = small
        self.conv1 = Conv2(3, FEATURES[0], stride=1)
        self.conv2 = Conv2(FEATURES[0], FEATURES[1])
        self.conv3 = Conv2(FEATURES[1], FEATURES[2])
        self.conv4 = Conv2(FEATURES[2], FEATURES[3])
        if not small:
            for number, width in enumerate(FEATURES, start=1):
                self.add_module(f"rf_block{number}", RefineBlock(width))

    def encode(self, img0: Tensor, img1: Tensor) -> list[Tensor]:
        """Return the features of both images, along the batch, at four sizes."""
        features = [self.conv1(torch.cat((img0, img1)))]
        for layer in (self.conv2, self.conv3, self.conv4):
            features.append(layer(features[-1]))
        return features

    def refine(self, features: list[Tensor], half_flow: Tensor) -> Tensor:
        """Return the flow at full size, (B, 4, H, W), from the flow network's half-size one."""
        if self.small:
            return double(half_flow)
        flow = resize(half_flow, 0.25) * 0.25
        for number in (4, 3, 2, 1):
            feature0, feature1 = features[number - 1].chunk(2)
            flow = self.get_submodule(f"rf_block{number}")(feature0, feature1, flow)
            if number > 1:
                flow = double(flow)
        return flow

    def warp(self, features: list[Tensor], flow: Tensor) -> list[Tensor]:
        """Return, for each size, the features of img0 and of img1 warped to the middle, along the channels."""
        warped = []
        for feature in features:
            moved = backward_warp(feature, torch.cat((flow[:, :2], flow[:, 2:])))
            warped.append(torch.cat(moved.chunk(2), 1))
            flow = resize(flow, 0.5) * 0.5
        return warped


def double(flow: Tensor) -> Tensor:
    """Return ``flow`` at twice the size, in pixels of that size."""
    return resize(flow, 2) * 2


def _point_unit(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.PReLU(outputs))


def _neighbourhoods(feature: Tensor, flow: Tensor) -> Tensor:
    """Return the 3x3 entries around every pixel, warped, (B, C, 9, H, W)."""
    B, C, H, W = feature.shape
    entries = F.unfold(feature, 3, padding=1).view(B, C * 9, H, W)
    return backward_warp(entries, flow).view(B, C, 9, H, W)


def _normalise(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True) + _NORM_EPSILON).sqrt()
