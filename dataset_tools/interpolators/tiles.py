"""Which rectangles of a frame to compute for a choice of tiles: each needs a margin, and neighbours share theirs."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

TILE = 64  # pixels; 32 and 128 kept no more error at the same cost
MARGIN = 16  # pixels around a rectangle that are computed and thrown away: the least that four halvings allow
_CALL_PIXELS = 3000  # what one more rectangle costs beside its pixels: small convolutions are slower per pixel
_CONTEXT = 0.16  # of RIFE's refinement is context, which comes from further around a rectangle, at most from all
_CONTEXT_MARGIN = 48  # pixels: margin, halo and some motion

Mask = npt.NDArray[np.bool_]


class Rect(NamedTuple):
    """A half-open rectangle in pixels."""

    top: int
    left: int
    bottom: int
    right: int

    def grown(self, by: int, size: tuple[int, int]) -> "Rect":
        """Return the rectangle with ``by`` pixels more on each side, as far as the frame goes."""
        height, width = size
        return Rect(
            max(0, self.top - by),
            max(0, self.left - by),
            min(height, self.bottom + by),
            min(width, self.right + by),
        )

    @property
    def area(self) -> int:
        """Pixels in it."""
        return (self.bottom - self.top) * (self.right - self.left)


@dataclass(frozen=True)
class TilePlan:
    """What of a frame is computed.

    Attributes:
        size: Height and width of the padded frame.
        rects: Inside it; they may overlap.
    """

    size: tuple[int, int]
    rects: tuple[Rect, ...]

    @classmethod
    def of(cls, mask: Mask, size: tuple[int, int]) -> Self:
        """Return the cheapest plan found that computes at least the chosen tiles.

        Args:
            mask: (rows, columns) of tiles of ``TILE`` pixels from the top left corner.
            size: Height and width of the padded frame, multiples of ``MARGIN``.

        Returns:
            Neighbours joined where their common rectangle, tiles between them included, costs less than both; the
            whole frame where the parts cost as much.
        """
        whole = cls.whole(size)
        if mask.all() and mask.shape[0] * TILE >= size[0] and mask.shape[1] * TILE >= size[1]:
            return whole
        plan = cls(size, tuple(_joined(_runs(mask), size)))
        return plan if plan.cost < 1 else whole

    @classmethod
    def whole(cls, size: tuple[int, int]) -> Self:
        """Return the plan that computes all of it."""
        return cls(size, (Rect(0, 0, *size),))

    @property
    def is_whole(self) -> bool:
        """Is one rectangle all of the frame?"""
        return self.rects == (Rect(0, 0, *self.size),)

    @cached_property
    def cost(self) -> float:
        """What it costs as a share of refining the whole frame, margins included; up to 1."""
        if self.is_whole:
            return 1.0
        whole = self.size[0] * self.size[1]
        pixels = sum(rect.grown(MARGIN, self.size).area + _CALL_PIXELS for rect in self.rects) / whole
        context = sum(rect.grown(_CONTEXT_MARGIN, self.size).area for rect in self.rects) / whole
        return min(1.0, (1 - _CONTEXT) * pixels + _CONTEXT * min(1.0, context))

    def turned(self) -> Self:
        """Return the same plan for a frame turned by 180 degrees."""
        height, width = self.size
        rects = [Rect(height - r.bottom, width - r.right, height - r.top, width - r.left) for r in self.rects]
        return type(self)(self.size, tuple(rects))

    def tiles(self, shape: tuple[int, int]) -> Mask:
        """Return which tiles are computed, (rows, columns): those chosen and those that joining took in."""
        mask = np.zeros(shape, dtype=np.bool_)
        for rect in self.rects:
            mask[rect.top // TILE : -(-rect.bottom // TILE), rect.left // TILE : -(-rect.right // TILE)] = True
        return mask


def _runs(mask: Mask) -> Iterable[tuple[int, int, int, int]]:
    """Yield the horizontal runs of chosen tiles, as (row, first, row + 1, after the last)."""
    for row, line in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate(([False], line, [False])).astype(np.int8)))
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            yield row, first, row + 1, last


def _joined(runs: Iterable[tuple[int, int, int, int]], size: tuple[int, int]) -> list[Rect]:
    """Return rectangles in pixels: always the two that save most are joined, until none save anything."""
    boxes = np.array(list(runs), dtype=np.int64).reshape(-1, 4) * TILE
    boxes[:, 2:] = np.minimum(boxes[:, 2:], size)
    while len(boxes) > 1:
        low = np.minimum(boxes[:, None, :2], boxes[None, :, :2])
        high = np.maximum(boxes[:, None, 2:], boxes[None, :, 2:])
        costs = _costs(low, high, size)
        own = costs.diagonal()
        savings = own[:, None] + own[None, :] - costs
        np.fill_diagonal(savings, 0)
        first, second = divmod(int(savings.argmax()), len(boxes))
        if savings[first, second] <= 0:
            break
        box = np.concatenate((low[first, second], high[first, second]))
        inside = (boxes[:, :2] >= box[:2]).all(1) & (boxes[:, 2:] <= box[2:]).all(1)  # the two, and what they enclose
        boxes = np.concatenate((boxes[~inside], box[None]))
    return [Rect(*box) for box in boxes.tolist()]


def _costs(low: npt.NDArray[Any], high: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    sides = np.minimum(high + MARGIN, size) - np.maximum(low - MARGIN, 0)
    return sides[..., 0] * sides[..., 1] + _CALL_PIXELS
