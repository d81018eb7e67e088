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
        (B, C, H', W'), of the flow's type: positions in half precision would be off by whole pixels.
    """
    flow = _exact(flow)
    return _sample(img, flow, _grid(flow.shape[-2], flow.shape[-1], flow.device, flow.dtype))


def warp_part(img: torch.Tensor, flow: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
    """Return what ``backward_warp`` would for a part of a frame only, from a part of ``img``.

    Args:
        img: (B, C, H, W), float; at its border the border pixels are repeated.
        flow: (B, 2, H', W') in pixels, x first: of the part to make.
        corners: (B, 2), x and y of the first pixel to make, in pixels of ``img``; may lie outside.
    """
    flow = _exact(flow)
    scale = _steps(img.shape[-2], img.shape[-1], flow.device, flow.dtype)
    origin = corners.to(flow)[:, :, None, None] + _pixels(flow.shape[-2], flow.shape[-1], flow.device, flow.dtype)
    at = torch.addcmul(origin * scale - 1, flow, scale).permute(0, 2, 3, 1)
    sampled = F.grid_sample(_exact(img), at, mode="bilinear", padding_mode="border", align_corners=True)
    return sampled.to(img.dtype)


def _exact(x: torch.Tensor) -> torch.Tensor:
    # Half precision has no room for positions, and PyTorch 2.14 samples bfloat16 with channels last wrongly on a CPU.
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _sample(img: torch.Tensor, flow: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    steps = _steps(img.shape[-2], img.shape[-1], flow.device, flow.dtype)
    # Planes of x and y instead of pairs: adding them, and sampling on a CPU, is then twice as fast.
    at = torch.addcmul(grid, flow, steps).permute(0, 2, 3, 1)
    sampled = F.grid_sample(_exact(img), at, mode="bilinear", padding_mode="border", align_corners=True)
    return sampled.to(img.dtype)


def warp_small(img: torch.Tensor, flow: torch.Tensor, divisor: float) -> torch.Tensor:
    """Return ``resize(backward_warp(img, flow), 1 / divisor)`` without warping what resizing does not look at.

    A bilinear reduction by an even number sees the four pixels in the middle of each square, so only they are warped:
    a quarter of them all at 4, a sixteenth at 8.

    Args:
        img: (B, C, H, W), float.
        flow: (B, 2, H, W) in pixels, x first; the sizes divide by ``divisor``.
    """
    step = int(divisor)
    if step != divisor or step % 2 or step < 4:
        return resize(backward_warp(img, flow), 1 / divisor)
    flow = _exact(flow)
    H, W = flow.shape[-2:]
    seen = slice(step // 2 - 1, step // 2 + 1)
    h, w = H // step, W // step

    def middles(x: torch.Tensor) -> torch.Tensor:
        return x.view(-1, 2, h, step, w, step)[:, :, :, seen, :, seen].reshape(-1, 2, 2 * h, 2 * w)

    return F.avg_pool2d(_sample(img, middles(flow), middles(_grid(H, W, flow.device, flow.dtype))), 2)


def splat(img: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Return ``img`` with every pixel moved along its flow: forward warping, the values that meet are averaged.

    A pixel lands between four neighbours and is shared among them bilinearly; what falls outside is dropped. Tensors
    that move along one flow are best concatenated: the positions are computed once. ("Softmax Splatting for Video
    Frame Interpolation", CVPR 2020, "average splatting", equations 1 to 5.)

    Args:
        img: (B, C, H, W), float.
        flow: (B, 2, H, W) in pixels, x first.

    Returns:
        (B, C, H, W), differentiable in both inputs; exactly 0 where nothing arrived.
    """
    total = _splat_sum(torch.cat((img, torch.ones_like(img[:, :1])), 1), flow)
    weights = total[:, -1:]
    # Exactly 0 becomes 1, without an epsilon: trained networks know their holes as 0.
    return total[:, :-1] / torch.where(weights == 0, 1.0, weights)


