"""Spatial-wise routing: hard parts of a frame go to the accurate interpolator, the rest to the fast one.

The paper compares with dynamic inference per region (Choi et al., ICCV 2021); this is the same idea with whole
interpolators: overlapping tiles, each routed by the score map of VFI-DPA, blended without seams.
"""

from typing import Any

import torch
from torch import Tensor

from dataset_tools.interpolators import Interpolator
from dataset_tools.interpolators.padding import check_pair
from dataset_tools.levels import HARD_ABOVE

_TILES_AT_ONCE = 4


class SpatialInterpolator:
    """Two interpolators behind one, chosen per tile; itself an interpolator.

    Attributes:
        accurate_share: Share of the tiles that went to the accurate model in the last call.
    """

    weights_sha256 = ""

    def __init__(
        self,
        assessor: Any,
        fast: Interpolator,
        accurate: Interpolator,
        threshold: float = HARD_ABOVE,
        *,
        tile: int = 256,
        overlap: int = 64,
    ) -> None:
        """Combine two interpolators.

        Args:
            assessor: An ``Assessor`` (see ``vfidpa_model.inference.assessor``).
            threshold: Tiles with a score up to it stay fast.
            tile: Side of a tile in pixels; smaller frames are one tile.
            overlap: Pixels that neighbouring tiles share: they are blended there, and motion up to that far stays
                inside the tile.

        Raises:
            ValueError: ``overlap`` is negative or more than half a tile.
        """
        if not 0 <= overlap <= tile // 2:
            raise ValueError(f"overlap ({overlap}) must be from 0 to half of tile ({tile})")
        self.assessor, self.fast, self.accurate, self.threshold = assessor, fast, accurate, threshold
        self.tile, self.overlap = tile, overlap
        self.name = f"spatial({fast.name}, {accurate.name})"
        self.accurate_share = 0.0

    @torch.inference_mode()
    def interpolate(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Tensor:
        """Return the frame at ``timestep``; see ``Interpolator.interpolate``.

        The fast model runs on the whole frame, where it sees all motion; hard tiles replace it.
        """
        check_pair(img0, img1, timestep)
        B, _, H, W = img0.shape
        height, width = min(self.tile, H), min(self.tile, W)
        corners = [(top, left) for top in _starts(H, height, self.overlap) for left in _starts(W, width, self.overlap)]
        hard = tile_scores(self.assessor.assess(img0, img1), corners, (height, width), (H, W)) > self.threshold
        self.accurate_share = float(hard.float().mean())
        fast = self.fast.interpolate(img0, img1, timestep)
        if not hard.any():
            return fast
        chosen = [(pair, *corners[index]) for pair, index in hard.nonzero().tolist()]
        window = _window(height, width, self.overlap).to(fast)
        weights = fast.new_zeros(B, 1, H, W)
        everywhere = fast.new_zeros(1, 1, H, W)
        accurate = torch.zeros_like(fast)
        for top, left in corners:
            everywhere[..., top : top + height, left : left + width] += window
        for start in range(0, len(chosen), _TILES_AT_ONCE):
            part = chosen[start : start + _TILES_AT_ONCE]
            first, second = (_cut(images, part, height, width) for images in (img0, img1))
            frames = self.accurate.interpolate(first, second, timestep)
            for (pair, top, left), made in zip(part, frames, strict=True):
                area = (slice(top, top + height), slice(left, left + width))
                accurate[(pair, slice(None), *area)] += made * window
                weights[(pair, slice(None), *area)] += window
        # Each pixel is the mean of the tiles over it, easy ones holding the fast frame.
        return (accurate + fast * (everywhere - weights)) / everywhere


def tile_scores(
    assessment: Any, corners: list[tuple[int, int]], tile: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """Return the score of each tile, (B, tiles), on the CPU: the weighted mean of the score map under it.

    Args:
        assessment: Of the whole frames; its maps may be of any size.
        corners: Top and left of each tile in pixels.
        tile: Height and width of the tiles.
        size: Height and width of the frames.
    """
    weights = assessment.weight_map.float().cpu()
    weighted = assessment.score_map.float().cpu() * weights
    rows, columns = weights.shape[-2:]
    scores = []
    for top, left in corners:
        upper, lower = _cells(top, tile[0], size[0], rows)
        first, last = _cells(left, tile[1], size[1], columns)
        area = (slice(None), slice(upper, lower), slice(first, last))
        scores.append(weighted[area].sum((1, 2)) / weights[area].sum((1, 2)))
    return torch.stack(scores, 1)


def _cells(start: int, length: int, size: int, cells: int) -> tuple[int, int]:
    """Return the half-open range of map cells under a stretch of pixels, at least one."""
    first = start * cells // size
    return first, max(first + 1, -(-(start + length) * cells // size))


def _starts(size: int, tile: int, overlap: int) -> list[int]:
    """Return where tiles begin so that they cover ``size`` and share at least ``overlap`` pixels."""
    count = 1 if tile >= size else -(-(size - overlap) // (tile - overlap))
    return [round(index * (size - tile) / max(1, count - 1)) for index in range(count)]


def _window(height: int, width: int, overlap: int) -> Tensor:
    """Return the weight of a tile's pixels, (height, width): 1 inside, falling linearly over the overlap."""

    def ramp(length: int) -> Tensor:
        distance = torch.minimum(torch.arange(length) + 1, length - torch.arange(length)).float()
        return (distance / (overlap + 1)).clamp(max=1)

    return ramp(height)[:, None] * ramp(width)[None, :]


def _cut(images: Tensor, places: list[tuple[int, int, int]], height: int, width: int) -> Tensor:
    return torch.stack([images[pair, :, top : top + height, left : left + width] for pair, top, left in places])
