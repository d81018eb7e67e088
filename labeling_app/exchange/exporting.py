"""What comes out: votes and consensus in the manifest, and the long table of all votes as Parquet and CSV."""

import io
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from dataset_tools.columns.rewrite import Updates
from dataset_tools.common.files import write_bytes, write_json
from dataset_tools.errors import ManifestError, VfiError
from dataset_tools.manifest import IMAGE_COLUMNS, SCHEMA, Manifest, read_manifest
from labeling_app.annotation.catalogue import Stamp, file_stamp, item_key
from labeling_app.annotation.gold import read_gold
from labeling_app.database.events import Event, append, now_us, of_kind, to_datetime, to_iso
from labeling_app.database.store import Store
from labeling_app.database.tables import events
from labeling_app.exchange.label_studio import to_tasks
from labeling_app.quality.consensus import consensus
from labeling_app.quality.pair_scores import PairScore, Prediction, read_pair_scores
from labeling_app.quality.votes import (
    TEXT_COLUMNS,
    counted,
    long_table,
    num_excluded,
    of_levels,
    read_remarks,
    read_votes,
)

ATTEMPTS = 5
_LABEL_COLUMNS = ("triplet_id", "level", "level_source", "num_annotations", "votes")
_SCORE_COLUMNS = ("score_pairs", "score_pairs_low", "score_pairs_high", "num_pairs")
_LABELLING = ("vote", "undo", "verdict", "gold", "exclude", "include")  # events that can change labels
_TOUCHED_ITEMS = """
SELECT DISTINCT i.item_key FROM events e JOIN items i ON i.id = e.item_id WHERE e.kind IN ('vote', 'verdict', 'gold')
"""


@dataclass(frozen=True)
class Exported:
    """What an export wrote: rows that have a level now, the votes behind them, and the stamp of the manifest read.

    ``excluded`` votes were set aside at the desk and are in no level. ``pairs`` rows have a score from pairs.
    """

    rows: int
    votes: int
    stamp: Stamp
    excluded: int = 0
    pairs: int = 0


def export_manifest(store: Store, path: Path, *, method: str, out: Path | None = None) -> Exported:
    """Write votes and consensus into the manifest at ``path`` (or a copy at ``out``) and return what was written.

    A reviewer's verdict, else a gold level, stands in place of the consensus. Rows that nobody ever voted on stay as
    they are; votes on pixels that a triplet no longer has stay in the database and in the long table.

    Raises:
        UsageError: Unknown method.
        ManifestError: The manifest cannot be read, or is written by something else again and again.
    """
    in_place = out is None or out.resolve() == path.resolve()
    for _ in range(ATTEMPTS):
        before = file_stamp(path)
        labelled, consensus_stamp = _labelled(store, read_manifest(path), method)
        if in_place and file_stamp(path) != before:
            continue  # an extraction wrote it meanwhile: its rows must not be lost
        labelled.write(out)
        stamp = file_stamp(path) if in_place else before
        log_export(store, {"to": "manifest", **consensus_stamp})
        counts = {name: consensus_stamp[name] for name in ("rows", "votes", "excluded", "pairs")}
        return Exported(stamp=stamp, **counts)
    raise ManifestError(f"manifest {path} is being written by something else; export again when that is done")


def _labelled(store: Store, manifest: Manifest, method: str) -> tuple[Manifest, dict[str, Any]]:
    """Return the manifest with levels and votes, and what its metadata says about them."""
    with store.read(snapshot=True) as connection:
        votes, excluded = of_levels(counted(read_votes(connection))), num_excluded(connection)
        decided = decided_levels(connection)
        touched = set(connection.execute(text(_TOUCHED_ITEMS)).scalars())
        scores = read_pair_scores(connection, decided)
    levels = dict(consensus(votes["item_key"], votes["annotator"], votes["level"], method=method).items())
    labelled, rows, num_votes = _with_labels(manifest, votes, levels | decided, touched)
    labelled, pairs = _with_scores(labelled, scores)
    stamp = {"method": method, "exported_at": to_iso(now_us()), "votes": num_votes, "rows": rows, "excluded": excluded}
    stamp["pairs"] = pairs
    labelled.metadata["consensus"] = json.dumps(stamp, sort_keys=True)
    return labelled, stamp


def export_table(store: Store, path: Path, *, bom: bool = False) -> int:
    """Write the long table of votes, skips and comments to ``path`` (.parquet, .csv) and return its number of rows."""
    table = read_long_table(store)
    write_bytes(path, table_bytes(table, csv=path.suffix.lower() == ".csv", bom=bom))
    log_export(store, {"to": path.suffix.lstrip(".") or "parquet", "votes": len(table)})
    return len(table)


def read_long_table(store: Store) -> pd.DataFrame:
    """Return the long table of all current votes, skips, comments and verdicts; votes set aside are not in it."""
    with store.read(snapshot=True) as connection:
        return long_table(read_votes(connection), read_remarks(connection))


def table_bytes(table: pd.DataFrame, *, csv: bool, bom: bool = False) -> bytes:
    """Return the long table as CSV (UTF-8; ``bom``: with the mark by which spreadsheets know it) or Parquet."""
    if csv:
        return _harmless(table).to_csv(index=False).encode("utf-8-sig" if bom else "utf-8")
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), sink, compression="zstd")
    return sink.getvalue()


