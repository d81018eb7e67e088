"""When each frame of an input is shown, and which frames nothing can be made between. Pure, in exact fractions."""

import itertools
import statistics
import sys
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

_USUAL_GAP = 5  # usual steps: a longer one is a picture that stands still, or lost frames; motion over it is guesswork
_BACK_SECONDS, _AHEAD_SECONDS = (
    Fraction(1, 2),
    10,
)  # a clock that jumps so far has been set anew: another recording begins
_ROUNDING_SECONDS = Fraction(2, 1000)
_FALLBACK_STEP = Fraction(1, 25)


@dataclass(frozen=True)
class Plan:
    """The frames of an input that are used, numbered from 0.

    Attributes:
        pts: When each is shown, in seconds; rising.
        end: When the last one ends.
        usual_step: The median distance between two, in seconds.
        max_gap: A longer distance is not bridged: the frame before it is held.
        skip: Frames that the decoder gives before the first one used.
        repeats: Numbers of frames that show the picture before them again.
        lost: How many frames could not be decoded behind a frame, by its number.
        dropped: Numbers of repeats that are passed over, so that the motion spreads over their time.
        is_loop: Whether the first frame follows the last one.
    """

    pts: Sequence[Fraction]
    end: Fraction
    usual_step: Fraction
    max_gap: Fraction
    skip: int = 0
    repeats: AbstractSet[int] = frozenset()
    lost: dict[int, int] = field(default_factory=dict)
    dropped: frozenset[int] = frozenset()
    is_loop: bool = False

    is_open = False  # whether the number of frames is not known yet

    @property
    def num_pairs(self) -> int | None:
        """How many pairs there are to put frames between."""
        return max(0, len(self.pts) - 1 - len(self.dropped) + self.is_loop)

    @property
    def is_uneven(self) -> bool:
        """Whether steps differ by more than what rounding explains."""
        steps = (b - a for a, b in itertools.pairwise(self.pts))
        return any(abs(step - self.usual_step) > _ROUNDING_SECONDS for step in steps)

    def end_behind(self, last: int) -> Fraction:
        """Return when the last frame ends, whose number is ``last``."""
        return self.end

    def is_held(self, first: int, second: int) -> bool:
        """Return whether ``first`` is held until ``second`` comes: too much time, or lost frames, lie between."""
        return self.pts[second] - self.pts[first] > self.max_gap or any(n in self.lost for n in range(first, second))

    def span(self, first: int, second: int) -> int:
        """Return how many frames of the input the time from ``first`` to ``second`` stands for, at least 1."""
        return second - first + sum(self.lost.get(number, 0) for number in range(first, second))

    def smoothed(self) -> "Plan":
        """Return the plan without the repeats that make motion uneven: those of animation on twos and threes.

        Repeats stay where the picture stands still for longer than ``max_gap``, and at the end.
        """
        distinct = [number for number in range(len(self.pts)) if number not in self.repeats]
        dropped = [
            number
            for first, second in itertools.pairwise(distinct)
            if not self.is_held(first, second)
            for number in range(first + 1, second)
        ]
        return replace(self, dropped=frozenset(dropped))

    def part(self, start: Fraction, duration: Fraction | None) -> "Plan":
        """Return the plan for a stretch; ``start`` is in the plan's time, both in seconds.

        Raises:
            ValueError: No frame is shown first in that stretch.
        """
        stop = self.end if duration is None else min(self.end, start + duration)
        chosen = [number for number, pts in enumerate(self.pts) if start <= pts < stop]
        if not chosen:
            raise ValueError(f"no frame begins between {float(start):.3f} and {float(stop):.3f} s")
        first, last = chosen[0], chosen[-1]
        return replace(
            self,
            pts=self.pts[first : last + 1],
            end=stop,
            skip=self.skip + first,
            repeats=frozenset(number - first for number in self.repeats if first < number <= last),
            lost={number - first: count for number, count in self.lost.items() if first <= number < last},
        )

    def mapped(self, zero: Fraction, stretch: Fraction) -> "Plan":
        """Return the plan with the times of the output: ``zero`` becomes 0, and each second ``stretch`` seconds."""
        return replace(
            self,
            pts=[(pts - zero) * stretch for pts in self.pts],
            end=(self.end - zero) * stretch,
            usual_step=self.usual_step * stretch,
            max_gap=self.max_gap * stretch,
        )


