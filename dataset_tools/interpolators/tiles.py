"""Which rectangles of a frame to refine: each costs more than its area, and large ones least for what they cover."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

TILE = 32  # pixels: rectangles begin and end at multiples of it; 64 kept less error at the same cost
MARGIN = 16  # pixels around a rectangle that the encoder sees beside it: the least that four halvings allow
FADE = 8  # pixels on either side of a rectangle's border over which the refinement fades
_ENCODER, _DECODER, _CONTEXT = 0.43, 0.41, 0.16  # shares of RIFE's refinement in multiplications
_CONTEXT_MARGIN = 32  # pixels: the encoder's margin and some motion
_CALL_PIXELS = 4500  # what one more rectangle costs beside its pixels: small convolutions are slower per pixel
_MAX_CELLS = 1000  # that rectangles are made of: 720p; more tiles are taken together in fours
_UNKNOWN = 1e6  # more than any score
_MAX_RECTS = 24  # in one frame: more would cover little

Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]


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
    def best(cls, scores: Scores, price: float, size: tuple[int, int]) -> Self:
        """Return the rectangles that are worth their price.

        Always the rectangle is taken whose tiles' scores exceed its cost most, until none is worth its cost: a tile
        beside others needs a lower score than one that stands alone.

        Args:
            scores: (rows, columns), what each tile of ``TILE`` pixels is worth beside the others; one that is no finite
                number says nothing about its tile, which is refined.
            price: Of the cost of a whole frame, in scores: a whole frame is worth the mean of its scores.
            size: Height and width of the padded frame, multiples of ``MARGIN``.

        Returns:
            The whole frame where the parts would cost as much.
        """
        values, side = np.where(np.isfinite(scores), scores, _UNKNOWN) / scores.size, TILE
        while values.size > _MAX_CELLS:
            rows, columns = values.shape
            padded = np.pad(values, ((0, rows % 2), (0, columns % 2)))
            values = padded.reshape(-(-rows // 2), 2, -(-columns // 2), 2).sum((1, 3))
            side *= 2
        plan = cls(size, tuple(_chosen(values, price, side, size)))
        return plan if plan.cost < 1 else cls.whole(size)

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
        edges = np.array(self.rects, dtype=np.int64).reshape(-1, 4).T
        return min(1.0, float(_costs(edges, self.size).sum()))

    def turned(self) -> Self:
        """Return the same plan for a frame turned by 180 degrees."""
        height, width = self.size
        rects = [Rect(height - r.bottom, width - r.right, height - r.top, width - r.left) for r in self.rects]
        return type(self)(self.size, tuple(rects))

    def tiles(self, shape: tuple[int, int]) -> Mask:
        """Return which tiles of ``TILE`` pixels are computed, (rows, columns)."""
        mask = np.zeros(shape, dtype=np.bool_)
        for rect in self.rects:
            mask[rect.top // TILE : -(-rect.bottom // TILE), rect.left // TILE : -(-rect.right // TILE)] = True
        return mask


def _chosen(values: Scores, price: float, side: int, size: tuple[int, int]) -> list[Rect]:
    """Return rectangles of cells of ``side`` pixels, the most valuable first."""
    cells, edges, costs = _candidates(values.shape, side, size)
    costs, left = costs * price, values.copy()
    chosen: list[Rect] = []
    while len(costs) and len(chosen) < _MAX_RECTS:
        worth = _sums(left, cells) - costs
        best = int(worth.argmax())
        if worth[best] <= 0:
            break
        top, first, bottom, last = cells[:, best].tolist()
        left[top:bottom, first:last] = 0
        chosen.append(Rect(*edges[:, best].tolist()))
        if len(chosen) == 1:  # what is not worth its cost now will never be
            kept = worth > 0
            cells, edges, costs = cells[:, kept], edges[:, kept], costs[kept]
    return chosen


@lru_cache(maxsize=2)
def _candidates(
    shape: tuple[int, int], side: int, size: tuple[int, int]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Scores]:
    """Return all rectangles of a grid, in cells and in pixels, (4, N) as top, left, bottom, right, and costs (N)."""
    (tops, bottoms), (lefts, rights) = (np.triu_indices(length) for length in shape)
    rows, columns = np.indices((len(tops), len(lefts))).reshape(2, -1)
    cells = np.stack((tops[rows], lefts[columns], bottoms[rows] + 1, rights[columns] + 1))
    edges = np.minimum(cells * side, np.array(size * 2)[:, None])
    costs = _costs(edges, size)
    all_of_it = (cells == np.array((0, 0, *shape))[:, None]).all(0)
    edges[2:, all_of_it], costs[all_of_it] = np.array(size)[:, None], 1.0
    return cells, edges, costs


def _sums(values: Scores, cells: npt.NDArray[Any]) -> Scores:
    integral = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    integral[1:, 1:] = values.cumsum(0).cumsum(1)
    top, left, bottom, right = cells
    sums: Scores = integral[bottom, right] - integral[top, right] - integral[bottom, left] + integral[top, left]
    return sums


def _costs(edges: npt.NDArray[Any], size: tuple[int, int]) -> Scores:
    """Return what rectangles, (4, N), cost as shares of the whole frame; not less than that of one more of them."""
    top, left, bottom, right = edges

    def pixels(margin: int) -> npt.NDArray[Any]:
        rows = np.minimum(bottom + margin, size[0]) - np.maximum(top - margin, 0)
        columns = np.minimum(right + margin, size[1]) - np.maximum(left - margin, 0)
        return rows * columns

    parts = _ENCODER * pixels(MARGIN) + _DECODER * pixels(FADE + 3) + _CONTEXT * pixels(_CONTEXT_MARGIN) + _CALL_PIXELS
    costs: Scores = np.minimum(1.0, parts / (size[0] * size[1]))
    return costs
