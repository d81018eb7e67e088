"""Votes as a table, for consensus, statistics and export: one row per current vote, in the order they were given."""

import json
from typing import Any

import pandas as pd
from sqlalchemy import Connection, text

from labeling_app.annotation.pairing import WORSE
from labeling_app.database.events import to_datetime

# Seen for the first time, without help, and within the quota or as a hidden gold item: what a consensus may rest on.
COUNTED = ("work", "gold")

_VOTES = """
SELECT v.id AS event_id, v.item_id, i.item_key, i.triplet_id, i.source, i.resolution, i.interval, i.active,
    u.name AS annotator, v.stage, v.level, v.seconds, v.flagged, v.created_at_us, v.payload,
    i.rival_sha256 IS NOT NULL AS is_pair, i.predictor, i.rival_predictor
FROM current_votes v JOIN items i ON i.id = v.item_id JOIN users u ON u.id = v.user_id ORDER BY v.id
"""

# What people did or said beside votes. A skip that was taken back is none; verdicts come with their level.
_REMARKS = """
SELECT e.id AS event_id, e.item_id, i.item_key, i.triplet_id, i.source, i.resolution, i.interval, i.active,
    u.name AS annotator, e.kind AS stage, e.level, e.created_at_us, e.payload,
    i.rival_sha256 IS NOT NULL AS is_pair, i.predictor, i.rival_predictor
FROM events e JOIN items i ON i.id = e.item_id LEFT JOIN users u ON u.id = e.user_id
WHERE e.kind IN ('skip', 'comment', 'note', 'verdict')
    AND NOT EXISTS (SELECT 1 FROM events x WHERE x.kind = 'undo' AND x.target_id = e.id) ORDER BY e.id
"""

COLUMNS = (
    "event_id", "item_id", "item_key", "triplet_id", "source", "resolution", "interval", "active",
    "annotator", "stage", "level", "seconds", "flagged", "created_at_us", "payload",
    "is_pair", "predictor", "rival_predictor",
)  # fmt: skip

_OF_VOTES = ("seconds", "flagged")
_INNER = ["payload", "active", "created_at_us", "is_pair"]

TEXT_COLUMNS = (
    "item_key", "triplet_id", "source", "resolution", "annotator", "stage", "comment", "reason", "chosen_by", "mode",
    "dwell_seconds", "worse", "left", "predictor", "rival_predictor",
)  # fmt: skip
_NUMBERS = ("zoom", "device_pixel_ratio", "window_width", "window_height", "seen_share")


def read_votes(connection: Connection) -> pd.DataFrame:
    """Return all current votes (those without an undo), oldest first; ``payload`` is JSON text."""
    rows = [tuple(row) for row in connection.execute(text(_VOTES))]
    votes = pd.DataFrame(rows, columns=list(COLUMNS))
    types = {"event_id": "int64", "item_id": "int64", "level": "int64", "created_at_us": "int64", "interval": "int64"}
    return votes.astype({**types, "seconds": "float64", "flagged": "bool", "active": "bool", "is_pair": "bool"})


def read_remarks(connection: Connection) -> pd.DataFrame:
    """Return skips, comments and verdicts, oldest first, with their words as ``reason`` and ``comment``.

    ``stage`` is ``"skip"``, ``"comment"`` (an annotator's), ``"note"`` (from the desk) or ``"verdict"``.
    """
    found = connection.execute(text(_REMARKS)).mappings()
    rows = []
    for row in found:
        details = json.loads(row["payload"])
        words = {"reason": details.get("reason"), "comment": details.get("text") or details.get("comment")}
        rows.append({**row, **words})
    remarks = pd.DataFrame(rows, columns=[*(name for name in COLUMNS if name not in _OF_VOTES), "reason", "comment"])
    return remarks.astype({"event_id": "int64", "item_id": "int64", "level": "Int64", "created_at_us": "int64",
                           "interval": "int64", "active": "bool", "is_pair": "bool"})  # fmt: skip


def num_excluded(connection: Connection) -> int:
    """Return how many votes are set aside, on items of the present manifest."""
    query = "SELECT COUNT(*) FROM excluded_votes v JOIN items i ON i.id = v.item_id WHERE i.active"
    return connection.execute(text(query)).scalar_one()


def of_levels(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the votes or remarks that are about levels, not about pairs of predictions."""
    return rows[~rows["is_pair"]]


def counted(votes: pd.DataFrame) -> pd.DataFrame:
    """Return the votes that a consensus rests on: no training, no hidden repeat, no late surplus."""
    return votes[votes["stage"].isin(COUNTED)]


def long_table(votes: pd.DataFrame, remarks: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the table that leaves the toolkit: votes, then skips, comments and verdicts, with readable times.

    ``stage`` tells the rows apart; of those that are no votes ``level`` is empty, but for a verdict's. About a pair of
    predictions it is empty too, and ``worse`` says which of the two is worse.
    """
    rows = [_vote_rows(votes)] if remarks is None else [_vote_rows(votes), _remark_rows(remarks)]
    table = pd.concat(rows, ignore_index=True)
    table["created_at"] = pd.to_datetime(table["created_at"], utc=True).astype("datetime64[us, UTC]")
    # Whatever the votes hold: a column without a value must not change its type from one export to the next.
    types = dict.fromkeys(TEXT_COLUMNS, "string") | dict.fromkeys(_NUMBERS, "float64")
    types |= dict.fromkeys(("event_id", "item_id", "interval"), "int64")
    types |= {"level": "Int64", "seconds": "float64", "blind_correct": "boolean", "flagged": "boolean"}
    return table.astype(types)


def _remark_rows(remarks: pd.DataFrame) -> pd.DataFrame:
    times = [to_datetime(int(time_us)) for time_us in remarks["created_at_us"]]
    return _answers(remarks).drop(columns=_INNER).astype(object).assign(created_at=times)


def _answers(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with ``worse`` ("pred", "rival" or "same") in place of the level where they are about a pair."""
    worse = rows["level"].map(WORSE).where(rows["is_pair"])
    return rows.assign(level=rows["level"].astype("Int64").mask(rows["is_pair"]), worse=worse.astype(object))


def _vote_rows(votes: pd.DataFrame) -> pd.DataFrame:
    payloads: list[dict[str, Any]] = [json.loads(text) for text in votes["payload"]]
    views = [payload.get("view") or {} for payload in payloads]
    return (
        _answers(votes)
        .drop(columns=_INNER)
        .astype(object)
        .assign(
            created_at=[to_datetime(int(time_us)) for time_us in votes["created_at_us"]],
            comment=[payload.get("comment") for payload in payloads],
            reason=None,
            chosen_by=[payload.get("chosen_by") for payload in payloads],
            left=[payload.get("left") for payload in payloads],
            blind_correct=[payload.get("blind_correct") for payload in payloads],
            mode=[view.get("mode") for view in views],
            zoom=[view.get("zoom") for view in views],
            device_pixel_ratio=[view.get("device_pixel_ratio") for view in views],
            window_width=[view.get("window_width") for view in views],
            window_height=[view.get("window_height") for view in views],
            seen_share=[view.get("seen_share") for view in views],
            dwell_seconds=[json.dumps(view["dwell_seconds"]) if view.get("dwell_seconds") else None for view in views],
        )
    )
