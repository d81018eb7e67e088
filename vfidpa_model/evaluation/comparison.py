"""An evaluation: the model, the trivial baselines and people, all measured in the same way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset_tools.common.statistics import interval95
from vfidpa_model.evaluation.measures import (
    Values,
    bootstrap_by_clip,
    confusion,
    json_ready,
    leave_one_out,
    measure_all,
)
from vfidpa_model.evaluation.scoring import levels_of
from vfidpa_model.pairs.sample import Sample

MODEL, HUMAN = "VFI-DPA", "human (one left out)"
NUM_RESAMPLES = 1000


@dataclass(frozen=True)
class Row:
    """One competitor.

    Attributes:
        measures: Name to value, NaN where undefined.
        intervals: Name to the 95 % interval, by bootstrap over clips.
        draws: Name to the bootstrap's draws, (num_resamples,); paired between rows of the same pairs.
    """

    measures: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    draws: dict[str, Values]

    def to_dict(self) -> dict[str, Any]:
        """Return measures and intervals as JSON values."""
        lows = json_ready({name: low for name, (low, _) in self.intervals.items()})
        highs = json_ready({name: high for name, (_, high) in self.intervals.items()})
        return {
            "measures": json_ready(self.measures),
            "intervals": {name: [lows[name], highs[name]] for name in self.intervals},
        }


def measure_row(
    scores: Values,
    levels: Values,
    clips: Sequence[str],
    *,
    ranking: Values | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> Row:
    """Return a competitor's measures with their intervals; see ``measures.measure_all`` for ``ranking``."""
    draws = bootstrap_by_clip(scores, levels, clips, ranking=ranking, num_resamples=num_resamples)
    intervals = {name: interval95(values) for name, values in draws.items()}
    return Row(measure_all(scores, levels, ranking=ranking), intervals, draws)


def human_row(samples: Sequence[Sample], *, num_resamples: int = NUM_RESAMPLES) -> Row | None:
    """Return how well one annotator agrees with the consensus of the others, or None where no pair has two votes.

    Only pairs with two votes count, and the others' consensus stands for the level.
    It is the ceiling: a model that agrees with the consensus better than a person does has learned all there is.
    """
    own, others, positions = leave_one_out([sample.votes for sample in samples])
    if len(own) == 0:
        return None
    return measure_row(own, others, [samples[position].clip for position in positions], num_resamples=num_resamples)


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
        title: What was evaluated, on what.
        samples, scores: The pairs and the model's scores, (N,).
        rows: Competitor to its measures: the model first, then the baselines, people last.
        facts: What else belongs to the record: files, device, options.
    """

    title: str
    samples: Sequence[Sample]
    scores: Values
    rows: dict[str, Row]
    facts: dict[str, Any]

    def gains(self, measure: str = "srcc") -> dict[str, tuple[float, float, float]]:
        """Return per baseline how far the model is ahead in ``measure``: value, low and high of the paired interval."""
        model = self.rows[MODEL]
        found = {}
        for name, row in self.rows.items():
            difference = model.measures[measure] - row.measures[measure]
            if name not in (MODEL, HUMAN) and not np.isnan(difference):
                found[name] = (difference, *interval95(model.draws[measure] - row.draws[measure]))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values, the score of each pair included."""
        pairs = [
            {"triplet_id": sample.triplet_id, "level": sample.level, "score": float(score)}
            for sample, score in zip(self.samples, self.scores, strict=True)
        ]
        return {
            "title": self.title,
            "facts": self.facts,
            "num_pairs": len(self.samples),
            "num_clips": len({sample.clip for sample in self.samples}),
            "rows": {name: row.to_dict() for name, row in self.rows.items()},
            "srcc_gains": {name: [None if np.isnan(v) else v for v in gain] for name, gain in self.gains().items()},
            "confusion": confusion(self.scores, levels_of(self.samples)).tolist(),
            "pairs": pairs,
        }
