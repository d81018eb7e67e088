"""Each annotator's figures: pace, agreement with gold and with themselves, bias, flags, skips, votes set aside."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dataset_tools.levels import LEVELS
from labeling_app.annotation.assignments import Gold
from labeling_app.annotation.pairing import WORSE
from labeling_app.annotation.progress import BREAK_US, votes_per_hour
from labeling_app.quality.agreement import confusion, weighted_kappa
from labeling_app.quality.annotators import AnnotatorFigures, fit_annotators, flags, longest_run, top_level_share
from labeling_app.quality.votes import counted
from labeling_app.schemas import SIDES


@dataclass(frozen=True)
class Annotator:
    """One annotator's figures; shares in 0..1, bias and inconsistency in levels, positive bias rates worse.

    ``gold_agreement`` is the share of exact hits. ``median_seconds`` is what the page measured from picture to key,
    ``median_gap_seconds`` what the server's clock saw between two votes, breaks left out. ``histogram`` counts the same
    as that of ``Stats``.
    """

    name: str
    stage: str
    votes: int
    votes_per_hour: float | None
    median_seconds: float | None
    median_gap_seconds: float | None
    gold_agreement: float | None
    gold_kappa: float | None
    repeat_consistency: float | None
    bias: float | None
    inconsistency: float | None
    longest_run: int
    top_level_share: float
    histogram: list[int]
    flagged: int
    commented: int
    skipped: int
    excluded: int
    flags: list[str]


@dataclass(frozen=True)
class Beside:
    """What an annotator did beside current votes, and how far they are."""

    stage: str = ""
    skipped: int = 0
    excluded: int = 0


def annotators_of(
    votes: pd.DataFrame,
    stages: Mapping[str, str],
    gold: Mapping[int, Gold],
    skipped: Mapping[str, int],
    excluded: Mapping[str, int],
    *,
    paired: bool,
) -> list[Annotator]:
    """Return the figures of everybody who voted, skipped, or whose votes were set aside, by name."""
    model = _annotator_model(counted(votes))
    groups = {str(name): group for name, group in votes.groupby("annotator")}
    found = []
    for name in sorted({*groups, *skipped, *excluded}):
        beside = Beside(stages.get(name, ""), skipped.get(name, 0), excluded.get(name, 0))
        bias, inconsistency = model.get(name, (None, None))
        own = groups.get(name, votes.iloc[:0])
        found.append(_annotator(name, own, gold, beside, bias, inconsistency, paired=paired))
    return found


def answer_counts(votes: pd.DataFrame, *, paired: bool) -> list[int]:
    """Return how many votes each level got, 1..4, or of a paired project each of the three answers."""
    return [int((votes["level"] == answer).sum()) for answer in (WORSE if paired else LEVELS)]


def num_commented(votes: pd.DataFrame) -> int:
    """Return how many votes carry a comment."""
    return sum(bool(json.loads(payload).get("comment")) for payload in votes["payload"])


def _annotator_model(votes: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Return {annotator: (bias, inconsistency)} from items with several votes: one vote alone tells nothing."""
    several = votes[votes.groupby("item_id")["item_id"].transform("size") >= 2]
    if several.empty:
        return {}
    items, _ = pd.factorize(several["item_id"])
    annotators, names = pd.factorize(several["annotator"])
    model = fit_annotators(
        items.astype(np.int64), annotators.astype(np.int64), several["level"].to_numpy(dtype=np.float64)
    )
    values = zip(names, model.bias, model.inconsistency, strict=True)
    return {str(name): (float(bias), float(noise)) for name, bias, noise in values}


def _annotator(
    name: str,
    votes: pd.DataFrame,
    gold: Mapping[int, Gold],
    beside: Beside,
    bias: float | None,
    inconsistency: float | None,
    *,
    paired: bool,
) -> Annotator:
    valid = counted(votes)
    pressed = _pressed(valid)
    agreement, kappa, gold_votes = _against_gold(votes, gold)
    figures = AnnotatorFigures(
        votes=len(valid),
        gold_votes=gold_votes,
        gold_agreement=agreement,
        gold_kappa=kappa,
        repeat_consistency=_repeat_consistency(votes),
        bias=bias,
        inconsistency=inconsistency,
        median_seconds=float(valid["seconds"].median()) if len(valid) and valid["seconds"].notna().any() else None,
        median_gap_seconds=_median_gap_seconds(votes),
        longest_run=longest_run(pressed),
        top_level_share=float(top_level_share(pressed)),
    )
    return Annotator(
        name=name,
        stage=beside.stage,
        votes=figures.votes,
        votes_per_hour=votes_per_hour(votes["created_at_us"].tolist()),
        median_seconds=figures.median_seconds,
        median_gap_seconds=figures.median_gap_seconds,
        gold_agreement=agreement,
        gold_kappa=kappa,
        repeat_consistency=figures.repeat_consistency,
        bias=bias,
        inconsistency=inconsistency,
        longest_run=figures.longest_run,
        top_level_share=figures.top_level_share,
        histogram=answer_counts(valid, paired=paired),
        flagged=int(valid["flagged"].sum()),
        commented=num_commented(valid),
        skipped=beside.skipped,
        excluded=beside.excluded,
        flags=flags(figures),
    )


def _pressed(votes: pd.DataFrame) -> list[int]:
    """Return what was pressed: of a pair the side (1 left, 2 same, 3 right), for sides are drawn by chance.

    Who always presses left gives answers that look fair; who finds one predictor always worse presses both sides.
    """
    worse = [json.loads(payload).get("worse") for payload in votes["payload"]]
    return [level if side is None else 1 + SIDES.index(side) for level, side in zip(votes["level"], worse, strict=True)]


def _against_gold(votes: pd.DataFrame, gold: Mapping[int, Gold]) -> tuple[float | None, float | None, int]:
    """Return (share of exact hits, weighted kappa, number) over the hidden gold items."""
    rated = votes[(votes["stage"] == "gold") & votes["item_id"].isin(list(gold))]
    given = rated["level"].to_numpy(dtype=np.int64)
    expected = np.array([gold[item].level for item in rated["item_id"]], dtype=np.int64)
    if not len(given):
        return None, None, 0
    return float((given == expected).mean()), weighted_kappa(confusion(given, expected)), len(given)


def _median_gap_seconds(votes: pd.DataFrame) -> float | None:
    """Return the median time between two votes by the server's clock; the page's own measure can be made up.

    Imported votes say nothing about the pace: their times come from elsewhere.
    """
    own = votes[~votes["payload"].str.contains('"chosen_by":"import"', regex=False)]
    gaps = np.diff(np.sort(own["created_at_us"].to_numpy(dtype=np.int64)))
    gaps = gaps[gaps <= BREAK_US]
    return float(np.median(gaps) / 1e6) if len(gaps) else None


def _repeat_consistency(votes: pd.DataFrame) -> float | None:
    """Return the share of hidden repeats that got the level of the first vote."""
    first = votes[votes["stage"] == "work"].set_index("item_id")["level"]
    again = votes[votes["stage"] == "repeat"].set_index("item_id")["level"]
    shared = again.index.intersection(first.index)
    return float((again[shared] == first[shared]).mean()) if len(shared) else None
