"""Near-equal frames of different clips, by the means of blocks: what a re-encode, a remux or a cut leaves alike (pure).

Frames are compared by their largest difference of any block's mean. To find candidates among millions of frames without
comparing all pairs, the means are rounded to coarse steps whose edges lie elsewhere in each of a few rounds; frames
that round alike once are compared. A frame whose blocks hardly differ (black, white, a fade) tells nothing, and is left
out. ``docs/data_set.md`` has the measurements behind the numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

MAX_LEVELS = 16.0  # re-encodes of the library: at most 12; frames of different clips: at least 30
LEAST_CONTRAST = 24.0  # levels; 1 % of the library's frames have less than 50
MIN_FRAMES = 3  # near-equal ones that make two clips one recording, or all of a shorter clip
_GRID = 8
_ROUNDS = 8
_STEP_LEVELS = 32.0
_BLOCKS_PER_ROUND = 16
_CHUNK = 1 << 20
_CACHED = 1 << 13  # frames whose means stay in a core's cache
_MAX_BUCKET_BITS = 26  # 320 MB

Means = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def luma_blocks(luma: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the mean of each block of an 8x8 grid over a luma plane, (64,): the same bits on every CPU."""
    return np.asarray(Image.fromarray(luma).resize((_GRID, _GRID), Image.Resampling.BOX)).reshape(-1)


@dataclass(frozen=True, order=True)
class Match:
    """Two clips with near-equal frames.

    Attributes:
        a, b: Their numbers, ``a < b``.
        frames: How many frames of the one have a near-equal one in the other, as far as found.
        levels: The largest difference of a block's mean in the closest pair, of 255.
    """

    a: int
    b: int
    frames: int
    levels: float


def telling(means: Means, *, levels_per_unit: float = 1.0) -> npt.NDArray[np.bool_]:
    """Return which frames tell something: their block means lie at least ``LEAST_CONTRAST`` levels apart."""
    return np.ptp(means, axis=1) * np.float32(levels_per_unit) >= LEAST_CONTRAST


def find_matches(
    means: Means, owners: npt.NDArray[np.int32], *, levels_per_unit: float = 1.0, max_levels: float = MAX_LEVELS
) -> list[Match]:
    """Return the pairs of clips with near-equal frames, in order.

    Args:
        means: Block means of every frame, (frames, blocks), of telling frames only.
        owners: Number of each frame's clip, (frames,).
        levels_per_unit: What 1 in ``means`` is in levels of 255.
        max_levels: Largest difference of a block's mean between near-equal frames.
    """
    found: dict[tuple[int, int], Match] = {}
    if not len(means):
        return []
    generator = np.random.default_rng(0)  # fixed: the same frames give the same matches
    for _ in range(_ROUNDS):
        keys = _round_keys(means, generator, step=_STEP_LEVELS / levels_per_unit)
        counted: dict[tuple[int, int], tuple[int, float]] = {}
        for first, second, frames in _candidates(keys, owners):
            difference = _differences(means, first, second) * levels_per_unit
            for place in np.flatnonzero(difference <= max_levels):
                a, b = sorted((int(owners[first[place]]), int(owners[second[place]])))
                number, closest = counted.get((a, b), (0, max_levels))
                counted[a, b] = number + int(frames[place]), min(closest, float(difference[place]))
        for (a, b), (number, closest) in counted.items():
            known = found.get((a, b))
            if known is not None:
                number, closest = max(number, known.frames), min(closest, known.levels)
            found[a, b] = Match(a, b, number, closest)
    return sorted(found.values())


def _round_keys(means: Means, generator: np.random.Generator, *, step: float) -> npt.NDArray[np.uint64]:
    """Return a number per frame that is equal where the chosen blocks round alike."""
    chosen = generator.permutation(means.shape[1])[:_BLOCKS_PER_ROUND]
    offsets = generator.uniform(0, step, len(chosen)).astype(np.float32)
    factors = generator.integers(1, 1 << 63, len(chosen), dtype=np.uint64) | np.uint64(1)
    keys = np.empty(len(means), np.uint64)
    for start in range(0, len(means), _CACHED):
        part = means[start : start + _CACHED]
        key = np.zeros(len(part), np.uint64)
        for block, offset, factor in zip(chosen, offsets, factors, strict=True):
            cell = ((part[:, block] + offset) * np.float32(1 / step)).astype(np.int32).astype(np.uint64)
            key = (key ^ cell) * factor
            key ^= key >> np.uint64(29)
        keys[start : start + _CACHED] = key
    return keys


def held_by_several(keys: npt.NDArray[np.uint64], owners: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Return which keys may have several owners: all that do, and some others; it saves sorting the rest.

    Args:
        keys: Numbers whose first bits are as good as random.
        owners: Of each key; not negative.
    """
    bits = min(_MAX_BUCKET_BITS, len(keys).bit_length() + 1)
    owner_of = np.zeros(1 << bits, np.int32)
    has_several = np.zeros(1 << bits, np.bool_)
    result = np.empty(len(keys), np.bool_)

    def buckets(start: int) -> npt.NDArray[np.int64]:
        return (keys[start : start + _CHUNK] >> np.uint64(64 - bits)).astype(np.int64)

    starts = range(0, len(keys), _CHUNK)
    for start in starts:
        owner_of[buckets(start)] = owners[start : start + _CHUNK]  # the last one stays
    for start in starts:
        bucket = buckets(start)
        has_several[bucket[owner_of[bucket] != owners[start : start + _CHUNK]]] = True
    for start in starts:
        result[start : start + _CHUNK] = has_several[buckets(start)]
    return result


def _candidates(
    keys: npt.NDArray[np.uint64], owners: npt.NDArray[np.int32]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield pairs of frames of two clips with one key, and for how many frames each pair stands.

    Of each clip in a cell one frame stands for all; clips are paired with their neighbours in the cell and with its
    first clip, so that a crowded cell costs no more than its size.
    """
    order = np.flatnonzero(held_by_several(keys, owners))
    order = order[np.lexsort((owners[order], keys[order]))]  # by clip in a cell, then by place
    ordered, of_order = keys[order], owners[order]
    cells = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    if len(order):
        is_shared = np.minimum.reduceat(of_order, cells) != np.maximum.reduceat(of_order, cells)
        kept = np.repeat(is_shared, np.diff(np.append(cells, len(order))))
        order, ordered, of_order = order[kept], ordered[kept], of_order[kept]
    if not len(order):
        return
    starts = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]) | (of_order[1:] != of_order[:-1])))
    sizes = np.diff(np.append(starts, len(order)))
    is_first = np.append(True, ordered[starts[1:]] != ordered[starts[:-1]])
    firsts = np.maximum.accumulate(np.where(is_first, np.arange(len(starts)), 0))
    later = np.flatnonzero(~is_first)
    far = later[firsts[later] != later - 1]
    for one, other in ((later, later - 1), (far, firsts[far])):
        yield order[starts[one]], order[starts[other]], np.minimum(sizes[one], sizes[other])


def _differences(means: Means, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    result = np.empty(len(first), np.float32)
    for start in range(0, len(first), _CHUNK):
        a, b = (means[side[start : start + _CHUNK]].astype(np.int32) for side in (first, second))
        result[start : start + _CHUNK] = np.abs(a - b).max(axis=1, initial=0)
    return result