class LivePlan(Plan):
    """A plan for frames that come in even steps, nobody knows how many; ``repeats`` is filled on the way."""

    is_open = True

    @classmethod
    def regular(cls, step: Fraction, *, max_gap: Fraction | None = None) -> "LivePlan":
        """Return the plan for a step in seconds."""
        gap = long_gap(step) if max_gap is None else max_gap
        return cls(pts=_Regular(step), end=Fraction(0), usual_step=step, max_gap=gap, repeats=set())

    @property
    def num_pairs(self) -> int | None:
        """Not known."""
        return None

    def end_behind(self, last: int) -> Fraction:
        """Return when the last frame ends: a step later."""
        return self.pts[last] + self.usual_step


class _Regular(Sequence[Fraction]):
    """Times in even steps, without an end."""

    def __init__(self, step: Fraction) -> None:
        self._step = step

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, number: Any) -> Any:
        return number * self._step


@dataclass(frozen=True)
class Rising:
    """Time stamps put in order.

    Attributes:
        pts: Rising.
        num_spread: Frames whose time stamp did not rise; they are spread evenly up to the next one.
        seams: Numbers of the frames at which the clock was set anew, and by how much later all from there is shown.
    """

    pts: list[Fraction]
    num_spread: int
    seams: dict[int, Fraction]


def usual_step(pts: Sequence[Fraction], fallback: Fraction | None = None) -> Fraction:
    """Return the median distance of the time stamps that rise, or ``fallback``, or that of 25 a second."""
    steps = [b - a for a, b in itertools.pairwise(pts) if b > a]
    return statistics.median_low(steps) if steps else (fallback or _FALLBACK_STEP)


def rising(pts: Sequence[Fraction], step: Fraction, *, has_seams: bool) -> Rising:
    """Return time stamps that rise.

    Args:
        step: What lies between two frames where nothing else tells.
        has_seams: A clock that jumps forward was set anew, too: MPEG-TS and the like have clocks that start anywhere.
    """
    shifted: list[Fraction] = []
    seams: dict[int, Fraction] = {}
    shift = latest = Fraction(0)
    for number, value in enumerate(pts):
        jump = value + shift - latest if number else Fraction(0)
        if jump < -_BACK_SECONDS or (has_seams and jump > _AHEAD_SECONDS):
            shift += step - jump
            seams[number] = shift
        shifted.append(value + shift)
        latest = max(latest, shifted[-1]) if number else shifted[-1]
    result: list[Fraction] = []
    while len(result) < len(shifted):
        start = shifted[len(result)]
        later = next((k for k in range(len(result) + 1, len(shifted)) if shifted[k] > start), len(shifted))
        count = later - len(result)
        following = shifted[later] if later < len(shifted) else start + step * count
        result += [start + (following - start) * k / count for k in range(count)]
    return Rising(result, sum(a != b for a, b in zip(result, shifted, strict=True)), seams)


def lost_frames(shown: Sequence[int], stored: Sequence[int | None]) -> tuple[int, dict[int, int], int]:
    """Return how many frames were lost before the first, behind each (by its number), and behind the last one shown.

    Args:
        shown: Presentation times of the frames that were decoded, rising.
        stored: Of all that are in the file; without time stamps nothing is known, and nothing is lost.
    """
    if None in stored or not shown:
        return 0, {}, 0
    known = set(shown)
    missing = sorted({value for value in stored if value is not None} - known)
    before = sum(value < shown[0] for value in missing)
    behind = sum(value > shown[-1] for value in missing)
    inside: dict[int, int] = {}
    number = 0
    for value in missing[before : len(missing) - behind]:
        while number + 1 < len(shown) and shown[number + 1] < value:
            number += 1
        inside[number] = inside.get(number, 0) + 1
    return before, inside, behind


def long_gap(step: Fraction) -> Fraction:
    """Return the longest distance that is bridged by default, for a usual step."""
    return step * _USUAL_GAP
