"""Index arithmetic and sampling of triplets: pure functions, seeded per clip.

interval = 1:  img0 gt img1          -> (0, 1, 2)
interval = 3:  img0 . . gt . . img1  -> (0, 3, 6)
"""

import hashlib
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

_MAX_REPEATS = 100  # in a row; then the few triplets that are left are listed instead


@dataclass(frozen=True, order=True)
class Triplet:
    """Three frame indices at equal distance; ``gt`` is exactly between ``img0`` and ``img1``."""

    img0: int
    interval: int

    @property
    def gt(self) -> int:
        """Index of the true middle frame."""
        return self.img0 + self.interval

    @property
    def img1(self) -> int:
        """Index of the second input frame."""
        return self.img0 + 2 * self.interval

    @property
    def indices(self) -> tuple[int, int, int]:
        """The three indices in order."""
        return self.img0, self.gt, self.img1


def clip_seed(seed: int, source: str, clip: str, purpose: str = "triplets") -> int:
    """Return a number in [0, 2**64) that depends on these alone: not on other clips, nor on where a folder lies."""
    digest = hashlib.sha256("\0".join((str(seed), source, clip, purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def fitting_intervals(num_frames: int, intervals: tuple[int, int]) -> tuple[int, int] | None:
    """Return the part of an interval range, both ends included, that fits into a clip; ``None`` when none does."""
    low, high = intervals[0], min(intervals[1], (num_frames - 1) // 2)
    return (low, high) if low <= high else None


def count_triplets(num_frames: int, intervals: tuple[int, int]) -> int:
    """Return how many different triplets a clip of ``num_frames`` frames holds."""
    fitting = fitting_intervals(num_frames, intervals)
    return sum(num_frames - 2 * step for step in range(fitting[0], fitting[1] + 1)) if fitting else 0


def sample_triplets(num_frames: int, *, intervals: tuple[int, int], seed: int) -> Iterator[Triplet]:
    """Yield every triplet of a clip once, in a random order whose beginnings are already well spread.

    The interval is log-uniform over the range the clip allows (interval 1 is as frequent as 2 and 3 together, and as
    4 to 7 together); the position is uniform. The order depends on the arguments alone, so taking more triplets
    keeps those already taken.

    Args:
        num_frames: Length of the clip.
        intervals: Smallest and largest interval, both included, at least 1.
        seed: See ``clip_seed``.
    """
    fitting = fitting_intervals(num_frames, intervals)
    if fitting is None:
        return
    generator = random.Random(seed)
    shift_x, shift_y = generator.random(), generator.random()
    seen: set[Triplet] = set()
    repeats = number = 0
    while repeats < _MAX_REPEATS:
        number += 1  # Halton's sequence, shifted: fills the unit square evenly from the first few points on
        x, y = (_mirrored_digits(number, 2) + shift_x) % 1, (_mirrored_digits(number, 3) + shift_y) % 1
        triplet = _at(x, y, num_frames=num_frames, intervals=fitting)
        if triplet in seen:
            repeats += 1
            continue
        repeats = 0
        seen.add(triplet)
        yield triplet
    rest = [
        triplet
        for step in range(fitting[0], fitting[1] + 1)
        for start in range(num_frames - 2 * step)
        if (triplet := Triplet(start, step)) not in seen
    ]
    generator.shuffle(rest)
    yield from rest


def _at(x: float, y: float, *, num_frames: int, intervals: tuple[int, int]) -> Triplet:
    """Return the triplet at a point of the unit square: ``x`` chooses the interval, ``y`` the position."""
    low, high = intervals
    interval = min(high, int(low * math.exp(x * math.log((high + 1) / low))))
    return Triplet(int(y * (num_frames - 2 * interval)), interval)


def _mirrored_digits(number: int, base: int) -> float:
    """Return the number whose digits behind the point are those of ``number``, backwards: 6 = 110 gives 0.011."""
    result, unit = 0.0, 1.0
    while number:
        number, digit = divmod(number, base)
        unit /= base
        result += digit * unit
    return result
