"""What the desk reads: pages of its list, and everything about one item. The list is kept until something happens."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import pandas as pd
from sqlalchemy import Connection, text

from dataset_tools.errors import UsageError
from labeling_app.annotation.state import ServerState
from labeling_app.database.events import load, of_item, to_iso
from labeling_app.desk.selection import Selection
from labeling_app.desk.table import SORT_KEYS, Table, read_table

FRESH_SECONDS = 5.0

_HAPPENED = "SELECT COUNT(*) AS number, MAX(id) AS newest FROM events"
_VOTES = """
SELECT v.id, u.name, v.stage, v.level, v.seconds, v.flagged, v.created_at_us, v.payload, {excluded} AS excluded
FROM {view} v JOIN users u ON u.id = v.user_id WHERE v.item_id = :item_id
"""
_REMARKS = ("skip", "comment", "note", "verdict")


@dataclass
class _Kept:
    """The list as it was when so much had happened."""

    happened: tuple[int, ...] = ()
    version: tuple[int, int] = (-1, -1)
    read_at: float = 0.0  # monotonic seconds
    table: Table | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


_KEPT: WeakKeyDictionary[Any, _Kept] = WeakKeyDictionary()  # by store: one list per database


def read_measures(state: ServerState) -> pd.DataFrame:
    """Return motion and score of every item, by item id; NaN where the manifest has none."""
    catalogue = state.catalogue
    wanted = {info.triplet_id: item for item, info in catalogue.by_id.items()}
    columns = catalogue.manifest.table
    names = columns.column_names
    ids = [wanted.get(triplet) for triplet in columns["triplet_id"].to_pylist()]
    values = {name: columns[name].to_pylist() if name in names else [None] * len(ids) for name in ("motion", "score")}
    frame = pd.DataFrame({**values, "item_id": ids}).dropna(subset=["item_id"])
    return frame.astype({"motion": "float64", "score": "float64", "item_id": "int64"}).set_index("item_id")


def desk_table(state: ServerState, connection: Connection, *, exact: bool = True) -> Table:
    """Return the list; it is read anew only when something happened since.

    While many people vote, something always happens: without ``exact`` what is a few seconds old will do, except after
    a step at this desk.
    """
    kept, version = _KEPT.setdefault(state.store, _Kept()), (state.version, state.verdicts)
    with kept.lock:
        is_recent = time.monotonic() - kept.read_at < FRESH_SECONDS and kept.version == version
        if kept.table is not None and is_recent and not exact:
            return kept.table
        row = connection.execute(text(_HAPPENED)).one()
        happened = (row.number, row.newest or 0)
        if kept.table is None or kept.happened != happened or kept.version != version:
            kept.version = version
            kept.table = read_table(connection, measures=read_measures(state))
            kept.happened = happened
        kept.read_at = time.monotonic()
        return kept.table


def find_items(state: ServerState, connection: Connection, selection: Selection) -> list[int]:
    """Return the ids of the items that are meant."""
    return desk_table(state, connection).select(selection)["item_id"].tolist()


def page_of(
    table: Table, selection: Selection, *, sort: str, descending: bool, page: int, size: int
) -> tuple[list[dict[str, Any]], int, dict[str, int]]:
    """Return (rows of one page, how many items fit, how many of each status).

    Raises:
        UsageError: There is no such column to sort by.
    """
    if sort not in SORT_KEYS:
        raise UsageError(f"sort {sort!r} must be one of {', '.join(SORT_KEYS)}")
    fitting = table.select(selection)
    ordered = fitting.sort_values([sort, "triplet_id"], ascending=[not descending, True], kind="stable")
    rows = ordered.iloc[page * size : (page + 1) * size]
    statuses = {str(name): int(count) for name, count in fitting["status"].value_counts().items()}
    return as_rows(rows), len(fitting), statuses


def as_rows(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows of the table for the API: missing numbers as ``None``."""
    plain: list[dict[str, Any]] = []
    for row in rows.to_dict("records"):
        plain.append({str(key): None if _is_missing(value) else value for key, value in row.items()})
        plain[-1]["histogram"] = [int(count) for count in row["histogram"]]
    return plain


def votes_of(connection: Connection, item_id: int) -> list[dict[str, Any]]:
    """Return all votes on an item that were not taken back, oldest first, also those set aside."""
    found = []
    for view, excluded in (("current_votes", 0), ("excluded_votes", 1)):
        rows = connection.execute(text(_VOTES.format(view=view, excluded=excluded)), {"item_id": item_id}).mappings()
        for row in rows:
            details = load(row)
            found.append(
                {
                    "vote_id": row["id"],
                    "annotator": row["name"],
                    "stage": row["stage"],
                    "level": row["level"],
                    "created_at": to_iso(row["created_at_us"]),
                    "seconds": row["seconds"],
                    "flagged": bool(row["flagged"]),
                    "comment": details.get("comment"),
                    "excluded": bool(excluded),
                    "seen_share": (details.get("view") or {}).get("seen_share"),
                }
            )
    return sorted(found, key=lambda vote: vote["vote_id"])


def remarks_on(connection: Connection, item_id: int, names: dict[int, str]) -> list[dict[str, Any]]:
    """Return skips, comments and verdicts about an item, oldest first; a skip that was taken back is none."""
    rows = of_item(connection, item_id)
    undone = {row["target_id"] for row in rows if row["kind"] == "undo"}
    return [
        {
            "kind": row["kind"],
            "person": names.get(row["user_id"]),
            "text": _words(load(row)),
            "level": row["level"],
            "created_at": to_iso(row["created_at_us"]),
        }
        for row in rows
        if row["kind"] in _REMARKS and row["id"] not in undone
    ]


def _words(details: dict[str, Any]) -> str:
    return str(details.get("text") or details.get("reason") or details.get("comment") or "")


def _is_missing(value: Any) -> bool:
    return isinstance(value, float) and value != value


def names_of(connection: Connection, *, active: bool = False) -> dict[int, str]:
    """Return {account id: name} of all accounts, or of those not shut out, by name."""
    where = " WHERE NOT disabled" if active else ""
    rows: Sequence[Any] = connection.execute(text(f"SELECT id, name FROM users{where} ORDER BY name")).all()
    return {row.id: row.name for row in rows}
