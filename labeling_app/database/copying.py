"""Copying a whole database into another, SQLite or PostgreSQL, in either direction, and proving that it arrived."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text

from dataset_tools.errors import VfiError
from labeling_app.database.events import dump
from labeling_app.database.store import Store
from labeling_app.database.tables import COPY_ORDER, items

CHUNK_ROWS = 2000


class CopyingError(VfiError):
    """The target is not empty, or the copy differs from the source."""


@dataclass(frozen=True)
class TableDigest:
    """What a table holds: its number of rows, and a SHA-256 over all of them in order of their key."""

    rows: int
    sha256: str


def copy_database(
    source: Store, target: Store, *, note: Callable[[str], None] = lambda _: None
) -> dict[str, TableDigest]:
    """Copy everything from ``source`` into the empty ``target`` and return what each table holds.

    The source is read from one snapshot, so it may go on serving (what comes later is not in the copy). The target is
    written in one transaction: on any difference nothing of it remains.

    Raises:
        MigrateError: The target holds data, or a table's rows or hash differ after copying.
    """
    with source.read(snapshot=True) as reading, target.write() as writing:
        for table in COPY_ORDER:
            if writing.execute(select(func.count()).select_from(table)).scalar_one():
                raise CopyingError(f"target {target.engine.url!r} must be empty; its table {table.name} holds rows")
        copied = {}
        for table in COPY_ORDER:
            for chunk in _chunks(reading, table):
                # The triggers on assignments count the taken places up again; the hashes then prove the count.
                writing.execute(insert(table), [{**row, "taken": 0} for row in chunk] if table is items else chunk)
            copied[table.name] = digest(reading, table)
            note(f"{table.name}: {copied[table.name].rows} rows, sha256 {copied[table.name].sha256[:16]}")
        for table in COPY_ORDER:
            arrived = digest(writing, table)
            if arrived != copied[table.name]:
                raise CopyingError(f"table {table.name} differs after copying: {arrived} is not {copied[table.name]}")
        _set_sequences(writing)
    return copied


def digest(connection: Connection, table: Table) -> TableDigest:
    """Return the number of rows of a table and the hash of their contents, the same on both databases."""
    rows, sha256 = 0, hashlib.sha256()
    for chunk in _chunks(connection, table):
        for row in chunk:
            rows += 1
            sha256.update(dump(row).encode() + b"\n")
    return TableDigest(rows, sha256.hexdigest())


def _chunks(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    (key,) = table.primary_key.columns
    last: Any = None
    while True:
        query = select(table).order_by(key).limit(CHUNK_ROWS)
        if last is not None:
            query = query.where(key > last)
        chunk = [dict(row) for row in connection.execute(query).mappings()]
        if not chunk:
            return
        yield chunk
        last = chunk[-1][key.name]


def _set_sequences(connection: Connection) -> None:
    """Let PostgreSQL number new rows after the copied ones."""
    if connection.dialect.name != "postgresql":
        return
    for name in ("users", "items", "assignments", "asked", "events"):
        following = f"(SELECT COALESCE(MAX(id), 0) + 1 FROM {name})"
        connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), {following}, false)"))