def decided_levels(connection: Connection) -> dict[str, float]:
    """Return {item key: level} where a person decided: the newest verdict of a reviewer, else the gold level."""
    keys = {row.id: row.item_key for row in connection.execute(text("SELECT id, item_key FROM items"))}
    decided = {keys[item]: float(gold.level) for item, gold in read_gold(connection).items()}
    for row in of_kind(connection, "verdict"):
        decided[keys[row["item_id"]]] = float(row["level"])
    return decided


def watch(
    export: Callable[[], Exported],
    store: Store,
    manifest: Path,
    *,
    every_seconds: float,
    note: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Call ``export`` whenever votes have come or the manifest was written anew; runs until interrupted.

    The first export must succeed. Later a database that is away, or a manifest half copied, is noted and tried again.
    """
    seen: tuple[int, Stamp] | None = None
    while True:
        try:
            present = _num_changes(store), file_stamp(manifest)
            if present != seen:
                seen = present[0], export().stamp
        except (VfiError, OSError, DBAPIError) as error:
            if seen is None:
                raise
            words = error.orig if isinstance(error, DBAPIError) else error
            note(f"not exported, trying again in {every_seconds:g} s: {' '.join(str(words).split())}")
        sleep(every_seconds)


def _num_changes(store: Store) -> int:
    # Their number, not the newest id: PostgreSQL gives out ids before it commits, so a lower one may come later.
    with store.read() as connection:
        query = select(func.count()).select_from(events).where(events.c.kind.in_(_LABELLING))
        return connection.execute(query).scalar_one()


def log_export(store: Store, details: dict[str, Any], *, user_id: int | None = None) -> None:
    """Note an export in the log."""
    event = Event(kind="export", at_us=now_us(), user_id=user_id, payload=details)
    store.transact(lambda connection: append(connection, event))


def _with_labels(
    manifest: Manifest, votes: pd.DataFrame, levels: dict[str, float], touched: set[str]
) -> tuple[Manifest, int, int]:
    by_item = _votes_by_item(votes)
    columns: dict[str, list[Any]] = {name: [] for name in _LABEL_COLUMNS}
    for piece in manifest.batches(("triplet_id", *(f"{name}_sha256" for name in IMAGE_COLUMNS), "level_source")):
        for row in piece.to_pylist():
            key = item_key(row)
            level = levels.get(key)
            if key not in touched or (level is None and row["level_source"] != "human"):
                continue  # a proxy level outlives an undo
            given = by_item.get(key, [])
            new = (row["triplet_id"], level, None if level is None else "human", len(given), given)
            for column, value in zip(columns.values(), new, strict=True):
                column.append(value)
    arrays = {name: pa.array(values, _plain(SCHEMA.field(name).type)) for name, values in columns.items()}
    labelled = replace(manifest, table=Updates(pa.table(arrays)).over(manifest.table))
    rows = sum(level is not None for level in columns["level"])
    return labelled, rows, sum(columns["num_annotations"])


def _with_scores(manifest: Manifest, scores: Mapping[Prediction, PairScore | None]) -> tuple[Manifest, int]:
    """Return the manifest with the scores of its predictions, and how many rows have one now."""
    columns: dict[str, list[Any]] = {name: [] for name in ("triplet_id", *_SCORE_COLUMNS)}
    for piece in manifest.batches(("triplet_id", "gt_sha256", "pred_sha256")) if scores else []:
        for row in piece.to_pylist():
            prediction = (row["triplet_id"], row["gt_sha256"], row["pred_sha256"])
            if prediction not in scores:
                continue
            found = scores[prediction]
            new = (None, None, None, 0) if found is None else (found.score, found.low, found.high, found.answers)
            for column, value in zip(columns.values(), (row["triplet_id"], *new), strict=True):
                column.append(value)
    arrays = {name: pa.array(values, SCHEMA.field(name).type) for name, values in columns.items()}
    scored = replace(manifest, table=Updates(pa.table(arrays)).over(manifest.table))
    return scored, sum(score is not None for score in columns["score_pairs"])


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _votes_by_item(votes: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return the manifest's vote structs per item key; one pass, since pandas takes long over thousands of groups."""
    found: dict[str, list[dict[str, Any]]] = {}
    names = ["item_key", "annotator", "level", "created_at_us", "seconds", "flagged"]
    for key, annotator, level, time_us, seconds, flagged in zip(*(votes[name].tolist() for name in names), strict=True):
        vote = {
            "annotator": annotator,
            "level": level,
            "created_at": to_datetime(time_us),
            "seconds": None if math.isnan(seconds) else seconds,
            "flagged": flagged,
        }
        found.setdefault(key, []).append(vote)
    return found


def _harmless(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with texts that neither end a CSV row early nor are run by a spreadsheet as a formula."""

    def plain(words: pd.Series) -> pd.Series:
        words = words.str.replace(r"\r\n?", "\n", regex=True).str.replace("\x00", "", regex=False)
        return words.where(~words.str.match(r"[=+\-@\t\n]", na=False), "'" + words)  # the apostrophe makes it text

    return table.assign(**{name: plain(table[name]) for name in TEXT_COLUMNS})


def export_label_studio(store: Store, path: Path) -> int:
    """Write votes, skips, comments and verdicts as Label Studio JSON to ``path`` and return the number of tasks.

    Answers about pairs are not in it: its tasks hold one prediction.
    """
    with store.read(snapshot=True) as connection:
        tasks = to_tasks(of_levels(read_votes(connection)), of_levels(read_remarks(connection)))
    write_json(path, tasks)
    log_export(store, {"to": "label studio", "tasks": len(tasks)})
    return len(tasks)
