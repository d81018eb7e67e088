"""Paired comparison: which of two predictions of one triplet is worse? Which rows, which side, what is stored (pure).

An item of a paired project is a triplet with exactly two predictions: the manifest's, and the *rival*, that of a second
manifest with the same triplets. The answer is stored where other projects store the level, so that everything built on
levels (votes wanted, spread, agreement, repeats, verdicts) means the same for both:

    1  the manifest's prediction is worse      2  both are as bad      3  the rival is worse
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataset_tools.errors import UsageError, VfiError
from labeling_app.schemas import Side

PRED_WORSE, SAME, RIVAL_WORSE = 1, 2, 3
WORSE = {PRED_WORSE: "pred", SAME: "same", RIVAL_WORSE: "rival"}  # as tables call it
_SAME_FRAMES = ("img0_sha256", "gt_sha256", "img1_sha256")


class AnswerError(VfiError):
    """An answer is of the wrong kind: a level for a pair, or a side for a single prediction."""

    code = "fields"


def with_rivals(rows: Iterable[Mapping[str, Any]], rivals: Mapping[str, Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """Yield the rows that have a rival, with its picture, pixel hash and predictor as ``rival``, ``rival_...``.

    Args:
        rows: Of the manifest, each with a prediction.
        rivals: Of the second manifest, by ``triplet_id``, each with a prediction.

    A rival of other frames is none, and where both predictions are equal to the bit there is nothing to compare.
    """
    for row in rows:
        other = rivals.get(row["triplet_id"])
        if other is None or any(other[name] != row[name] for name in _SAME_FRAMES):
            continue
        if other["pred_sha256"] != row["pred_sha256"]:
            picture = {"rival": other["pred"], "rival_sha256": other["pred_sha256"]}
            yield {**row, **picture, "rival_predictor": other["predictor"]}


def pred_is_left(secret: bytes, item_id: int, earlier: int) -> bool:
    """Return whether the manifest's prediction stands on the left for one assignment.

    The first annotator of an item gets a side by chance, the following ones take turns: half of an item's answers come
    from either side, and nobody can tell which prediction is which.

    Args:
        secret: The server's.
        item_id: The item.
        earlier: Assignments of the item made before this one.
    """
    digest = hashlib.sha256(secret + f"side:{item_id}".encode()).digest()
    return (digest[0] + earlier) % 2 == 0


def answer_of(worse: Side, *, pred_left: bool) -> int:
    """Return what is stored for "the left one is worse" and so on."""
    if worse == "same":
        return SAME
    return PRED_WORSE if (worse == "left") == pred_left else RIVAL_WORSE


def side_of(answer: int, *, pred_left: bool) -> Side:
    """Return on which side the worse one stood: the inverse of ``answer_of``."""
    if answer == SAME:
        return "same"
    return "left" if (answer == PRED_WORSE) == pred_left else "right"


def check_answer(level: int | None, *, is_pair: Sequence[bool]) -> None:
    """Check a level that a lead gives to items.

    Raises:
        UsageError: It is none of the three answers, and one of the items is a pair.
    """
    if level is not None and level not in WORSE and any(is_pair):
        raise UsageError(f"level ({level}) of a pair must be 1 (first worse), 2 (same) or 3 (second worse)")
