"""DeformNet: brings one frame's deep feature to the shallow one's size and lets it steer a deformable convolution.

After "Dynamic Video Frame Interpolator with Integrated Difficulty Pre-Assessment" (ICASSP 2024), feature fusion, and
the fusion of AHIQ that it modifies. The deformable convolution is the one of Dai et al., ICCV 2017, without modulation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

_TAPS = 9  # of a 3x3 kernel


def deform_conv3x3(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the 3x3 deformable convolution (stride 1, zero padding 1, one offset group) of ``x``.

    The nine taps are sampled in one ``grid_sample`` and summed in one matrix product: a third of the time of
    torchvision's operator on a CPU, the same values up to rounding.

    Args:
        x: (B, C, H, W).
        offset: (B, 18, H, W), as in torchvision: dy and dx of tap 0, of tap 1, ..., row by row, in locations.
        weight: (O, C, 3, 3).
        bias: (O,).
    """
    B, C, H, W = x.shape
    tap = torch.arange(_TAPS, device=x.device)
    rows = torch.arange(H, device=x.device).view(1, 1, H, 1) + (tap // 3 - 1).view(1, _TAPS, 1, 1)
    columns = torch.arange(W, device=x.device).view(1, 1, 1, W) + (tap % 3 - 1).view(1, _TAPS, 1, 1)
    exact = torch.promote_types(x.dtype, torch.float32)  # bfloat16 cannot tell neighbouring locations apart
    moves = offset.to(exact).view(B, _TAPS, 2, H, W)
    down = (moves[:, :, 0] + rows) * 2 / (H - 1) - 1
    right = (moves[:, :, 1] + columns) * 2 / (W - 1) - 1
    grid = torch.stack((right, down), dim=-1).view(B, _TAPS * H, W, 2)
    sampled = F.grid_sample(x.to(exact), grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    out = weight.view(weight.shape[0], C * _TAPS) @ sampled.to(x.dtype).view(B, C * _TAPS, H * W)
    out = out.view(B, weight.shape[0], H, W)
    return out if bias is None else out + bias.view(1, -1, 1, 1)


class DeformConv2d(nn.Module):
    """A 3x3 deformable convolution with torchvision's parameter names.

    Attributes:
        native: Use torchvision's operator; None chooses it on CUDA only. An exporter whose runtime has a kernel of
            its own sets it to True.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        plain = nn.Conv2d(in_channels, out_channels, 3)
        self.weight, self.bias = plain.weight, plain.bias
        self.native: bool | None = None

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        """Return the convolution of ``x`` (B, C, H, W) at taps moved by ``offset`` (B, 18, H, W); H, W >= 2."""
        if self.native or (self.native is None and x.is_cuda):
            return deform_conv2d(x, offset, self.weight, self.bias, padding=1)
        return deform_conv3x3(x, offset, self.weight, self.bias)


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with zero mean and unit variance at each location, then scaled and shifted per channel."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()


class DeformNet(nn.Module):
    """Fuses one frame's features; called for both frames with the same weights.

    Form ``normed``: both features are normalised over channels first (Swin's residual stream after stage 2 is not, and
    without it the two halves of the concatenation differ by an order of magnitude), the offsets start at zero, and a
    ReLU follows. Form ``ahiq``: none of these, but AHIQ's two convolutions after the deformable one, both of stride 1,
    for the two features lie on one grid already.
    """

    def __init__(
        self,
        shallow_in: int,
        deep_in: int,
        *,
        shallow: int,
        deep: int,
        factor: int,
        upsample: str,
        form: str = "normed",
    ) -> None:
        """Args:
        shallow_in, deep_in: Channels of the backbone's features.
        shallow, deep: Channels that come out.
        factor: Size of the shallow feature over that of the deep one.
        upsample: ``pixelshuffle`` or ``nearest``.
        form: ``normed`` or ``ahiq``.
        """
        super().__init__()
        is_ahiq = form == "ahiq"
        self.norm_shallow = nn.Identity() if is_ahiq else ChannelNorm(shallow_in)
        self.norm_deep = nn.Identity() if is_ahiq else ChannelNorm(deep_in)
        self.upsample = _upsampler(deep_in, deep, factor=factor, kind=upsample)
        self.conv_offset = nn.Conv2d(deep, 2 * _TAPS, 3, padding=1)
        if not is_ahiq:
            nn.init.zeros_(self.conv_offset.weight)  # starts as a plain convolution, as Dai et al. do
            nn.init.zeros_(self.conv_offset.bias)  # type: ignore[arg-type]
        self.deform = DeformConv2d(shallow_in, shallow)
        self.after: nn.Module = nn.ReLU()
        if is_ahiq:
            inner = shallow * 2 // 3  # AHIQ: 768 to 512 to 768
            self.after = nn.Sequential(
                nn.Conv2d(shallow, inner, 3, padding=1), nn.ReLU(), nn.Conv2d(inner, shallow, 3, padding=1)
            )

    def forward(self, shallow: Tensor, deep: Tensor) -> tuple[Tensor, Tensor]:
        """Return (shallow, deep): (B, ., h, w) each, the shallow one deformed, the deep one brought to its size."""
        raised = self.upsample(self.norm_deep(deep))
        return self.after(self.deform(self.norm_shallow(shallow), self.conv_offset(raised))), raised


def _upsampler(channels: int, wanted: int, *, factor: int, kind: str) -> nn.Module:
    if kind == "nearest":
        # A 1x1 convolution and nearest-neighbour upsampling commute; this order costs factor^2 times less.
        return nn.Sequential(nn.Conv2d(channels, wanted, 1), nn.Upsample(scale_factor=factor, mode="nearest"))
    if channels == wanted * factor**2:
        return nn.PixelShuffle(factor)
    return nn.Sequential(nn.Conv2d(channels, wanted * factor**2, 1), nn.PixelShuffle(factor))
