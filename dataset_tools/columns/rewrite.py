"""Changes a manifest as a stream: piece by piece into a new file that takes the old one's place when it is whole."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_tools.columns.file import ManifestFile, open_manifest
from dataset_tools.common.files import atomic_writer
from dataset_tools.common.parquet import ROWS_PER_GROUP, read_batches
from dataset_tools.errors import ManifestError
from dataset_tools.manifest import SCHEMA_VERSION, Manifest, conform, created_by, read_manifest

Change = Callable[[pa.Table], pa.Table]


def rewrite_manifest(
    path: Path, change: Change, *, metadata: Mapping[str, str | None] | None = None, out: Path | None = None
) -> ManifestFile:
    """Apply ``change`` to every piece of a manifest and return the manifest that is there afterwards.

    Memory holds a piece at a time (``ROWS_PER_GROUP`` rows). Each file is replaced atomically. Rows may be changed or
    dropped, not added.

    Args:
        change: Gets a table with every column of the schema, then the unknown ones; also called with no rows, to learn
            the columns that come out.
        metadata: Parquet metadata to add or replace; ``None`` removes a key.
        out: A file to write to instead; the manifest stays as it is.

    Raises:
        ManifestError: The manifest is damaged, or a ``triplet_id`` is null or repeated.
    """
    manifest = open_manifest(path)
    wanted = {"created_by": created_by(), **manifest.metadata, **(metadata or {}), "schema_version": SCHEMA_VERSION}
    known = {name: value for name, value in wanted.items() if value is not None}
    if out is not None and len(manifest.parts) > 1:
        whole = read_manifest(path)
        Manifest(out, change(whole.table), known).write()
        return open_manifest(out)
    for part in manifest.parts:
        try:
            _rewrite_part(part, out or part, change, root=manifest.root, names=manifest.names, metadata=known)
        except _UnsortedError:
            whole = read_manifest(part, root=manifest.root)
            Manifest(out or part, change(whole.table), known).write()
    return open_manifest(out or path)


class _UnsortedError(Exception):
    """Rows of a file that something else wrote are in another order."""


def _rewrite_part(
    part: Path, out: Path, change: Change, *, root: Path, names: tuple[str, ...], metadata: Mapping[str, str]
) -> None:
    last: str | None = None
    with atomic_writer(out) as file:
        writer: pq.ParquetWriter | None = None
        for piece in read_batches(part):
            table = conform(piece, part, extra=names)
            last = _check_order(table.column("triplet_id"), last, part)
            if writer is None:
                schema = change(table.slice(0, 0)).schema.with_metadata(dict(metadata))
                writer = pq.ParquetWriter(file, schema, compression="zstd")
            changed = change(table).cast(schema)
            if len(changed):
                writer.write_table(changed, row_group_size=ROWS_PER_GROUP)
        if writer is None:  # no rows
            empty = change(conform(pa.table({}), part, extra=names))
            writer = pq.ParquetWriter(file, empty.schema.with_metadata(dict(metadata)), compression="zstd")
        writer.close()


def _check_order(ids: pa.ChunkedArray, last: str | None, part: Path) -> str | None:
    """Check that ids rise strictly, also from the piece before, and return the last one."""
    if ids.null_count:
        raise ManifestError(f"manifest {part} has a row without triplet_id")
    if not len(ids):
        return last
    flat = ids.combine_chunks()
    before, after = flat.slice(0, len(flat) - 1), flat.slice(1)
    is_rising = (last is None or last < flat[0].as_py()) and pc.all(pc.less(before, after)).as_py() is not False
    if not is_rising:
        raise _UnsortedError
    return flat[len(flat) - 1].as_py()


def with_values(table: pa.Table, columns: Mapping[str, pa.ChunkedArray]) -> pa.Table:
    """Return ``table`` with columns replaced, or added at the end."""
    for name, values in columns.items():
        if name in table.column_names:
            place = table.column_names.index(name)
            known = table.schema.field(place)  # with its metadata
            table = table.set_column(place, known if known.type == values.type else name, values)
        else:
            table = table.append_column(name, values)
    return table


class Updates:
    """New values of some rows, by ``triplet_id``, to be laid over the pieces of a manifest."""

    def __init__(self, table: pa.Table) -> None:
        """Take the new values.

        Args:
            table: ``triplet_id`` and the columns to replace; of a row named twice the last counts.
        """
        numbered = table.append_column("_number", pa.array(np.arange(len(table))))
        ordered = numbered.sort_by([("triplet_id", "ascending"), ("_number", "ascending")])
        ids = ordered.column("triplet_id").combine_chunks()
        if len(ids) > 1:
            is_last = pc.not_equal(ids.slice(0, len(ids) - 1), ids.slice(1))
            ordered = ordered.filter(pa.concat_arrays([is_last, pa.array([True])]))
        self.table = ordered.drop_columns("_number").combine_chunks()
        self._ids = self.table.column("triplet_id").combine_chunks()
        self.names = [name for name in self.table.column_names if name != "triplet_id"]

    def align(self, piece: pa.Table) -> tuple[pa.Array, pa.Table]:
        """Return which rows of ``piece`` have new values, and those values along its rows (null for the others)."""
        ids = piece.column("triplet_id").combine_chunks()
        if not len(ids) or not len(self._ids):
            places = pa.nulls(len(ids), pa.int32())
        else:
            low, high = (self._bisect(ids[at].as_py()) for at in (0, len(ids) - 1))
            places = pc.index_in(ids, value_set=self._ids.slice(low, high + 1 - low))
            places = pc.add(places.cast(pa.int64()), low)
        return pc.is_valid(places), self.table.take(places)

    def over(self, piece: pa.Table, *, stays: pa.Array | None = None) -> pa.Table:
        """Return ``piece`` with the new values in place; rows for which ``stays`` holds keep the old ones."""
        is_new, new = self.align(piece)
        if stays is not None:
            is_new = pc.and_(is_new, pc.invert(stays))
        columns = {}
        for name in self.names:
            fresh = new.column(name)
            if name in piece.column_names:
                old = piece.column(name)
                columns[name] = _choose(is_new, fresh, old)
            else:
                columns[name] = fresh
        return with_values(piece, columns)

    def _bisect(self, name: str) -> int:
        low, high = 0, len(self._ids)
        while low < high:
            middle = (low + high) // 2
            if self._ids[middle].as_py() < name:
                low = middle + 1
            else:
                high = middle
        return low


def _choose(is_new: pa.Array, fresh: pa.ChunkedArray, old: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return ``fresh`` where ``is_new``, else ``old``; by taking, which works for every type."""
    kind = old.type
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    both = pa.chunked_array([*old.cast(plain).chunks, *fresh.cast(plain).chunks], type=plain)
    number = len(old)
    rows = pa.array(np.arange(number))
    taken = both.take(pc.if_else(is_new, pc.add(rows, number), rows))
    if pa.types.is_dictionary(kind):
        taken = taken.dictionary_encode()
    return taken if taken.type == kind else taken.cast(kind)
