"""Keeping to a budget on a stream: a threshold that follows what the stream shows, and nothing else.

The threshold is a running quantile of the scores, and the share it aims at is corrected by what was spent. Both
depend on content alone, never on the clock, so a run that was killed goes on from the saved state to the same frames.
"""

import json
import math

import numpy as np
import numpy.typing as npt

_PER_OCTAVE, _LOWEST, _HIGHEST = 8, -40, 16  # bins of the scores' logarithm to base 2
_HALF_LIFE = 240  # frames: a scene is judged beside the ten seconds before it
_CORRECTION = 0.2  # how fast the share follows: a frame that costs 0.2 too much lowers it by 4 %
MARGINS = 1.4  # rectangles worth a price cost this times the area above it, to begin with: measured 1.2 to 1.6
_LEAST_SHARE = 0.002


class EffortControl:
    """Sets each frame's price of refinement so that costs come near ``effort`` on average, or below if little differs.

    Attributes:
        effort: Share of the accurate model's extra cost that may be spent, 0 to 1.
    """

    def __init__(self, effort: float, *, margins: float = MARGINS) -> None:
        """Start without a past.

        Args:
            margins: What is bought at a price is expected to cost, as a multiple of the area with scores above it.

        Raises:
            ValueError: ``effort`` is not in 0..1.
        """
        if not 0 <= effort <= 1:
            raise ValueError(f"effort ({effort:g}) must be from 0 (all fast) to 1 (all accurate)")
        self.effort, self._margins = effort, 1.0 if effort == 1 else margins
        self._begin()

    def _begin(self) -> None:
        self._seen = np.zeros((_HIGHEST - _LOWEST) * _PER_OCTAVE + 1)  # the first bin holds zeros
        self._share = max(_LEAST_SHARE, self.effort / self._margins)

    def price(self, scores: npt.NDArray[np.float64]) -> float:
        """Return the score that a frame's tiles have to exceed; afterwards tell ``spend`` what they cost.

        A score that is no finite number says nothing about its tile and counts as a high one: see ``shares.is_hard``.
        """
        scores = np.where(np.isfinite(scores), scores, np.inf)
        bins = self._bins(scores)
        self._seen *= 0.5 ** (1 / _HALF_LIFE)
        self._seen += np.bincount(bins.ravel(), minlength=len(self._seen)) / scores.size
        return self._threshold()

    def spend(self, cost: float) -> None:
        """Record the cost of the frame just chosen for, as a share of the whole accurate frame."""
        changed = self._share * math.exp(_CORRECTION * (self.effort - cost))
        self._share = min(1.0, max(_LEAST_SHARE, changed))

    def state(self) -> str:
        """Return all that the next choice rests on, as JSON."""
        used = {str(index): self._seen[index] for index in np.flatnonzero(self._seen).tolist()}
        return json.dumps({"share": self._share, "seen": used})

    def restore(self, state: str) -> None:
        """Go on from what ``state`` gave; an empty one begins anew.

        Raises:
            ValueError: It is no such state.
        """
        if not state:
            self._begin()
            return
        try:
            values = json.loads(state)
            seen = np.zeros_like(self._seen)
            for index, weight in values["seen"].items():
                seen[int(index)] = float(weight)
            self._share, self._seen = float(values["share"]), seen
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"state of the routing is damaged: {error}") from error

    def _bins(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        with np.errstate(divide="ignore", invalid="ignore"):
            at = (np.log2(scores) - _LOWEST) * _PER_OCTAVE + 1
        return np.where(scores > 0, np.nan_to_num(at).clip(1, len(self._seen) - 1), 0).astype(np.int64)

    def _threshold(self) -> float:
        """Return the score that the share aimed at lies above, linear in the logarithm inside a bin.

        It is the lowest one seen if fewer are above 0, and 0 where all may be spent.
        """
        above = np.cumsum(self._seen[::-1])[::-1]  # weight in this bin and all higher ones
        if self.effort == 1:
            return 0.0
        wanted = min(self._share * above[0], above[1])  # zeros are never worth anything
        index = int(np.flatnonzero(above >= wanted)[-1])
        part = (above[index] - wanted) / self._seen[index] if self._seen[index] else 0.0
        return float(2.0 ** (_LOWEST + (index - 1 + part) / _PER_OCTAVE))
