"""Statistics that both upper packages need: agreement of levels, and resampling of whole groups."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def quadratic_kappa(table: npt.NDArray[np.int64]) -> float:
    """Return Cohen's kappa with quadratic weights: 1 is perfect agreement, 0 what chance gives.

    Args:
        table: Counts, (K, K): how often one side gave level i where the other gave level j.

    Returns:
        NaN where it is not defined: nothing was counted, or both sides gave one and the same level only.
    """
    total = table.sum()
    if total == 0:
        return float("nan")
    steps = np.arange(len(table))
    weights = (steps[:, None] - steps[None, :]) ** 2
    by_chance = float((weights * np.outer(table.sum(axis=1), table.sum(axis=0))).sum() / total)
    return 1.0 - float((weights * table).sum()) / by_chance if by_chance > 0 else float("nan")


def draw_groups(groups: Sequence[Any], *, generator: np.random.Generator, resamples: int) -> Values:
    """Return how often each value is drawn when whole groups are drawn with replacement, as many as there are.

    Members of a group (pairs of a clip, frames of a sequence) are alike: drawing them one by one would make intervals
    far too narrow. One group says nothing about others; that is the caller's to tell.

    Args:
        groups: The group of each value.

    Returns:
        (resamples, values), whole numbers: sums of drawn values are the product of this with them.
    """
    _, owner = np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)
    count = int(owner.max()) + 1
    drawn = generator.integers(0, count, (resamples, count))
    times = np.stack([np.bincount(draw, minlength=count) for draw in drawn])
    return times[:, owner].astype(np.float64)


def interval95(draws: npt.ArrayLike) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % quantiles of bootstrap draws; NaN draws are left out, (NaN, NaN) if none is left."""
    values = np.asarray(draws, dtype=np.float64)
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)
