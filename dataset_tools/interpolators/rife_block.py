"""The block that RIFE's models are made of ("Real-Time Intermediate Flow Estimation", ECCV 2022, section 3.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dataset_tools.interpolators.warp import resize


def conv_unit(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution followed by a PReLU with one slope per channel."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.PReLU(outputs))


class IFBlock(nn.Module):
    """Estimates a change of flow and mask at a reduced size.

    Args:
        inputs: Channels of all parts and of the flow.
        double_resolution: Keep half of the size instead of a quarter inside (the 2R variant).
    """

    def __init__(self, inputs: int, width: int, *, double_resolution: bool = False) -> None:
        super().__init__()
        self.reduction = 1 if double_resolution else 2  # of the result, before it is brought back to full size
        first = conv_unit(inputs, width // 2, stride=self.reduction)
        self.conv0 = nn.Sequential(first, conv_unit(width // 2, width, stride=2))
        self.convblock = nn.Sequential(*(conv_unit(width, width) for _ in range(8)))
        self.lastconv = nn.ConvTranspose2d(width, 5, 4, 2, 1)

    def forward(self, parts: Sequence[Tensor], flow: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
        """Return the changes of flow (B, 4, H, W) and mask logit (B, 1, H, W), estimated at 1/``scale`` of the size.

        ``parts`` are what the block sees besides the flow; they are concatenated only after they are small.
        """
        small = [resize(part, 1 / scale) for part in parts]
        if flow is not None:
            small.append(resize(flow, 1 / scale) / scale)
        # Convolutions work with channels last; everything at full size is faster in planes, so change over while small.
        # In mixed precision only they are halved: a flow of 100 pixels in half precision is off by a sixteenth.
        x = self.convolutions(torch.cat(small, 1)).contiguous().to(parts[0].dtype)
        growth = scale * self.reduction  # a flow grows with its size
        return resize(x[:, :4] * growth, growth), resize(x[:, 4:], growth)

    def convolutions(self, x: Tensor) -> Tensor:
        """Return flow and mask logit, (B, 5, h / 2, w / 2), of parts at the reduced size (2R: of that size)."""
        x = self.conv0(x)
        result: Tensor = self.lastconv(self.convblock(x) + x)
        return result
