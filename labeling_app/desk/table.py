"""All items with what is known of each, as one table: what the desk lists, filters and sorts."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sqlalchemy import Connection, text

from labeling_app.annotation.assignments import SPREAD_TO_REVIEW
from labeling_app.annotation.gold import read_gold
from labeling_app.annotation.pairing import WORSE
from labeling_app.database.events import of_kind
from labeling_app.desk.selection import Selection, chosen
from labeling_app.quality.agreement import count_levels
from labeling_app.quality.consensus import median_of_counts
from labeling_app.quality.votes import COUNTED

# Compact JSON with sorted keys: a comment that is there begins with a quotation mark, and one inside it is escaped.
_VOTES = f"""
SELECT v.item_id, v.user_id, v.level, v.flagged, v.created_at_us, v.id,
    CASE WHEN v.payload LIKE '%"comment":"%' THEN 1 ELSE 0 END AS commented
FROM current_votes v JOIN items i ON i.id = v.item_id WHERE i.active AND v.stage IN {COUNTED} ORDER BY v.id
"""
_ITEMS = """
SELECT id AS item_id, triplet_id, source, clip, resolution, interval, overlap AS wanted,
    rival_sha256 IS NOT NULL AS is_pair
FROM items WHERE active
ORDER BY triplet_id
"""
_SKIPS = """
SELECT item_id, COUNT(*) AS number FROM assignments WHERE state = 'skipped' GROUP BY item_id
"""
_COMMENTS = "SELECT item_id, COUNT(*) AS number FROM events WHERE kind IN ('comment', 'note') GROUP BY item_id"
_EXCLUDED = "SELECT item_id, COUNT(*) AS number FROM excluded_votes GROUP BY item_id"

SORT_KEYS = (
    "triplet_id", "source", "clip", "resolution", "interval", "status", "level", "votes", "wanted", "spread",
    "skipped", "flagged", "commented", "excluded", "motion", "score", "voted_at_us",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Items by triplet, and their votes (item_id, person) to filter by person and time.

    Attributes:
        items: One row per item of the present manifest: item_id, the columns of ``SORT_KEYS``, decided.
        votes: One row per counted vote: item_id, name, created_at_us.
    """

    items: pd.DataFrame
    votes: pd.DataFrame

    def select(self, selection: Selection) -> pd.DataFrame:
        """Return the items that are meant; with a person or a time, those with such a vote."""
        rows = chosen(self.items, selection)
        if not selection.of_votes:
            return rows
        fits = pd.Series(True, index=self.votes.index)
        if selection.person is not None:
            fits &= self.votes["name"] == selection.person
        if selection.since_us is not None:
            fits &= self.votes["created_at_us"] >= selection.since_us
        if selection.until_us is not None:
            fits &= self.votes["created_at_us"] < selection.until_us
        return rows[rows["item_id"].isin(self.votes[fits]["item_id"].unique())]


def read_table(connection: Connection, *, measures: pd.DataFrame) -> Table:
    """Return the desk's table.

    Args:
        connection: For reading.
        measures: motion and score by item id (index), of the manifest.
    """
    items = pd.DataFrame(connection.execute(text(_ITEMS)).all(), columns=_columns(_ITEMS_NAMES))
    votes = pd.DataFrame(connection.execute(text(_VOTES)).all(), columns=_columns(_VOTE_NAMES))
    names = {row.id: row.name for row in connection.execute(text("SELECT id, name FROM users"))}
    votes["name"] = votes["user_id"].map(names)
    excluded = pd.DataFrame(connection.execute(text(_EXCLUDED_VOTES)).all(), columns=_columns(_EXCLUDED_NAMES))
    excluded["name"] = excluded["user_id"].map(names)
    table = _with_votes(items, votes)
    for name, statement in (("skipped", _SKIPS), ("remarks", _COMMENTS), ("excluded", _EXCLUDED)):
        counts = {row.item_id: row.number for row in connection.execute(text(statement))}
        table[name] = table["item_id"].map(counts).fillna(0).astype(np.int64)
    table["commented"] += table.pop("remarks")
    table = table.join(measures, on="item_id")
    decided = {row["item_id"]: row for row in of_kind(connection, "verdict")}
    gold = read_gold(connection)
    table["decided"] = table["item_id"].map({item: float(row["level"]) for item, row in decided.items()})
    known = table["item_id"].map({item: float(one.level) for item, one in gold.items()})
    table["level"] = table["decided"].fillna(known).fillna(table["level"])
    seen_until = table["item_id"].map({item: row["id"] for item, row in decided.items()}).fillna(0)
    table["status"] = _status(table, seen_until, known.notna())
    return Table(table, pd.concat([votes, excluded])[["item_id", "name", "created_at_us"]])


_ITEMS_NAMES = "item_id triplet_id source clip resolution interval wanted is_pair"
_VOTE_NAMES = "item_id user_id level flagged created_at_us id commented"
_EXCLUDED_NAMES = "item_id user_id created_at_us"
_EXCLUDED_VOTES = "SELECT item_id, user_id, created_at_us FROM excluded_votes"


def _columns(names: str) -> list[str]:
    return names.split()


def _with_votes(items: pd.DataFrame, votes: pd.DataFrame) -> pd.DataFrame:
    codes = pd.Index(items["item_id"]).get_indexer(votes["item_id"]).astype(np.int64)
    levels = votes["level"].to_numpy(dtype=np.int64)
    counts = np.zeros((len(items), 4), dtype=np.int64)
    given = count_levels(codes, levels)
    counts[: len(given)] = given
    number = counts.sum(axis=1)
    present = counts > 0
    lowest, highest = present.argmax(axis=1) + 1, 4 - present[:, ::-1].argmax(axis=1)
    last_vote, last_time = np.zeros(len(items), dtype=np.int64), np.zeros(len(items), dtype=np.int64)
    np.maximum.at(last_vote, codes, votes["id"].to_numpy(dtype=np.int64))
    np.maximum.at(last_time, codes, votes["created_at_us"].to_numpy(dtype=np.int64))
    sums = {
        name: np.bincount(codes, votes[name].to_numpy(dtype=np.float64), len(items)).astype(np.int64)
        for name in ("flagged", "commented")
    }
    return items.assign(
        votes=number,
        level=np.where(number > 0, median_of_counts(counts), np.nan),
        spread=np.where(number > 0, highest - lowest, 0),
        last_vote=last_vote,
        voted_at_us=last_time,
        histogram=[row[: len(WORSE)] if pair else row for row, pair in zip(counts, items["is_pair"], strict=True)],
        **sums,
    )


def _status(table: pd.DataFrame, seen_until: pd.Series, is_gold: pd.Series) -> np.ndarray:
    """Return each item's status: the first that holds, from gold to open."""
    disputed = (table["spread"] >= SPREAD_TO_REVIEW) & (table["last_vote"] > seen_until)
    return np.select(
        [
            disputed,
            table["decided"].notna(),
            is_gold,
            table["votes"] >= table["wanted"],
            table["votes"] > 0,
        ],
        ["disputed", "decided", "gold", "complete", "begun"],
        default="open",
    )
