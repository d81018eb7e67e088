"""How well annotators agree: ordinal Krippendorff alpha with a bootstrap interval, weighted kappa, confusion.

Votes come as counts: one row per item, one column per level 1..4. The values equal those of the packages
``krippendorff`` and scikit-learn (tests compare); the counts make a thousand bootstrap draws cost milliseconds.
"""

import math

import numpy as np
import numpy.typing as npt

from dataset_tools.common.statistics import quadratic_kappa
from dataset_tools.levels import NUM_LEVELS

Counts = npt.NDArray[np.int64]  # (items, 4): how many votes each level got
Matrix = npt.NDArray[np.float64]  # (4, 4)


def count_levels(item_codes: npt.NDArray[np.int64], levels: npt.NDArray[np.int64]) -> Counts:
    """Return the votes per item and level, shape (items, 4), from one (item code, level 1..4) pair per vote."""
    size = int(item_codes.max()) + 1 if len(item_codes) else 0
    flat = np.bincount(item_codes * NUM_LEVELS + levels - 1, minlength=size * NUM_LEVELS)
    return flat.reshape(size, NUM_LEVELS)


def ordinal_alpha(counts: Counts) -> float | None:
    """Return Krippendorff's alpha for ordinal levels; ``None`` where it is not defined.

    1 is perfect agreement, 0 what chance gives, below 0 systematic disagreement. Items with one vote say nothing and
    are left out; without a pair of votes, or when all votes are the same level, alpha is not defined.
    Krippendorff, "Content Analysis", 3rd ed., ch. 11.
    """
    return _alpha(_coincidences(counts).sum(axis=0))


def alpha_interval(
    counts: Counts, rng: np.random.Generator, *, num_draws: int = 1000, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Return the bootstrap percentile interval of alpha, items drawn with replacement; ``None`` where undefined.

    Items with the same counts are interchangeable, so a draw is one multinomial over the few kinds of items.
    """
    rated = counts[counts.sum(axis=1) >= 2]
    if ordinal_alpha(rated) is None:
        return None
    kinds, frequency = np.unique(rated, axis=0, return_counts=True)
    pairs = _coincidences(kinds).reshape(len(kinds), -1)
    draws = rng.multinomial(len(rated), frequency / len(rated), size=num_draws)
    alphas = [_alpha(total.reshape(NUM_LEVELS, NUM_LEVELS)) for total in draws @ pairs]
    defined = [alpha for alpha in alphas if alpha is not None]
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def confusion(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return how often two annotators gave each pair of levels to the same items, shape (4, 4): first by second."""
    pairs = np.bincount((first - 1) * NUM_LEVELS + second - 1, minlength=NUM_LEVELS**2)
    return pairs.reshape(NUM_LEVELS, NUM_LEVELS)


def weighted_kappa(table: npt.NDArray[np.int64]) -> float | None:
    """Return ``quadratic_kappa`` of a confusion table; ``None`` where it is not defined, as JSON has no NaN."""
    kappa = quadratic_kappa(table)
    return None if math.isnan(kappa) else kappa


def _coincidences(counts: Counts) -> npt.NDArray[np.float64]:
    """Return the pairs of votes within each item, shape (items, 4, 4), weighted 1 / (votes - 1)."""
    votes = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(NUM_LEVELS, dtype=np.int64)
    return pairs / np.maximum(votes - 1, 1)[:, None, None]


def _alpha(pairs: Matrix) -> float | None:
    marginals = pairs.sum(axis=1)
    total = marginals.sum()
    distance = _ordinal_distance(marginals)
    expected = (np.outer(marginals, marginals) * distance).sum()
    if total < 2 or expected == 0:
        return None
    return float(1 - (total - 1) * (pairs * distance).sum() / expected)


def _ordinal_distance(marginals: npt.NDArray[np.float64]) -> Matrix:
    """Return the squared ordinal distance: votes lying between two levels, each end counted half."""
    middle = np.cumsum(marginals) - marginals / 2  # position of a level's middle among all votes
    return (middle[:, None] - middle[None, :]) ** 2
