"""Votes as a table, for consensus, statistics and export: one row per current vote, in the order they were given."""

import json
from typing import Any

import pandas as pd
from sqlalchemy import Connection, text

from labeling_app.database.events import to_datetime

# Seen for the first time, without help, and within the quota or as a hidden gold item: what a consensus may rest on.
COUNTED = ("work", "gold")

_VOTES = """
SELECT v.id AS event_id, v.item_id, i.item_key, i.triplet_id, i.source, i.resolution, i.interval, i.active,
    u.name AS annotator, v.stage, v.level, v.seconds, v.flagged, v.created_at_us, v.payload
FROM current_votes v JOIN items i ON i.id = v.item_id JOIN users u ON u.id = v.user_id ORDER BY v.id
"""

COLUMNS = (
    "event_id", "item_id", "item_key", "triplet_id", "source", "resolution", "interval", "active",
    "annotator", "stage", "level", "seconds", "flagged", "created_at_us", "payload",
)  # fmt: skip

TEXT_COLUMNS = (
    "item_key", "triplet_id", "source", "resolution", "annotator", "stage", "comment", "chosen_by", "mode",
    "dwell_seconds",
)  # fmt: skip
_NUMBERS = ("zoom", "device_pixel_ratio", "window_width", "window_height")


def read_votes(connection: Connection) -> pd.DataFrame:
    """Return all current votes (those without an undo), oldest first; ``payload`` is JSON text."""
    rows = [tuple(row) for row in connection.execute(text(_VOTES))]
    votes = pd.DataFrame(rows, columns=list(COLUMNS))
    types = {"event_id": "int64", "item_id": "int64", "level": "int64", "created_at_us": "int64", "interval": "int64"}
    return votes.astype({**types, "seconds": "float64", "flagged": "bool", "active": "bool"})


def counted(votes: pd.DataFrame) -> pd.DataFrame:
    """Return the votes that a consensus rests on: no training, no hidden repeat, no late surplus."""
    return votes[votes["stage"].isin(COUNTED)]


def long_table(votes: pd.DataFrame) -> pd.DataFrame:
    """Return the table of votes that leaves the toolkit: readable times, comment and view as columns of their own."""
    payloads: list[dict[str, Any]] = [json.loads(text) for text in votes["payload"]]
    views = [payload.get("view") or {} for payload in payloads]
    table = votes.drop(columns=["payload", "active", "created_at_us"]).assign(
        created_at=[to_datetime(int(time_us)) for time_us in votes["created_at_us"]],
        comment=[payload.get("comment") for payload in payloads],
        chosen_by=[payload.get("chosen_by") for payload in payloads],
        blind_correct=[payload.get("blind_correct") for payload in payloads],
        mode=[view.get("mode") for view in views],
        zoom=[view.get("zoom") for view in views],
        device_pixel_ratio=[view.get("device_pixel_ratio") for view in views],
        window_width=[view.get("window_width") for view in views],
        window_height=[view.get("window_height") for view in views],
        dwell_seconds=[json.dumps(view["dwell_seconds"]) if view.get("dwell_seconds") else None for view in views],
    )
    table["created_at"] = pd.to_datetime(table["created_at"], utc=True).astype("datetime64[us, UTC]")
    # Whatever the votes hold: a column without a value must not change its type from one export to the next.
    return table.astype(
        {**dict.fromkeys(TEXT_COLUMNS, "string"), **dict.fromkeys(_NUMBERS, "float64"), "blind_correct": "boolean"}
    )
