"""Annotators: a model of their bias and inconsistency, and figures that tell a person whom to look at.

The model is the one of ITU-T P.913, 12.6, and of Li and Bampis, "Recover subjective quality scores from noisy
measurements" (DCC 2017): a vote is the item's true level plus the annotator's bias plus noise as large as the
annotator is inconsistent. All three are estimated together; consistent ones then weigh more, and a strict one's 4 is
worth less.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MAX_ROUNDS = 200
TOLERANCE = 1e-6
# Half a level of noise is what we believe of an annotator before the first vote; it weighs as much as this many votes,
# and keeps an annotator with few votes from looking perfect.
PRIOR_VOTES = 5.0
PRIOR_VARIANCE = 0.25

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class AnnotatorModel:
    """What the votes say.

    Attributes:
        levels: True level per item, on the level scale, not rounded, in [1, 4].
        bias: Per annotator, in levels; positive: rates things worse than they are. The mean over votes is 0.
        inconsistency: Per annotator, standard deviation of the noise, in levels.
    """

    levels: Floats
    bias: Floats
    inconsistency: Floats


def fit_annotators(items: Codes, annotators: Codes, levels: Floats) -> AnnotatorModel:
    """Return the maximum-likelihood model of votes (item code, annotator code, level), codes counted from 0.

    Alternates the three estimates until the levels stand still; an item with one vote gets that vote less the bias.
    """
    num_items, num_annotators = int(items.max()) + 1, int(annotators.max()) + 1
    per_annotator = np.bincount(annotators, minlength=num_annotators)
    bias, variance = np.zeros(num_annotators), np.full(num_annotators, PRIOR_VARIANCE)
    truth = np.bincount(items, levels, num_items) / np.bincount(items, minlength=num_items)
    for _ in range(MAX_ROUNDS):
        bias = np.bincount(annotators, levels - truth[items], num_annotators) / np.maximum(per_annotator, 1)
        bias -= (bias * per_annotator).sum() / per_annotator.sum()  # one that all share is not visible in votes
        weights = (1 / variance)[annotators]
        sums = np.bincount(items, weights * (levels - bias[annotators]), num_items)
        updated = sums / np.bincount(items, weights, num_items)
        noise = (levels - updated[items] - bias[annotators]) ** 2
        squares = np.bincount(annotators, noise, num_annotators) + PRIOR_VOTES * PRIOR_VARIANCE
        variance = squares / (per_annotator + PRIOR_VOTES)
        moved = np.abs(updated - truth).max()
        truth = updated
        if moved < TOLERANCE:
            break
    return AnnotatorModel(np.clip(truth, 1, 4), bias, np.sqrt(variance))


@dataclass(frozen=True)
class Thresholds:
    """When an annotator's figures are worth a look; a flag is a question to a person, never a judgement."""

    min_votes: int = 20  # below that, nothing is flagged
    min_gold: int = 5  # hidden gold items below which they say nothing
    gold_agreement: float = 0.5  # exact hits: always giving the most frequent of four levels has about a third
    gold_kappa: float = 0.4  # weighted; always giving one level has 0
    repeat_consistency: float = 0.7
    bias_levels: float = 0.75
    inconsistency_levels: float = 1.0
    median_seconds: float = 0.8  # measured by the page or by the server, whichever is shorter
    straight_run: int = 15  # equal levels in a row
    straight_share: float = 0.9  # of all votes on one level


@dataclass(frozen=True)
class AnnotatorFigures:
    """One annotator's quality in numbers; ``None`` where there is nothing to count."""

    votes: int
    gold_votes: int
    gold_agreement: float | None
    gold_kappa: float | None
    repeat_consistency: float | None
    bias: float | None
    inconsistency: float | None
    median_seconds: float | None
    median_gap_seconds: float | None
    longest_run: int
    top_level_share: float


def longest_run(levels: Sequence[int]) -> int:
    """Return how many equal levels came in a row at most."""
    longest = current = 0
    previous: int | None = None
    for level in levels:
        current = current + 1 if level == previous else 1
        longest, previous = max(longest, current), level
    return longest


def top_level_share(levels: Sequence[int]) -> float:
    """Return the share of the most frequent level; 0 without votes."""
    return max(np.bincount(levels)) / len(levels) if len(levels) else 0.0


def flags(figures: AnnotatorFigures, thresholds: Thresholds | None = None) -> list[str]:
    """Return the names of what is out of the ordinary, none below ``min_votes``."""
    limits = thresholds or Thresholds()
    if figures.votes < limits.min_votes:
        return []
    found = {
        "gold": _misses_gold(figures, limits),
        "repeats": figures.repeat_consistency is not None and figures.repeat_consistency < limits.repeat_consistency,
        "bias": figures.bias is not None and abs(figures.bias) > limits.bias_levels,
        "inconsistent": figures.inconsistency is not None and figures.inconsistency > limits.inconsistency_levels,
        "fast": any(
            seconds is not None and seconds < limits.median_seconds
            for seconds in (figures.median_seconds, figures.median_gap_seconds)
        ),
        "straight-lining": figures.longest_run >= limits.straight_run
        or figures.top_level_share >= limits.straight_share,
    }
    return [name for name, raised in found.items() if raised]


def _misses_gold(figures: AnnotatorFigures, limits: Thresholds) -> bool:
    if figures.gold_votes < limits.min_gold or figures.gold_agreement is None:
        return False
    return figures.gold_agreement < limits.gold_agreement or (
        figures.gold_kappa is not None and figures.gold_kappa < limits.gold_kappa
    )
