"""RIFE HDv3 written in the plainest way, to measure the product's version against: same weights, same result.

Eager, one pair at a time, channels first, no cached grids, one warp per image, padded with zeros to multiples of 128.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dataset_tools.interpolators.padding import Padding
from dataset_tools.interpolators.rife import LARGE_MOTION_PIXELS, RIFE, SCALES
from dataset_tools.interpolators.rife_block import IFBlock

_MULTIPLE = 128


def plain_interpolate(model: RIFE, img0: Tensor, img1: Tensor) -> Tensor:
    """Return the middle frame of one pair, (1, 3, H, W); ``model`` only lends its weights."""
    padding = Padding.to_multiple(img0.shape[2], img0.shape[3], _MULTIPLE)
    with torch.no_grad():
        return padding.crop(_forward(model, padding.pad(img0), padding.pad(img1))).clamp(0, 1)


def _forward(model: RIFE, img0: Tensor, img1: Tensor) -> Tensor:
    time = torch.full_like(img0[:, :1], 0.5)
    blocks = (model.block0, model.block1, model.block2, model.block3)
    scales = list(SCALES)
    flow, mask = _block(blocks[0], torch.cat((img0, img1, time), 1), None, scales[0])
    warped0, warped1 = _warp(img0, flow[:, :2]), _warp(img1, flow[:, 2:])
    for number in (1, 2, 3):
        seen = torch.cat((warped0, warped1, time, mask), 1)
        flow_change, mask_change = _block(blocks[number], seen, flow, scales[number])
        far = [float(flow_change[:, half].abs().max()) > LARGE_MOTION_PIXELS for half in (slice(0, 2), slice(2, 4))]
        if number == 1 and all(far):
            scales = [scale * 2 for scale in scales]
            flow, mask = _block(blocks[0], torch.cat((img0, img1, time), 1), None, scales[0])
            warped0, warped1 = _warp(img0, flow[:, :2]), _warp(img1, flow[:, 2:])
            flow_change, mask_change = _block(blocks[1], torch.cat((warped0, warped1, time, mask), 1), flow, scales[1])
        flow, mask = flow + flow_change, mask + mask_change
        warped0, warped1 = _warp(img0, flow[:, :2]), _warp(img1, flow[:, 2:])
    share = torch.sigmoid(mask)
    return warped0 * share + warped1 * (1 - share)


def _block(block: IFBlock, x: Tensor, flow: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
    x = _resize(x, 1 / scale)
    if flow is not None:
        x = torch.cat((x, _resize(flow, 1 / scale) / scale), 1)
    x = block.conv0(x)
    x = _resize(block.lastconv(block.convblock(x) + x), 2 * scale)
    return x[:, :4] * 2 * scale, x[:, 4:]


def _resize(x: Tensor, factor: float) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def _warp(image: Tensor, flow: Tensor) -> Tensor:
    height, width = image.shape[2:]
    x = torch.linspace(-1, 1, width, device=image.device).expand(1, height, width)
    y = torch.linspace(-1, 1, height, device=image.device)[:, None].expand(1, height, width)
    grid = torch.stack((x + flow[:, 0] / ((width - 1) / 2), y + flow[:, 1] / ((height - 1) / 2)), 3)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)
