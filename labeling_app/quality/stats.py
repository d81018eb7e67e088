"""Agreement and progress in numbers: the same for the admin's page, the API and ``python -m labeling_app stats``."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sqlalchemy import Connection, select, text

from dataset_tools.levels import LEVELS
from labeling_app.annotation.assignments import SPREAD_TO_REVIEW, Gold, within_one
from labeling_app.annotation.gold import read_gold
from labeling_app.annotation.progress import votes_per_hour
from labeling_app.database.events import to_datetime
from labeling_app.database.tables import users
from labeling_app.quality.agreement import alpha_interval, confusion, count_levels, ordinal_alpha, weighted_kappa
from labeling_app.quality.annotators import AnnotatorFigures, fit_annotators, flags, longest_run, top_level_share
from labeling_app.quality.votes import counted, read_votes

MIN_SHARED = 5  # items two annotators must share before their agreement is shown

_ITEMS = "SELECT id, overlap FROM items WHERE active"


@dataclass(frozen=True)
class Alpha:
    """Ordinal Krippendorff alpha of a group of items; ``None`` where it is not defined."""

    group: str
    items: int
    alpha: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Pair:
    """Two annotators on the items both rated; ``confusion[i][j]``: first gave i + 1, second j + 1."""

    first: str
    second: str
    items: int
    kappa: float | None
    confusion: list[list[int]]


@dataclass(frozen=True)
class Day:
    """Votes on one UTC day, and all up to its end."""

    day: str
    votes: int
    total: int


@dataclass(frozen=True)
class Annotator:
    """One annotator's figures; shares in 0..1, bias and inconsistency in levels, positive bias rates worse."""

    name: str
    stage: str
    votes: int
    votes_per_hour: float | None
    median_seconds: float | None
    gold_agreement: float | None
    repeat_consistency: float | None
    bias: float | None
    inconsistency: float | None
    longest_run: int
    top_level_share: float
    histogram: list[int]
    flags: list[str]


@dataclass(frozen=True)
class Stats:
    """Everything that an admin looks at; ``histogram`` counts votes on the levels 1..4.

    ``votes_wanted`` counts the votes given and those still missing. Gold items need none: their level is known.
    """

    items: int
    items_full: int
    votes_wanted: int
    votes: int
    disagreeing: int
    histogram: list[int]
    alpha: list[Alpha]
    pairs: list[Pair]
    days: list[Day]
    annotators: list[Annotator]


def compute_stats(connection: Connection, *, seed: int = 0) -> Stats:
    """Return the statistics of all current votes; the bootstrap is seeded, so the same votes give the same numbers."""
    votes = read_votes(connection)
    valid = counted(votes)
    gold = read_gold(connection)
    active = connection.execute(text(_ITEMS)).all()
    given = valid[valid["stage"] == "work"]["item_id"].value_counts().to_dict()
    missing = [0 if row.id in gold else max(0, row.overlap - given.get(row.id, 0)) for row in active]
    stages = {row.name: row.stage for row in connection.execute(select(users.c.name, users.c.stage))}
    by_item = valid.groupby("item_id")["level"]
    spread = by_item.max() - by_item.min()
    return Stats(
        items=len(active),
        items_full=missing.count(0),
        votes_wanted=len(valid) + sum(missing),
        votes=len(valid),
        disagreeing=int((spread >= SPREAD_TO_REVIEW).sum()),
        histogram=_histogram(valid),
        alpha=_alphas(valid, np.random.default_rng(seed)),
        pairs=_pairs(valid),
        days=_days(valid),
        annotators=_annotators(votes, stages, gold),
    )


def _alphas(votes: pd.DataFrame, rng: np.random.Generator) -> list[Alpha]:
    groups = {"all": votes}
    for column in ("resolution", "source"):
        groups |= {f"{column} {name}": group for name, group in votes.groupby(column)}
    return [_alpha(name, group, rng) for name, group in groups.items()]


def _alpha(name: str, votes: pd.DataFrame, rng: np.random.Generator) -> Alpha:
    codes, _ = pd.factorize(votes["item_id"])
    counts = count_levels(codes.astype(np.int64), votes["level"].to_numpy())
    interval = alpha_interval(counts, rng)
    low, high = interval if interval is not None else (None, None)
    shared = int((counts.sum(axis=1) >= 2).sum()) if len(counts) else 0
    return Alpha(group=name, items=shared, alpha=ordinal_alpha(counts), low=low, high=high)