def _splat_sum(img: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    B, C, H, W = img.shape
    flow = _exact(flow)
    x = torch.arange(W, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    y = torch.arange(H, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
    left, top = x.detach().floor(), y.detach().floor()
    # One row of channels per pixel: scatter_add_ then adds whole rows, which is its fast path on CPU and CUDA.
    rows = img.permute(0, 2, 3, 1).reshape(B * H * W, C)
    first_row = (torch.arange(B, device=img.device) * (H * W)).view(B, 1, 1)
    moved = img.new_zeros(B * H * W + 1, C)  # the last row takes what falls outside
    for to_right in (0, 1):
        for to_bottom in (0, 1):
            column, line = left + to_right, top + to_bottom
            share = (x - left if to_right else 1 - x + left) * (y - top if to_bottom else 1 - y + top)
            seen = (column >= 0) & (column < W) & (line >= 0) & (line < H)
            position = torch.where(seen, first_row + line.long() * W + column.long(), B * H * W)
            moved.scatter_add_(0, position.view(-1, 1).expand(-1, C), rows * share.to(img.dtype).view(-1, 1))
    return moved[:-1].view(B, H, W, C).permute(0, 3, 1, 2)


_REACH = 4  # pixels in each direction: 9x9 positions
_TILE = 16  # pixels of a row per matrix product, measured best on CPU


def correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return how well each pixel of ``a`` fits the 9x9 pixels around it in ``b`` (UPR-Net's cost volume).

    Channel k is the MEAN over channels of ``a`` at (x, y) times ``b`` at (x + k mod 9 - 4, y + k div 9 - 4), which
    is zero outside. A row is cut into tiles, so that one small matrix product gives nine channels of sixteen pixels:
    four times as fast as 81 products of whole maps.

    Args:
        a, b: (B, C, H, W), float.

    Returns:
        (B, 81, H, W).
    """
    B, C, H, W = a.shape
    side = 2 * _REACH + 1
    tiles = -(-W // _TILE)
    rest, seen = tiles * _TILE - W, _TILE + 2 * _REACH
    ours = F.pad(a / C, (0, rest)).view(B, C, H, tiles, _TILE).permute(0, 2, 3, 4, 1).reshape(-1, _TILE, C)
    windows = F.pad(b, (_REACH, _REACH + rest, _REACH, _REACH)).unfold(3, seen, _TILE)
    lines = []
    for offset in range(side):
        theirs = windows[:, :, offset : offset + H].permute(0, 2, 3, 1, 4).reshape(-1, C, seen)
        products = torch.bmm(ours, theirs)
        # Pixel t of a tile needs columns t .. t + 8: the diagonal band of each product.
        band = products.as_strided((len(products), _TILE, side), (_TILE * seen, seen + 1, 1))
        lines.append(band.reshape(B, H, tiles * _TILE, side)[:, :, :W])
    return torch.stack(lines, 3).flatten(3).permute(0, 3, 1, 2)


def resize(x: torch.Tensor, factor: float) -> torch.Tensor:
    """Return ``x`` resized bilinearly by ``factor``, as the official models do it (no antialiasing)."""
    if factor == 1:
        return x
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


@lru_cache(maxsize=8)
def _grid(height: int, width: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return (1, 2, H, W): x and y of every pixel, from -1 at the first to 1 at the last."""
    with torch.inference_mode(False):  # a grid cached in inference mode could not be used in training
        x = torch.linspace(-1, 1, width, device=device, dtype=dtype).expand(height, width)
        y = torch.linspace(-1, 1, height, device=device, dtype=dtype)[:, None].expand(height, width)
        return torch.stack([x, y]).unsqueeze(0)


@lru_cache(maxsize=16)
def _steps(height: int, width: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return (1, 2, 1, 1): what a pixel is, x first, where -1 is the first and 1 the last."""
    with torch.inference_mode(False):  # kept, because making it anew on CUDA waits for all that runs there
        return torch.tensor([2 / max(1, width - 1), 2 / max(1, height - 1)], device=device, dtype=dtype).view(
            1, 2, 1, 1
        )


@lru_cache(maxsize=32)
def _pixels(height: int, width: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return (1, 2, H, W): x and y of every pixel, from 0."""
    with torch.inference_mode(False):
        x = torch.arange(width, device=device, dtype=dtype).expand(height, width)
        y = torch.arange(height, device=device, dtype=dtype)[:, None].expand(height, width)
        return torch.stack([x, y]).unsqueeze(0)
