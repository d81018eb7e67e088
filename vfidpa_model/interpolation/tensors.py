"""Pixels to tensors and back: what the networks compute on."""

import numpy as np
import torch
from torch import Tensor

from vfidpa_model.interpolation.colours import Pixels


def to_tensor(pixels: Pixels, device: torch.device) -> Tensor:
    """Return pixels (H, W, channels), uint8 or uint16, as (1, channels, H, W) in [0, 1]."""
    if pixels.dtype == np.uint8:
        return torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None].float().div_(255)
    return torch.from_numpy(pixels.astype(np.float32)).to(device).permute(2, 0, 1)[None].div_(65535)


def to_pixels(frame: Tensor, *, deep: bool) -> Pixels:
    """Return a frame (channels, H, W) in [0, 1] as pixels (H, W, channels), uint8, or uint16 if ``deep``."""
    levels = frame.float().clamp(0, 1).mul(65535 if deep else 255).round().permute(1, 2, 0)
    if deep:
        return levels.cpu().numpy().astype(np.uint16)
    return levels.to(torch.uint8).contiguous().cpu().numpy()
