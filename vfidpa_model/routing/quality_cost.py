"""Quality against time of a dynamic pipeline, from what both interpolators did on every pair. Pure functions.

With every pair interpolated by both models once, any threshold and any router can be judged without running again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dataset_tools.common.statistics import Values as Values
from dataset_tools.common.statistics import draw_groups as draw_groups
from dataset_tools.common.statistics import interval95
from vfidpa_model.routing.shares import is_hard


@dataclass(frozen=True)
class Measured:
    """What both models did on the same pairs, one value per pair.

    Attributes:
        fast_quality, accurate_quality: PSNR in dB, or any number where more is better.
        fast_seconds, accurate_seconds: Time of each model.
    """

    fast_quality: Values
    accurate_quality: Values
    fast_seconds: Values
    accurate_seconds: Values

    @property
    def gains(self) -> Values:
        """What the accurate model gains on each pair: the oracle's scores."""
        return self.accurate_quality - self.fast_quality

    def __len__(self) -> int:
        return len(self.fast_quality)


@dataclass(frozen=True)
class Point:
    """One setting of the knob.

    Attributes:
        threshold: Pairs with a score up to it are fast.
        share: Of the pairs that are sent to the accurate model.
        seconds: Mean time per pair, the router's included.
        quality: Mean over the pairs.
    """

    threshold: float
    share: float
    seconds: float
    quality: float


def point_at(measured: Measured, scores: Values, threshold: float, *, router_seconds: float = 0.0) -> Point:
    """Return what a threshold gives."""
    hard = is_hard(scores, threshold)
    seconds = np.where(hard, measured.accurate_seconds, measured.fast_seconds).mean() + router_seconds
    quality = np.where(hard, measured.accurate_quality, measured.fast_quality).mean()
    return Point(threshold, float(hard.mean()), float(seconds), float(quality))


def curve(measured: Measured, scores: Values, *, router_seconds: float = 0.0) -> list[Point]:
    """Return every setting that makes a difference, from all accurate to all fast.

    Raises:
        ValueError: There are no pairs, or not one score per pair.
    """
    if len(measured) == 0 or len(scores) != len(measured):
        raise ValueError(f"number of scores ({len(scores)}) must be that of the pairs ({len(measured)}), at least 1")
    levels = np.unique(scores[np.isfinite(scores)])
    if len(levels) == 0:
        levels = np.zeros(1)  # nothing is known of any pair: all of them are hard at every threshold
    between = (levels[:-1] + levels[1:]) / 2  # a threshold midway is the safest for pairs not seen
    thresholds = [float(levels[0]) - 1.0, *map(float, between), float(levels[-1])]
    return [point_at(measured, scores, threshold, router_seconds=router_seconds) for threshold in thresholds]


def best_within_budget(points: Sequence[Point], *, seconds: float) -> Point | None:
    """Return the setting of the best quality whose time is at most ``seconds``; None when every one takes longer."""
    allowed = [point for point in points if point.seconds <= seconds]
    return max(allowed, key=lambda point: (point.quality, -point.seconds), default=None)


def cheapest_of_quality(points: Sequence[Point], *, quality: float) -> Point | None:
    """Return the quickest setting whose quality is at least ``quality``; None when none reaches it."""
    allowed = [point for point in points if point.quality >= quality]
    return min(allowed, key=lambda point: (point.seconds, -point.quality), default=None)


def quality_at(points: Sequence[Point], *, seconds: float) -> float:
    """Return the quality a curve reaches at a time, by mixing its two neighbouring settings in proportion.

    Outside the curve the nearest end counts.
    """
    ordered = sorted(points, key=lambda point: point.seconds)
    return float(np.interp(seconds, [point.seconds for point in ordered], [point.quality for point in ordered]))


def random_curve(measured: Measured) -> list[Point]:
    """Return what routing at random gives in expectation: the straight line from all fast to all accurate."""
    ends = [(0.0, measured.fast_seconds, measured.fast_quality)]
    ends.append((1.0, measured.accurate_seconds, measured.accurate_quality))
    return [
        Point(float("nan"), share, float(seconds.mean()), float(quality.mean())) for share, seconds, quality in ends
    ]


def mean_with_interval(
    values: Values, groups: Sequence[str], *, generator: np.random.Generator, resamples: int = 1000
) -> tuple[float, float, float]:
    """Return the mean and its 95 % bootstrap interval; whole groups are drawn, for their members resemble each other.

    One group says nothing about others: its interval is NaN.

    Args:
        values: One per pair.
        groups: The sequence each pair belongs to.
    """
    if len(set(groups)) == 1:
        return float(values.mean()), float("nan"), float("nan")
    drawn = draw_groups(groups, generator=generator, resamples=resamples)
    low, high = interval95(drawn @ values / drawn.sum(axis=1))
    return float(values.mean()), low, high
