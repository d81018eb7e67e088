"""A consistent copy of the database as one SQLite file, while the server goes on."""

import os
import sqlite3
from pathlib import Path

from dataset_tools.errors import UsageError, VfiError
from labeling_app.database.copying import copy_database
from labeling_app.database.store import Store


class BackupError(VfiError):
    """The copy could not be made or is not whole."""


def backup(store: Store, path: Path) -> int:
    """Write the database to ``path`` and return its size in bytes; the file appears only when it is whole.

    SQLite copies its own pages (online backup); PostgreSQL is read from one snapshot and its hashes are compared.

    Raises:
        UsageError: ``path`` exists.
        BackupError: The disk is full, or SQLite's integrity check fails on the copy.
    """
    if path.exists():
        raise UsageError(f"backup {path} exists; name a new file")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if store.is_sqlite:
            _copy_pages(store, partial)
        else:
            copy = Store(f"sqlite:///{partial.resolve()}")
            try:
                copy_database(store, copy)
            finally:
                copy.close()
        _seal(partial)
        os.replace(partial, path)
    except sqlite3.Error as error:
        raise BackupError(f"cannot write backup {path}: {error}") from error
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            partial.with_name(partial.name + suffix).unlink(missing_ok=True)
    return path.stat().st_size


def _copy_pages(store: Store, target: Path) -> None:
    raw = store.engine.raw_connection()
    copy = sqlite3.connect(target)
    try:
        raw.driver_connection.backup(copy)  # type: ignore[union-attr]
    finally:
        copy.close()
        raw.close()


def _seal(path: Path) -> None:
    """Fold the write-ahead log into the file, check it, and bring it to disk."""
    copy = sqlite3.connect(path)
    try:
        copy.execute("PRAGMA journal_mode = DELETE")
        answer = copy.execute("PRAGMA integrity_check").fetchone()[0]
    finally:
        copy.close()
    if answer != "ok":
        raise BackupError(f"backup {path} is damaged: {answer}")
    with path.open("rb+") as file:
        os.fsync(file.fileno())
