"""From votes to a level. Pure: the votes go in as columns, a level per item comes out.

median       the middle vote; of an even number the higher one of the two in the middle (tie upward)
mean         the arithmetic mean
majority     the most frequent level; the highest of equally frequent ones (tie upward)
dawid-skene  Dawid and Skene (1979), a confusion matrix per annotator, by crowd-kit
one-coin     the same with one number per annotator, by crowd-kit
raters       bias and inconsistency per annotator (labeling_app.quality.annotators), not rounded
"""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset_tools.errors import UsageError
from dataset_tools.levels import NUM_LEVELS
from labeling_app.quality.agreement import Counts, count_levels
from labeling_app.quality.annotators import fit_annotators

Method = Literal["median", "mean", "majority", "dawid-skene", "one-coin", "raters"]
METHODS: tuple[str, ...] = get_args(Method)
_ITERATIONS = 100

Codes = npt.NDArray[np.int64]
Levels = npt.NDArray[np.float64]


def consensus(items: npt.ArrayLike, annotators: npt.ArrayLike, levels: npt.ArrayLike, *, method: str) -> pd.Series:
    """Return the level of each item, float64, indexed by item in ascending order.

    Args:
        items: Item of each vote.
        annotators: Annotator of each vote.
        levels: Level of each vote, 1..4.
        method: One of ``METHODS``.

    Raises:
        UsageError: Unknown method.
    """
    if method not in METHODS:
        raise UsageError(f"consensus {method!r} must be one of {', '.join(METHODS)}")
    item_codes, names = pd.factorize(np.asarray(items), sort=True)
    annotator_codes, _ = pd.factorize(np.asarray(annotators), sort=True)
    votes = np.asarray(levels, dtype=np.int64)
    if len(votes) == 0:
        return pd.Series([], index=pd.Index([], dtype="int64"), dtype="float64")
    return pd.Series(_METHODS[method](item_codes, annotator_codes, votes), index=names)


def median_of_counts(counts: Counts) -> Levels:
    """Return the middle vote per item from its votes per level, shape (items, 4); the higher of two in the middle."""
    # The place of the upper middle vote, counted from 0: 1 of 2, 1 of 3, 2 of 4.
    middle = counts.sum(axis=1) // 2
    return 1.0 + (np.cumsum(counts, axis=1) <= middle[:, None]).sum(axis=1)


def _median(items: Codes, _: Codes, levels: Codes) -> Levels:
    return median_of_counts(count_levels(items, levels))


def _mean(items: Codes, _: Codes, levels: Codes) -> Levels:
    return np.bincount(items, levels) / np.bincount(items)


def _majority(items: Codes, _: Codes, levels: Codes) -> Levels:
    counts = count_levels(items, levels)
    return NUM_LEVELS - np.argmax(counts[:, ::-1], axis=1).astype(np.float64)  # argmax takes the first: the highest


def _annotators(items: Codes, annotators: Codes, levels: Codes) -> Levels:
    return fit_annotators(items, annotators, levels.astype(np.float64)).levels


def _dawid_skene(items: Codes, annotators: Codes, levels: Codes) -> Levels:
    from crowdkit.aggregation import DawidSkene  # takes seconds to import

    return _crowd_kit(DawidSkene(n_iter=_ITERATIONS), items, annotators, levels)


def _one_coin(items: Codes, annotators: Codes, levels: Codes) -> Levels:
    from crowdkit.aggregation import OneCoinDawidSkene

    return _crowd_kit(OneCoinDawidSkene(n_iter=_ITERATIONS), items, annotators, levels)


def _crowd_kit(aggregator: object, items: Codes, annotators: Codes, levels: Codes) -> Levels:
    table = pd.DataFrame({"task": items, "worker": annotators, "label": levels})
    chosen = aggregator.fit_predict(table)  # type: ignore[attr-defined]
    return chosen.sort_index().to_numpy(dtype=np.float64)


_METHODS: dict[str, Callable[[Codes, Codes, Codes], Levels]] = {
    "median": _median,
    "mean": _mean,
    "majority": _majority,
    "dawid-skene": _dawid_skene,
    "one-coin": _one_coin,
    "raters": _annotators,
}
