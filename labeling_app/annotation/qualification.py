"""Who is admitted to work after the qualification: exact hits and weighted kappa, with a bound against chance (pure).

Levels within one of gold prove little: of four levels "always 2" is within one of three. So an annotator needs a share
of exact hits and a weighted kappa, and both so high that people who do not look fail: whoever always gives one level
has kappa 0, and of each kind of random voter at most ``CHANCE`` pass, all retakes together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from dataset_tools.levels import LEVELS

MIN_HITS = 0.6  # share of exact hits, whatever chance would allow
MIN_KAPPA = 0.6  # "substantial" on the scale of Landis and Koch (1977)
CHANCE = 0.01  # of random voters may pass
_DRAWS = 20_000

Levels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bound:
    """What admits: so many exact hits out of so many items, and a weighted kappa."""

    items: int
    hits: int
    kappa: float


@dataclass(frozen=True)
class Qualified:
    """How a qualification went; without a ``bound`` the items cannot tell chance from care: a person decides."""

    hits: int
    kappa: float | None
    bound: Bound | None

    @property
    def passed(self) -> bool:
        """Whether the annotator is admitted without a person's word."""
        if self.bound is None or self.kappa is None:
            return False
        return self.hits >= self.bound.hits and self.kappa >= self.bound.kappa


def judge(pairs: Sequence[tuple[int | None, int]], *, tries: int = 1) -> Qualified:
    """Return how (given, expected) levels compare with the bound; ``None`` was skipped and hits nothing.

    Args:
        pairs: One per item of the qualification.
        tries: How often it may be taken in all: chance gets ``CHANCE`` over all of them.
    """
    expected = np.array([gold for _, gold in pairs], dtype=np.int64)
    # A skipped item counts as far off as the scale allows, or skipping all but the sure ones would raise kappa.
    given = np.array([worst_level(gold) if level is None else level for level, gold in pairs], dtype=np.int64)
    if len(set(expected.tolist())) < 2:
        return Qualified(int((given == expected).sum()), None, None)
    hits, kappa = hits_and_kappa(given[None, :], expected)
    return Qualified(int(hits[0]), float(kappa[0]), qualification_bound(tuple(sorted(expected.tolist())), tries=tries))


def worst_level(expected: int) -> int:
    """Return the level furthest from ``expected``."""
    return max(LEVELS, key=lambda level: abs(level - expected))


@cache
def qualification_bound(gold: tuple[int, ...], *, tries: int = 1) -> Bound | None:
    """Return the fewest exact hits on these gold levels that chance reaches rarely enough, or ``None`` if none does.

    Chance are voters who draw every level equally, the middle ones, or as often as gold has them.
    """
    if len(set(gold)) < 2:
        return None  # always giving that level would be perfect
    expected = np.array(gold, dtype=np.int64)
    outcomes = [random_outcomes(expected, weights) for weights in random_voters(expected).values()]
    for hits in range(int(np.ceil(MIN_HITS * len(gold))), len(gold) + 1):
        passing = max(float(((found >= hits) & (kappa >= MIN_KAPPA)).mean()) for found, kappa in outcomes)
        if passing <= CHANCE / tries:
            return Bound(len(gold), hits, MIN_KAPPA)
    return None


def random_voters(expected: Levels) -> dict[str, npt.NDArray[np.float64]]:
    """Return the kinds of voters who do not look: how often each gives the levels 1..4."""
    like_gold = np.bincount(expected - 1, minlength=len(LEVELS)) / len(expected)
    middle = np.array([0, 0.5, 0.5, 0])
    return {"uniform": np.full(len(LEVELS), 1 / len(LEVELS)), "middle": middle, "like gold": like_gold}


def random_outcomes(
    expected: Levels, weights: npt.NDArray[np.float64], *, draws: int = _DRAWS, seed: int = 0
) -> tuple[Levels, npt.NDArray[np.float64]]:
    """Return exact hits and weighted kappa of ``draws`` voters who draw levels with ``weights``, whatever they see."""
    rng = np.random.default_rng(seed)
    given = rng.choice(len(LEVELS), p=weights, size=(draws, len(expected))) + 1
    return hits_and_kappa(given, expected)


def hits_and_kappa(given: Levels, expected: Levels) -> tuple[Levels, npt.NDArray[np.float64]]:
    """Return exact hits and Cohen's kappa with quadratic weights, (voters,) each, of levels (voters, items)."""
    squares = ((given - expected) ** 2).sum(axis=1)
    by_chance = ((given[:, :, None] - expected[None, None, :]) ** 2).sum(axis=(1, 2)) / len(expected)
    kappa = 1 - np.divide(squares, by_chance, out=np.ones(len(given)), where=by_chance > 0)
    return (given == expected).sum(axis=1), kappa
