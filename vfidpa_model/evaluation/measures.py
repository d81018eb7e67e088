"""Agreement of scores with levels: accuracy under tolerances, errors, correlations, and intervals by clip.

Every measure takes ``scores`` and ``levels`` of shape (N,) on the level scale (1 easy .. 4 failed) and returns one
number, NaN where it is not defined (a correlation with a constant, an AUC of one class).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from dataset_tools.common.statistics import Values as Values
from dataset_tools.common.statistics import draw_groups, quadratic_kappa
from dataset_tools.levels import HARD_ABOVE, LEVELS

TOLERANCES = (0.25, 0.5, 0.75, 1.0)  # as in the paper: right when |score - level| < tolerance


def tolerance_accuracy(scores: Values, levels: Values, tolerance: float) -> float:
    """Return the share of scores closer to their level than ``tolerance`` (strictly), in [0, 1]."""
    return float(np.mean(np.abs(scores - levels) < tolerance))


def mae(scores: Values, levels: Values) -> float:
    """Return the mean absolute error, in levels."""
    return float(np.mean(np.abs(scores - levels)))


def rmse(scores: Values, levels: Values) -> float:
    """Return the root of the mean squared error, in levels."""
    return float(np.sqrt(np.mean((scores - levels) ** 2)))


def plcc(scores: Values, levels: Values) -> float:
    """Return Pearson's linear correlation, without any fitted curve in between."""
    x, y = scores - scores.mean(), levels - levels.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    # Rounding leaves a constant with a variance of about 1e-32, not of 0.
    return float(x @ y) / norm if np.ptp(scores) > 0 and np.ptp(levels) > 0 and norm > 0 else float("nan")


def srcc(scores: Values, levels: Values) -> float:
    """Return Spearman's rank correlation; ties share their mean rank."""
    return plcc(stats.rankdata(scores), stats.rankdata(levels))


def krcc(scores: Values, levels: Values) -> float:
    """Return Kendall's rank correlation, tau-b (it allows for ties)."""
    return float(stats.kendalltau(scores, levels).statistic) if len(scores) > 1 else float("nan")


def to_level(scores: Values) -> npt.NDArray[np.int64]:
    """Return the nearest whole level of each score, 1 to 4; halves go up, as ties of votes do."""
    return np.clip(np.floor(scores + 0.5), LEVELS[0], LEVELS[-1]).astype(np.int64)


def confusion(scores: Values, levels: Values) -> npt.NDArray[np.int64]:
    """Return counts, shape (4, 4): row = given level, column = nearest level of the score."""
    table = np.zeros((len(LEVELS), len(LEVELS)), dtype=np.int64)
    np.add.at(table, (to_level(levels) - 1, to_level(scores) - 1), 1)
    return table


def qwk(scores: Values, levels: Values) -> float:
    """Return Cohen's kappa with quadratic weights between whole levels: 1 perfect, 0 chance."""
    return quadratic_kappa(confusion(scores, levels))


def easy_hard_accuracy(scores: Values, levels: Values) -> float:
    """Return the share of pairs on the right side of 2.5: the decision that the dynamic pipeline takes."""
    return float(np.mean((scores > HARD_ABOVE) == (levels > HARD_ABOVE)))


def auc(scores: Values, levels: Values) -> float:
    """Return the area under the ROC curve of "level above 2.5" by score (Mann-Whitney, ties count half)."""
    hard = levels > HARD_ABOVE
    num_hard, num_easy = int(hard.sum()), int((~hard).sum())
    if num_hard == 0 or num_easy == 0:
        return float("nan")
    ranks = stats.rankdata(scores)
    return float((ranks[hard].sum() - num_hard * (num_hard + 1) / 2) / (num_hard * num_easy))


def measure_all(scores: Values, levels: Values, *, ranking: Values | None = None) -> dict[str, float]:
    """Return every measure by name, ready for JSON.

    Args:
        ranking: Values that order the pairs instead of ``scores`` in the rank measures (srcc, krcc, auc): the raw
            feature under an isotonic fit, whose plateaus would make ties.
    """
    order = scores if ranking is None else ranking
    return {
        **{f"acc@{tolerance:g}": tolerance_accuracy(scores, levels, tolerance) for tolerance in TOLERANCES},
        "mae": mae(scores, levels),
        "rmse": rmse(scores, levels),
        "srcc": srcc(order, levels),
        "plcc": plcc(scores, levels),
        "krcc": krcc(order, levels),
        "qwk": qwk(scores, levels),
        "easy_hard": easy_hard_accuracy(scores, levels),
        "auc": auc(order, levels),
    }


def json_ready(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with None for NaN and infinity, which JSON does not have."""
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}


def bootstrap_by_clip(
    scores: Values,
    levels: Values,
    clips: Sequence[Any],
    *,
    ranking: Values | None = None,
    seed: int = 0,
    num_resamples: int = 1000,
) -> dict[str, Values]:
    """Return every measure on resampled data: clips are drawn with replacement, each with all its pairs.

    Pairs of one clip are alike, so drawing pairs would make the intervals far too narrow. The same seed and clips give
    the same draws: the difference of two models' arrays is a paired difference.

    Returns:
        name -> array of shape (num_resamples,), with NaN where a draw leaves a measure undefined, and everywhere when
        there is one clip only: it says nothing about others.
    """
    if len({str(clip) for clip in clips}) == 1:
        return {name: np.full(num_resamples, np.nan) for name in measure_all(scores, levels, ranking=ranking)}
    draws: dict[str, list[float]] = {}
    measured: dict[bytes, dict[str, float]] = {}  # of few clips, most draws are alike
    for times in draw_groups(clips, generator=np.random.default_rng(seed), resamples=num_resamples):
        key = times.tobytes()
        if key not in measured:
            chosen = np.repeat(np.arange(len(times)), times.astype(np.int64))
            order = None if ranking is None else ranking[chosen]
            measured[key] = measure_all(scores[chosen], levels[chosen], ranking=order)
        for name, value in measured[key].items():
            draws.setdefault(name, []).append(value)
    return {name: np.asarray(values) for name, values in draws.items()}


def leave_one_out(votes: Sequence[Mapping[str, int]]) -> tuple[Values, Values, npt.NDArray[np.int64]]:
    """Return each annotator's votes beside the consensus of the others: what a person reaches on this task.

    Args:
        votes: Per triplet, annotator -> level.

    Returns:
        The left-out votes, the others' consensus (median, ties upward), and the triplet's position in ``votes``,
        each of shape (M,). M is 0 when no triplet has two votes.
    """
    own, others, rows = [], [], []
    for row, by_annotator in enumerate(votes):
        for annotator, level in sorted(by_annotator.items()):
            rest = sorted(other for name, other in by_annotator.items() if name != annotator)
            if rest:
                own.append(level)
                others.append(rest[len(rest) // 2])  # the upper median: ties go to the harder level
                rows.append(row)
    return np.asarray(own, dtype=np.float64), np.asarray(others, dtype=np.float64), np.asarray(rows, dtype=np.int64)
