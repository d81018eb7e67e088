"""What a long run has found so far: small files that are only ever added to, and go into the manifest at the end."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_tools.common.files import atomic_writer
from dataset_tools.common.parquet import open_part


class ResultsJournal:
    """Results of rows by ``triplet_id``, beside the manifest; ``flush`` makes what was added safe.

    A run that was killed loses what it had not flushed. Its files are found again by the next run.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        """Open the journal.

        Args:
            folder: Where its files lie; made when there is something to keep.
            schema: ``triplet_id`` and the columns of a result.
        """
        self._folder, self._schema = folder, schema
        self._waiting: list[Mapping[str, Any]] = []
        self._parts = sorted(folder.glob("[0-9]*.parquet")) if folder.is_dir() else []

    def __bool__(self) -> bool:
        return bool(self._parts or self._waiting)

    def add(self, triplet_id: str, result: Mapping[str, Any]) -> None:
        """Take a result; it is not safe yet."""
        self._waiting.append({**result, "triplet_id": triplet_id})

    def flush(self) -> None:
        """Write what was added since the last time to a file of its own."""
        if not self._waiting:
            return
        number = int(self._parts[-1].stem) + 1 if self._parts else 1
        path = self._folder / f"{number:06d}.parquet"
        with atomic_writer(path) as file:
            pq.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema), file, compression="zstd")
        self._parts.append(path)
        self._waiting = []

    def read(self) -> pa.Table:
        """Return all results, the older ones first."""
        tables: Sequence[pa.Table] = [_read(part).select(self._schema.names).cast(self._schema) for part in self._parts]
        return pa.concat_tables([self._schema.empty_table(), *tables])

    def clear(self) -> None:
        """Remove the files: the results are in the manifest."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._parts = []


def _read(part: Path) -> pa.Table:
    with open_part(part) as file:
        return file.read()
