"""A model's scores brought onto the level scale: a rising map fitted on validation.

A loss that asks for the median pulls all scores together, and a weak model then calls nothing hard. The map undoes what
can be undone without changing any order, and it puts its threshold where everybody looks for it: as many validation
scores lie above 2.5, where hard begins, as validation levels do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dataset_tools.levels import HARD_ABOVE

Values = npt.NDArray[np.float64]
_MIN_PAIRS = 12  # fewer say nothing about a map
_LEAST_SPAN = 0.05  # levels between the lowest and the highest score: stretching less would stretch rounding errors
_PAIRS_PER_KNOT = 6
_MAX_KNOTS = 8
_LEAST_GAP = 0.05  # between knots, in shares of the scores' range: rounding of a score must not become a level
_LEAST_SLOPE = 0.05  # levels per level of score: the map rises everywhere, so that no order is lost


@dataclass(frozen=True)
class ScoreScale:
    """A piecewise linear, strictly rising map from raw scores to levels.

    Attributes:
        scores, levels: Its knots, both rising; beyond them it goes on with its first and last slope.
        pairs: How many validation pairs it rests on.
    """

    scores: tuple[float, ...]
    levels: tuple[float, ...]
    pairs: int

    def __call__(self, raw: Tensor) -> Tensor:
        """Return levels for raw scores of any shape."""
        scores, levels = (raw.new_tensor(values) for values in (self.scores, self.levels))
        right = torch.searchsorted(scores, raw.contiguous()).clamp(1, len(scores) - 1)
        x0, x1, y0, y1 = scores[right - 1], scores[right], levels[right - 1], levels[right]
        return y0 + (raw - x0) * (y1 - y0) / (x1 - x0)

    def to_dict(self) -> dict[str, Any]:
        """Return the map as JSON values."""
        return {**asdict(self), "scores": list(self.scores), "levels": list(self.levels)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the map of ``to_dict``.

        Raises:
            ValueError: It is damaged: not two or more finite, strictly rising knots.
        """
        try:
            made = cls(
                tuple(float(value) for value in values["scores"]),
                tuple(float(value) for value in values["levels"]),
                int(values["pairs"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"score scale is damaged: {error}") from error
        knots = np.array([made.scores, made.levels]) if len(made.scores) == len(made.levels) else np.empty((2, 0))
        if knots.shape[1] < 2 or not np.isfinite(knots).all() or (np.diff(knots) <= 0).any():
            raise ValueError("score scale must have two or more finite knots, rising in scores and levels")
        return made


def fit_score_scale(scores: Sequence[float] | Values, levels: Sequence[float] | Values) -> ScoreScale | None:
    """Return the map from a model's scores of validation pairs to their levels; None where the pairs say too little.

    An isotonic fit through means of equally many pairs, made to rise at least a little everywhere.
    """
    from sklearn.isotonic import IsotonicRegression

    x, y = np.asarray(scores, dtype=np.float64), np.asarray(levels, dtype=np.float64)
    if len(x) < _MIN_PAIRS or np.ptp(x) < _LEAST_SPAN or np.ptp(y) == 0:
        return None
    order = np.argsort(x, kind="stable")
    parts = np.array_split(order, min(_MAX_KNOTS, max(2, len(x) // _PAIRS_PER_KNOT)))
    smooth = IsotonicRegression(out_of_bounds="clip").fit(x, y)
    centres = np.array([(x[part].mean(), smooth.predict(x[part]).mean()) for part in parts])
    gap = _LEAST_GAP * float(np.ptp(x))
    risen = [centres[0]]
    for centre in centres[1:]:
        if centre[0] - risen[-1][0] > gap:
            least = risen[-1][1] + _LEAST_SLOPE * (centre[0] - risen[-1][0])
            risen.append(np.array((centre[0], max(centre[1], least))))
    if len(risen) < 2:
        return None
    knots = _with_threshold(np.array(risen), np.sort(x), num_hard=int((y > HARD_ABOVE).sum()), gap=gap)
    return ScoreScale(tuple(map(float, knots[:, 0])), tuple(map(float, knots[:, 1])), len(x))


def _with_threshold(knots: Values, scores: Values, *, num_hard: int, gap: float) -> Values:
    """Return the knots (N, 2) bent so that ``num_hard`` of the sorted scores map above 2.5."""
    if num_hard in (0, len(scores)):
        return knots
    middle = (scores[-num_hard - 1] + scores[-num_hard]) / 2
    line = HARD_ABOVE + _LEAST_SLOPE * (knots[:, 0] - middle)
    is_below = knots[:, 0] < middle
    bent = np.where(is_below, np.minimum(knots[:, 1], line), np.maximum(knots[:, 1], line))
    apart = np.abs(knots[:, 0] - middle) > gap
    rows = [*np.stack([knots[apart, 0], bent[apart]], axis=1).tolist(), [middle, HARD_ABOVE]]
    return np.array(sorted(rows))
