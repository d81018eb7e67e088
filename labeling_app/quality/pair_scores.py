"""From answers about pairs to a score per prediction: which answers count, and a triplet's predictions together."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from sqlalchemy import Connection, text

from labeling_app.annotation.pairing import PRED_WORSE, SAME
from labeling_app.quality.bradley_terry import Scores, fit_scores
from labeling_app.quality.votes import COUNTED

Frames = tuple[str, str]  # triplet_id, hash of the true frame's pixels
Prediction = tuple[str, str, str]  # the same, and the hash of the prediction's pixels

_ANSWERS = f"""
SELECT i.item_key, i.triplet_id, i.gt_sha256, i.pred_sha256, i.rival_sha256, v.level
FROM current_votes v JOIN items i ON i.id = v.item_id WHERE i.rival_sha256 IS NOT NULL AND v.stage IN {COUNTED}
"""
_EVER = """
SELECT DISTINCT i.triplet_id, i.gt_sha256, i.pred_sha256, i.rival_sha256
FROM events e JOIN items i ON i.id = e.item_id WHERE i.rival_sha256 IS NOT NULL AND e.kind = 'vote'
"""


@dataclass(frozen=True)
class PairScore:
    """How much worse a prediction is than the others of its triplet, in log-odds, and the answers behind it."""

    score: float
    low: float
    high: float
    answers: int


def read_pair_scores(connection: Connection, decided: Mapping[str, float]) -> dict[Prediction, PairScore | None]:
    """Return the score of every prediction that was ever compared; ``None`` where no answer is left.

    Args:
        connection: For reading.
        decided: By item key: where a person decided, that stands in place of each answer.
    """
    found: dict[Prediction, PairScore | None] = {}
    for row in connection.execute(text(_EVER)):
        for pixels in (row.pred_sha256, row.rival_sha256):
            found[row.triplet_id, row.gt_sha256, pixels] = None
    answers = connection.execute(text(_ANSWERS)).all()
    by_triplet: dict[Frames, list[tuple[str, str, int]]] = defaultdict(list)
    for row in answers:
        answer = int(decided.get(row.item_key, row.level))
        by_triplet[row.triplet_id, row.gt_sha256].append((row.pred_sha256, row.rival_sha256, answer))
    for frames, given in by_triplet.items():
        found |= {(*frames, pixels): score for pixels, score in scores_of(given).items()}
    return found


def scores_of(answers: Iterable[tuple[str, str, int]]) -> dict[str, PairScore]:
    """Return the scores of one triplet's predictions from (first, second, answer) triples."""
    given = list(answers)
    names = sorted({name for first, second, _ in given for name in (first, second)})
    worse = np.zeros((len(names), len(names)))
    for first, second, answer in given:
        i, j = names.index(first), names.index(second)
        share = {PRED_WORSE: 1.0, SAME: 0.5}.get(answer, 0.0)
        worse[i, j] += share
        worse[j, i] += 1.0 - share
    fitted = _fit(len(names), tuple(worse.ravel().tolist()))
    counts = (worse + worse.T).sum(axis=1)
    return {
        name: PairScore(float(fitted.score[i]), float(fitted.low[i]), float(fitted.high[i]), int(counts[i]))
        for i, name in enumerate(names)
    }


@cache
def _fit(size: int, worse: tuple[float, ...]) -> Scores:
    """Three votes on two predictions have ten outcomes: a set of ten thousand triplets is fitted ten times."""
    return fit_scores(np.reshape(worse, (size, size)))
