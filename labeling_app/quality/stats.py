"""Agreement and progress in numbers: the same for the admin's page, the API and ``python -m labeling_app stats``."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sqlalchemy import Connection, select, text

from dataset_tools.levels import LEVELS
from labeling_app.annotation.gold import read_gold
from labeling_app.annotation.pairing import WORSE
from labeling_app.annotation.review import disputed_items
from labeling_app.database.events import now_us as clock_us
from labeling_app.database.events import to_datetime
from labeling_app.database.tables import users
from labeling_app.quality.agreement import alpha_interval, confusion, count_levels, ordinal_alpha, weighted_kappa
from labeling_app.quality.forecast import Forecast, forecast
from labeling_app.quality.people import Annotator, annotators_of, answer_counts, num_commented
from labeling_app.quality.votes import counted, read_remarks, read_votes

MIN_SHARED = 5  # items two annotators must share before their agreement is shown

_ITEMS = "SELECT id, overlap, rival_sha256 IS NOT NULL AS is_pair FROM items WHERE active"
_EXCLUDED = """
SELECT u.name, COUNT(*) AS number FROM excluded_votes v JOIN users u ON u.id = v.user_id
JOIN items i ON i.id = v.item_id WHERE i.active GROUP BY u.name
"""


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
    """Two annotators on the items both rated; ``confusion[i][j]``: first gave i + 1, second j + 1.

    As many rows and columns as ``Stats.histogram`` has places.
    """

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
class Stats:
    """Everything that an admin looks at.

    ``histogram`` counts votes on the levels 1..4; where the project is ``paired`` it has three places: first one worse,
    same, second one worse (``labeling_app.annotation.pairing``), and a bias says that the second is found worse.

    ``votes_wanted`` counts the votes given and those still missing. Gold items need none: their level is known.
    Everything is about the items of the present manifest; ``votes_removed`` are on others. ``excluded`` votes were set
    aside and are in no other figure. ``skips`` counts the items left to others by reason.
    """

    paired: bool
    items: int
    items_full: int
    votes_wanted: int
    votes: int
    excluded: int
    votes_removed: int
    flagged: int
    commented: int
    skips: dict[str, int]
    disagreeing: int
    forecast: Forecast
    histogram: list[int]
    alpha: list[Alpha]
    pairs: list[Pair]
    days: list[Day]
    annotators: list[Annotator]


def compute_stats(connection: Connection, *, seed: int = 0, now_us: int | None = None) -> Stats:
    """Return the statistics of all current votes; the bootstrap is seeded, so the same votes give the same numbers."""
    all_votes = read_votes(connection)
    votes = all_votes[all_votes["active"]]
    valid = counted(votes)
    gold = read_gold(connection)
    active = connection.execute(text(_ITEMS)).all()
    paired = any(row.is_pair for row in active)  # then all are: a server asks for one or the other
    given = valid[valid["stage"] == "work"]["item_id"].value_counts().to_dict()
    missing = [0 if row.id in gold else max(0, row.overlap - given.get(row.id, 0)) for row in active]
    stages = {row.name: row.stage for row in connection.execute(select(users.c.name, users.c.stage))}
    excluded = {row.name: row.number for row in connection.execute(text(_EXCLUDED))}
    skips = read_remarks(connection)
    skips = skips[skips["active"] & (skips["stage"] == "skip")]
    return Stats(
        paired=paired,
        items=len(active),
        items_full=missing.count(0),
        votes_wanted=len(valid) + sum(missing),
        votes=len(valid),
        excluded=sum(excluded.values()),
        votes_removed=len(counted(all_votes)) - len(valid),
        flagged=int(valid["flagged"].sum()),
        commented=num_commented(valid),
        skips={str(reason or "-"): int(count) for reason, count in skips["reason"].value_counts().items()},
        disagreeing=len(disputed_items(connection)),
        forecast=forecast(missing, valid["created_at_us"].tolist(), now_us=clock_us() if now_us is None else now_us),
        histogram=answer_counts(valid, paired=paired),
        alpha=_alphas(valid, np.random.default_rng(seed)),
        pairs=_pairs(valid, num_answers=len(WORSE if paired else LEVELS)),
        days=_days(valid),
        annotators=annotators_of(
            votes, stages, gold, skips["annotator"].value_counts().to_dict(), excluded, paired=paired
        ),
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


def _pairs(votes: pd.DataFrame, *, num_answers: int) -> list[Pair]:
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
        shown = table[:num_answers, :num_answers].tolist()
        pairs.append(Pair(str(names[i]), str(names[j]), int(both.sum()), weighted_kappa(table), shown))
    return pairs


def _days(votes: pd.DataFrame) -> list[Day]:
    days = pd.Series([to_datetime(int(time_us)).date().isoformat() for time_us in votes["created_at_us"]], dtype=object)
    counts = days.value_counts().sort_index()
    return [
        Day(day=str(day), votes=int(count), total=int(total))
        for day, count, total in zip(counts.index, counts, counts.cumsum(), strict=True)
    ]


def to_lines(stats: Stats) -> list[str]:
    """Return the statistics as plain lines for a terminal."""
    lines = [
        f"triplets     {stats.items_full} of {stats.items} complete, {stats.votes} of {stats.votes_wanted} votes",
        _answers_line(stats),
        f"disagreeing  {stats.disagreeing} triplets with "
        + ("answers to both sides" if stats.paired else "votes two levels apart or more"),
        f"set aside    {stats.excluded} votes, in none of these figures",
        f"elsewhere    {stats.votes_removed} votes on triplets that are not in the manifest now",
        f"remarks      {stats.flagged} votes flagged, {stats.commented} commented, {sum(stats.skips.values())} skips"
        + "".join(f", {count} {reason}" for reason, count in stats.skips.items()),
        _forecast_line(stats.forecast),
    ]
    for alpha in stats.alpha:
        interval = "" if alpha.low is None else f" [{alpha.low:.3f}, {alpha.high:.3f}]"
        lines.append(f"alpha        {_number(alpha.alpha)}{interval} {alpha.group} ({alpha.items} triplets)")
    for pair in stats.pairs:
        lines.append(f"kappa        {_number(pair.kappa)} {pair.first} / {pair.second} ({pair.items} triplets)")
    for who in stats.annotators:
        lines.append(
            f"{who.name}: {who.votes} votes, {_number(who.votes_per_hour, 0)} per hour,"
            f" gold exact {_number(who.gold_agreement)}, kappa {_number(who.gold_kappa)},"
            f" repeats {_number(who.repeat_consistency)}, bias {_number(who.bias)}, noise {_number(who.inconsistency)},"
            f" {who.flagged} flagged, {who.commented} commented, {who.skipped} skipped, {who.excluded} set aside"
            + (f", look at: {', '.join(who.flags)}" if who.flags else "")
        )
    return lines


def _answers_line(stats: Stats) -> str:
    if stats.paired:
        first, same, second = stats.histogram
        return f"answers      {first} first worse, {same} same, {second} second worse"
    return f"levels 1..4  {' '.join(str(count) for count in stats.histogram)}"


def _forecast_line(left: Forecast) -> str:
    when = f"done about {left.date}" if left.date else "no votes lately, so no date"
    return (
        f"forecast     {left.votes_left} votes, {left.items_left} triplets left, {left.votes_per_day:.0f} a day: {when}"
    )


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
