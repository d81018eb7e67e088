"""The refinement that RIFE's models share: context of both images, and a U-shaped network that gives a residual.

Described in "Real-Time Intermediate Flow Estimation for Video Frame Interpolation" (ECCV 2022), section 3.2.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dataset_tools.interpolators.rife_block import conv_unit
from dataset_tools.interpolators.warp import backward_warp, resize, warp_part


class Conv2(nn.Module):
    """Two conv units, the first with a stride."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 2) -> None:
        super().__init__()
        self.conv1 = conv_unit(inputs, outputs, stride=stride)
        self.conv2 = conv_unit(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv2(self.conv1(x))
        return result


class Contextnet(nn.Module):
    """Features of one image at four sizes, each warped to the middle.

    Args:
        double_resolution: Start at full instead of half size (the 2R variant).
    """

    def __init__(self, *, double_resolution: bool = False) -> None:
        super().__init__()
        self.double_resolution = double_resolution
        self.conv1 = Conv2(3, 16, stride=1 if double_resolution else 2)
        self.conv2 = Conv2(16, 32)
        self.conv3 = Conv2(32, 64)
        self.conv4 = Conv2(64, 128)

    def forward(self, image: Tensor, flow: Tensor) -> list[Tensor]:
        """Return the four warped features; ``flow`` (B, 2, H, W) is in full-size pixels."""
        return [backward_warp(x, at) for x, at in zip(self.convolutions(image), self._flows(flow), strict=True)]

    def of_parts(self, features: Sequence[Tensor], flow: Tensor, corners: Tensor) -> list[Tensor]:
        """Return the four features warped for parts of a frame.

        Args:
            features: What ``convolutions`` gives of the parts of the image that ``flow`` points to.
            flow: (B, 2, h, w) of the parts to make, full-size pixels.
            corners: (B, 2), x and y of the first pixel to make from that of the image's part, full-size pixels.
        """
        flows = self._flows(flow)
        steps = [flow.shape[-1] / at.shape[-1] for at in flows]
        return [warp_part(x, at, corners / step) for x, at, step in zip(features, flows, steps, strict=True)]

    def _flows(self, flow: Tensor) -> list[Tensor]:
        flows = [flow if self.double_resolution else resize(flow, 0.5) * 0.5]
        while len(flows) < 4:
            flows.append(resize(flows[-1], 0.5) * 0.5)
        return flows

    def convolutions(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the four features, not warped."""
        first = self.conv1(image)
        second = self.conv2(first)
        third = self.conv3(second)
        return first, second, third, self.conv4(third)


class Sides(NamedTuple):
    """Which sides of a part have a margin; the others end with the frame."""

    top: bool
    left: bool
    bottom: bool
    right: bool

    def cropped(self, x: Tensor, by: int) -> Tensor:
        """Return ``x`` without ``by`` pixels on each side that has a margin."""
        top, left, bottom, right = (by if side else 0 for side in self)
        return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


class Unet(nn.Module):
    """The residual of the merged frame, in -1..1."""

    def __init__(self, *, double_resolution: bool = False) -> None:
        super().__init__()
        self.double_resolution = double_resolution
        self.down0 = Conv2(17, 32, stride=1 if double_resolution else 2)
        self.down1 = Conv2(64, 64)
        self.down2 = Conv2(128, 128)
        self.down3 = Conv2(256, 256)
        self.up0 = nn.Sequential(nn.ConvTranspose2d(512, 128, 4, 2, 1), nn.PReLU(128))
        self.up1 = nn.Sequential(nn.ConvTranspose2d(256, 64, 4, 2, 1), nn.PReLU(64))
        self.up2 = nn.Sequential(nn.ConvTranspose2d(128, 32, 4, 2, 1), nn.PReLU(32))
        self.up3 = nn.Sequential(nn.ConvTranspose2d(64, 16, 4, 2, 1), nn.PReLU(16))
        self.conv = nn.Conv2d(16, 3, 3, 2 if double_resolution else 1, 1)

    def forward(self, images: Tensor, flow: Tensor, context0: list[Tensor], context1: list[Tensor]) -> Tensor:
        """Return the residual (B, 3, H, W).

        Args:
            images: img0, img1, warped img0, warped img1 and the mask LOGIT, (B, 13, H, W).
            flow: (B, 4, H, W), full-size pixels.
            context0, context1: What ``Contextnet`` gives for each image.
        """
        residual: Tensor = self.convolutions(torch.cat((images, flow), 1), *context0, *context1)
        return residual

    def convolutions(
        self, x: Tensor, a0: Tensor, a1: Tensor, a2: Tensor, a3: Tensor, b0: Tensor, b1: Tensor, b2: Tensor, b3: Tensor
    ) -> Tensor:
        """Return the residual of images and flow, (B, 17, H, W), and the context of both images."""
        s0 = self.down0(x)
        s1 = self.down1(torch.cat((s0, a0, b0), 1))
        s2 = self.down2(torch.cat((s1, a1, b1), 1))
        s3 = self.down3(torch.cat((s2, a2, b2), 1))
        x = self.up0(torch.cat((s3, a3, b3), 1))
        x = self.up1(torch.cat((x, s2), 1))
        x = self.up2(torch.cat((x, s1), 1))
        x = self.up3(torch.cat((x, s0), 1))
        return torch.sigmoid(self.conv(x)) * 2 - 1

    def of_part(
        self, x: Tensor, context0: Sequence[Tensor], context1: Sequence[Tensor], sides: Sides, *, margin: int, keep: int
    ) -> Tensor:
        """Return the residual of a part of a frame, which lies inside of ``x`` with ``margin`` pixels on each side.

        Only ``keep`` pixels of the margin are wanted: the decoder computes at each size no more of it than the next
        size looks at, which makes no difference to what is kept.

        Args:
            x: Images and flow, (B, 17, h, w).
        """
        a0, a1, a2, a3 = context0
        b0, b1, b2, b3 = context1
        if self.double_resolution or "convolutions" in vars(self):  # other sizes, or run as a whole by another engine
            residual = self.convolutions(x, a0, a1, a2, a3, b0, b1, b2, b3)
            return sides.cropped(residual, margin - keep)
        x, a0, a1, a2, a3, b0, b1, b2, b3 = (
            part.contiguous(memory_format=torch.channels_last) for part in (x, a0, a1, a2, a3, b0, b1, b2, b3)
        )  # so that nothing is reordered on the way: a tenth faster on a CPU
        s0 = self.down0(x)
        s1 = self.down1(torch.cat((s0, a0, b0), 1))
        s2 = self.down2(torch.cat((s1, a1, b1), 1))
        s3 = self.down3(torch.cat((s2, a2, b2), 1))
        y, has = torch.cat((s3, a3, b3), 1), margin // 16
        looks_at = [keep + 1]  # pixels of the margin at 1, 1/2, 1/4 and 1/8 of the size: each pixel sees one more
        for _ in range(3):
            looks_at.append(looks_at[-1] // 2 + 1)
        for up, skip, step in ((self.up0, s2, 8), (self.up1, s1, 4), (self.up2, s0, 2), (self.up3, None, 1)):
            wanted = min(margin // step, looks_at.pop())
            y, has = _up(up, y, sides, 2 * has - wanted), wanted
            if skip is not None:
                y = torch.cat((y, sides.cropped(skip, margin // step - has)), 1)
        return torch.sigmoid(sides.cropped(self.conv(y), has - keep)) * 2 - 1


def _up(layers: nn.Sequential, x: Tensor, sides: Sides, drop: int) -> Tensor:
    """Return ``sides.cropped(layers(x), drop)``; what is dropped on two sides that face each other is not computed."""
    transposed, activation = layers[0], layers[1]
    assert isinstance(transposed, nn.ConvTranspose2d)
    rows, columns = sides.top and sides.bottom, sides.left and sides.right
    x = F.conv_transpose2d(x, transposed.weight, transposed.bias, 2, (1 + drop * rows, 1 + drop * columns))
    rest = Sides(
        sides.top and not rows, sides.left and not columns, sides.bottom and not rows, sides.right and not columns
    )
    activated: Tensor = activation(rest.cropped(x, drop))
    return activated
