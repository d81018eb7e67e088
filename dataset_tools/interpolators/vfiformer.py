"""VFIformer: a transformer that sees both images, warped to the middle, at four scales. Accurate and slow.

"Video Frame Interpolation with Transformer" (Lu et al., CVPR 2022), section 3. The middle frame only.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from dataset_tools.common.weights import load_into, load_weights
from dataset_tools.interpolators.padding import Padding, check_pair
from dataset_tools.interpolators.precision import check_precision, computing
from dataset_tools.interpolators.vfiformer_blocks import Group
from dataset_tools.interpolators.vfiformer_flow import FEATURES, FlowNet, Refinement, double
from dataset_tools.interpolators.warp import backward_warp, resize

_FUSED = 48  # channels of the fused images
_DEPTHS = (3, 3, 3, 1)  # blocks per group at full, half, quarter and eighth size
_MULTIPLE = 64  # image sizes must divide by it
_SLOPE = 0.2


class Transformer(nn.Module):
    """The U-shaped transformer: residual and mask of the middle frame.

    Args:
        width: Channels of the tokens.
        window: Side of the attention windows.
    """

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.conv_first = nn.Conv2d(_FUSED, width, 3, 1, 1)
        # One pair of norms for all four scales.
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(width)})
        self.norm = nn.LayerNorm(width)
        for scale, depth in enumerate(_DEPTHS):
            cross = depth > 1
            groups = (Group(width, window, depth=depth, cross=cross and index == 1) for index in range(2))
            self.add_module(f"layers{scale}", nn.ModuleList(groups))
        for scale in range(3):
            down = nn.Sequential(
                nn.Conv2d(width + 2 * FEATURES[scale], width, 3, 2, 1),
                nn.LeakyReLU(_SLOPE),
                nn.Conv2d(width, width, 3, 1, 1),
                nn.LeakyReLU(_SLOPE),
            )
            self.add_module(f"conv_after_body{scale}", down)
        self.conv_up0 = _up(width + 2 * FEATURES[3], width)
        self.conv_up1 = _up(2 * width, width)
        self.conv_up2 = _up(2 * width, width)
        self.conv_last1 = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, 1, 1), nn.LeakyReLU(_SLOPE), nn.Conv2d(width, width, 3, 1, 1)
        )
        self.conv_last2 = nn.Sequential(
            nn.Conv2d(width, width // 2, 3, 1, 1), nn.LeakyReLU(_SLOPE), nn.Conv2d(width // 2, 4, 3, 1, 1)
        )

    def forward(self, fused: Tensor, warped: list[Tensor]) -> Tensor:
        """Return residual and mask before their sigmoids, (B, 4, H, W).

        Args:
            fused: (B, 48, H, W).
            warped: What ``Refinement.warp`` gives.
        """
        start = self.conv_first(fused)
        maps: list[Tensor] = []
        x = start
        for scale in range(4):
            if scale > 0:
                x = self.get_submodule(f"conv_after_body{scale - 1}")(torch.cat((maps[-1], warped[scale - 1]), 1))
            maps.append(self._attend(x, scale))
        x = self.conv_up0(torch.cat((maps[3], warped[3]), 1))
        x = self.conv_up1(torch.cat((x, maps[2]), 1))
        x = self.conv_up2(torch.cat((x, maps[1]), 1))
        result: Tensor = self.conv_last2(self.conv_last1(torch.cat((x, maps[0]), 1)) + start)
        return result

    def _attend(self, x: Tensor, scale: int) -> Tensor:
        tokens = self.patch_embed["norm"](x.permute(0, 2, 3, 1))
        for group in self.get_submodule(f"layers{scale}").children():
            tokens = group(tokens)
        return self.norm(tokens).permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True)
class Result:
    """The middle frame, and what it was made from.

    Attributes:
        frame: (B, 3, H, W), clamped to [0, 1].
        flow: (B, 4, H, W) from the middle to img0 and to img1.
        raw: (B, 4, H, W): residual and mask before their sigmoids.
    """

    frame: Tensor
    flow: Tensor
    raw: Tensor


class VFIformer(nn.Module):
    """VFIformer, full or small.

    Args:
        small: VFIformerSmall: narrower tokens, smaller windows, no refinement of the flow.
        half_flow: Estimate the flow on halved images, as the official code does on SNU-FILM, for large motion.
        precision: See ``precision.PRECISIONS``.
    """

    def __init__(self, *, small: bool = False, half_flow: bool = False, precision: str = "auto") -> None:
        super().__init__()
        self.name = "vfiformer-small" if small else "vfiformer"
        self.weights_sha256 = ""
        self.half_flow, self.precision = half_flow, check_precision(precision)
        self.flownet = FlowNet()
        self.refinenet = Refinement(small=small)
        self.fuse_block = nn.Sequential(
            nn.Conv2d(12, _FUSED, 3, 1, 1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(_FUSED, _FUSED, 3, 1, 1),
            nn.LeakyReLU(_SLOPE),
        )
        self.transformer = Transformer(136, 4) if small else Transformer(160, 8)

    @classmethod
    def from_weights(
        cls,
        path: Path,
        *,
        device: torch.device | str = "cpu",
        small: bool = False,
        half_flow: bool = False,
        precision: str = "auto",
    ) -> Self:
        """Return the model with the weights of ``path``, in eval mode; masks in the file are not read.

        Raises:
            WeightsError: The file is missing, unsafe, or belongs to another variant.
        """
        model = cls(small=small, half_flow=half_flow, precision=precision)
        state, model.weights_sha256 = load_weights(path)
        masks = {key: value for key, value in model.state_dict().items() if "attn_mask" in key}
        kept = {key: value for key, value in state.items() if "attn_mask" not in key}
        load_into(model, {**masks, **kept}, path=path)
        # On a CPU the convolutions are a quarter faster with channels last.
        return model.to(memory_format=torch.channels_last).to(device).eval()

    def estimate_flow(self, img0: Tensor, img1: Tensor) -> Tensor:
        """Return the flow from the middle to img0 and to img1, (B, 4, H, W)."""
        return self.refinenet.refine(self.refinenet.encode(img0, img1), self.flownet(img0, img1)[-1])

    def forward(self, img0: Tensor, img1: Tensor, flow: Tensor | None = None) -> Result:
        """Return the middle frame of images whose sizes divide by 64.

        Args:
            flow: Used as it is when given, (B, 4, H, W); else estimated.
        """
        features = self.refinenet.encode(img0, img1)
        if flow is None:
            flow = self.refinenet.refine(features, self.flownet(img0, img1)[-1])
        warped0, warped1 = backward_warp(img0, flow[:, :2]), backward_warp(img1, flow[:, 2:])
        fused = self.fuse_block(torch.cat((img0, img1, warped0, warped1), 1))
        raw = self.transformer(fused, self.refinenet.warp(features, flow))
        residual = torch.sigmoid(raw[:, :3]) * 2 - 1
        mask = torch.sigmoid(raw[:, 3:])
        frame = (warped0 * mask + warped1 * (1 - mask) + residual).clamp(0, 1)
        return Result(frame, flow, raw)

    @torch.inference_mode()
    def interpolate(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Tensor:
        """Return the middle frame; see ``Interpolator.interpolate``. Padded with zeros, centred.

        The network was trained on blue-green-red images only, unlike the others, so channels are turned round for it.
        """
        check_pair(img0, img1, timestep)
        if timestep != 0.5:
            raise ValueError(f"{self.name} interpolates at timestep 0.5 only, not {timestep}")
        height, width = img0.shape[-2:]
        padding = Padding.to_multiple(height, width, _MULTIPLE, centred=True)
        img0, img1 = padding.pad(img0.flip(1)), padding.pad(img1.flip(1))
        with computing(self.precision, img0.device):
            flow = self._half_size_flow(img0, img1) if self.half_flow else None
            frame = self(img0, img1, flow).frame
        return padding.crop(frame).flip(1)

    def _half_size_flow(self, img0: Tensor, img1: Tensor) -> Tensor:
        img0, img1 = resize(img0, 0.5), resize(img1, 0.5)
        height, width = img0.shape[-2:]
        padding = Padding.to_multiple(height, width, _MULTIPLE)
        return double(padding.crop(self.estimate_flow(padding.pad(img0), padding.pad(img1))))


def _up(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.LeakyReLU(_SLOPE))
