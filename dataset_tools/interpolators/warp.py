"""Operators that move pixels along a flow, shared by the interpolation networks."""

from functools import lru_cache

import torch
import torch.nn.functional as F


def backward_warp(img: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Return ``img`` sampled at each pixel's position plus its flow.

    Bilinear, border pixels repeated outside (ECCV2022-RIFE and VFIformer, ``warplayer``).

    Args:
        img: (B, C, H, W), float.
        flow: (B, 2, H', W') in pixels of ``img``, x first; its size is that of the result.

    Returns:
        (B, C, H', W').
    """
    height, width = img.shape[-2:]
    grid = _grid(flow.shape[-2], flow.shape[-1], flow.device, flow.dtype)
    steps = flow.new_tensor([2 / (width - 1), 2 / (height - 1)])
    at = torch.addcmul(grid, flow.permute(0, 2, 3, 1), steps)
    return F.grid_sample(img, at.to(img.dtype), mode="bilinear", padding_mode="border", align_corners=True)


@lru_cache(maxsize=8)
def _grid(height: int, width: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return (1, H, W, 2): x and y of every pixel, from -1 at the first to 1 at the last."""
    with torch.inference_mode(False):  # a grid cached in inference mode could not be used in training
        x = torch.linspace(-1, 1, width, device=device, dtype=dtype).expand(height, width)
        y = torch.linspace(-1, 1, height, device=device, dtype=dtype)[:, None].expand(height, width)
        return torch.stack([x, y], dim=-1).unsqueeze(0)
