"""The refinement that RIFE's models share: context of both images, and a U-shaped network that gives a residual.

Described in "Real-Time Intermediate Flow Estimation for Video Frame Interpolation" (ECCV 2022), section 3.2.
"""

import torch
from torch import Tensor, nn

from dataset_tools.interpolators.rife_block import conv_unit
from dataset_tools.interpolators.warp import backward_warp, resize


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
        features = []
        for index, x in enumerate(self.convolutions(image)):
            if index > 0 or not self.double_resolution:
                flow = resize(flow, 0.5) * 0.5
            features.append(backward_warp(x, flow))
        return features

    def convolutions(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the four features, not warped."""
        first = self.conv1(image)
        second = self.conv2(first)
        third = self.conv3(second)
        return first, second, third, self.conv4(third)


class Unet(nn.Module):
    """The residual of the merged frame, in -1..1."""

    def __init__(self, *, double_resolution: bool = False) -> None:
        super().__init__()
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
