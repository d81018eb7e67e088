"""The order of a manifest's rows: by ``triplet_id``, each once."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dataset_tools.errors import ManifestError


def by_id(table: pa.Table) -> pa.Table:
    """Return the rows sorted by ``triplet_id``; they mostly are, and sorting copies every column."""
    last: str | None = None
    for chunk in table.column("triplet_id").chunks:
        if not len(chunk):
            continue
        rises = pc.all(pc.less_equal(chunk.slice(0, len(chunk) - 1), chunk.slice(1))).as_py() is not False
        if chunk.null_count or not rises or (last is not None and last > chunk[0].as_py()):
            return table.sort_by("triplet_id")
        last = chunk[len(chunk) - 1].as_py()
    return table


def check_ids(path: Path, ids: pa.ChunkedArray) -> None:
    """Check sorted ids: none is null, none is there twice.

    Args:
        path: For messages.

    Raises:
        ManifestError: One is.
    """
    if ids.null_count:
        raise ManifestError(f"manifest {path} has a row without triplet_id")
    flat = ids.combine_chunks()
    is_double = pc.equal(flat.slice(0, max(0, len(flat) - 1)), flat.slice(1))
    if pc.any(is_double).as_py():
        double = flat.filter(pa.concat_arrays([is_double, pa.array([False])]))[0].as_py()
        raise ManifestError(f"manifest {path}: triplet_id {double!r} must be unique, found twice")