def _pairs(votes: pd.DataFrame) -> list[Pair]:
    if votes.empty:
        return []
    items, _ = pd.factorize(votes["item_id"])
    annotators, names = pd.factorize(votes["annotator"], sort=True)
    levels = np.zeros((len(names), items.max() + 1), dtype=np.int8)  # 0 where an annotator gave none
    levels[annotators, items] = votes["level"]
    rated = (levels > 0).astype(np.float32)
    pairs = []
    for i, j in np.argwhere(np.triu(rated @ rated.T, k=1) >= MIN_SHARED).tolist():
        both = (levels[i] > 0) & (levels[j] > 0)
        table = confusion(levels[i, both].astype(np.int64), levels[j, both].astype(np.int64))
        pairs.append(Pair(str(names[i]), str(names[j]), int(both.sum()), weighted_kappa(table), table.tolist()))
    return pairs


def _days(votes: pd.DataFrame) -> list[Day]:
    days = pd.Series([to_datetime(int(time_us)).date().isoformat() for time_us in votes["created_at_us"]], dtype=object)
    counts = days.value_counts().sort_index()
    return [
        Day(day=str(day), votes=int(count), total=int(total))
        for day, count, total in zip(counts.index, counts, counts.cumsum(), strict=True)
    ]


def _annotators(votes: pd.DataFrame, stages: Mapping[str, str], gold: Mapping[int, Gold]) -> list[Annotator]:
    model = _annotator_model(counted(votes))
    return [
        _annotator(str(name), stages.get(str(name), ""), group, gold, *model.get(str(name), (None, None)))
        for name, group in votes.groupby("annotator")
    ]


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
    stage: str,
    votes: pd.DataFrame,
    gold: Mapping[int, Gold],
    bias: float | None,
    inconsistency: float | None,
) -> Annotator:
    valid = counted(votes)
    levels = valid["level"].tolist()
    figures = AnnotatorFigures(
        votes=len(valid),
        gold_agreement=_gold_agreement(votes, gold),
        repeat_consistency=_repeat_consistency(votes),
        bias=bias,
        inconsistency=inconsistency,
        median_seconds=float(valid["seconds"].median()) if len(valid) and valid["seconds"].notna().any() else None,
        longest_run=longest_run(levels),
        top_level_share=float(top_level_share(levels)),
    )
    return Annotator(
        name=name,
        stage=stage,
        votes=figures.votes,
        votes_per_hour=votes_per_hour(votes["created_at_us"].tolist()),
        median_seconds=figures.median_seconds,
        gold_agreement=figures.gold_agreement,
        repeat_consistency=figures.repeat_consistency,
        bias=bias,
        inconsistency=inconsistency,
        longest_run=figures.longest_run,
        top_level_share=figures.top_level_share,
        histogram=_histogram(valid),
        flags=flags(figures),
    )


def _gold_agreement(votes: pd.DataFrame, gold: Mapping[int, Gold]) -> float | None:
    """Return the share of hidden gold items rated within one level of gold."""
    rated = votes[(votes["stage"] == "gold") & votes["item_id"].isin(list(gold))]
    agreeing = [
        within_one(level, gold[item].level) for item, level in zip(rated["item_id"], rated["level"], strict=True)
    ]
    return float(np.mean(agreeing)) if agreeing else None


def _repeat_consistency(votes: pd.DataFrame) -> float | None:
    """Return the share of hidden repeats that got the level of the first vote."""
    first = votes[votes["stage"] == "work"].set_index("item_id")["level"]
    again = votes[votes["stage"] == "repeat"].set_index("item_id")["level"]
    shared = again.index.intersection(first.index)
    return float((again[shared] == first[shared]).mean()) if len(shared) else None


def _histogram(votes: pd.DataFrame) -> list[int]:
    return [int((votes["level"] == level).sum()) for level in LEVELS]


def to_lines(stats: Stats) -> list[str]:
    """Return the statistics as plain lines for a terminal."""
    lines = [
        f"triplets     {stats.items_full} of {stats.items} complete, {stats.votes} of {stats.votes_wanted} votes",
        f"levels 1..4  {' '.join(str(count) for count in stats.histogram)}",
        f"disagreeing  {stats.disagreeing} triplets with votes two levels apart or more",
    ]
    for alpha in stats.alpha:
        interval = "" if alpha.low is None else f" [{alpha.low:.3f}, {alpha.high:.3f}]"
        lines.append(f"alpha        {_number(alpha.alpha)}{interval} {alpha.group} ({alpha.items} triplets)")
    for pair in stats.pairs:
        lines.append(f"kappa        {_number(pair.kappa)} {pair.first} / {pair.second} ({pair.items} triplets)")
    for who in stats.annotators:
        lines.append(
            f"{who.name}: {who.votes} votes, {_number(who.votes_per_hour, 0)} per hour,"
            f" gold {_number(who.gold_agreement)},"
            f" repeats {_number(who.repeat_consistency)}, bias {_number(who.bias)}, noise {_number(who.inconsistency)}"
            + (f", look at: {', '.join(who.flags)}" if who.flags else "")
        )
    return lines


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
