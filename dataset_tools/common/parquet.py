"""Which Parquet files a manifest consists of: one file, or a folder of them by source and resolution."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_tools.common.files import atomic_writer
from dataset_tools.common.remote import Folder
from dataset_tools.errors import ManifestError

ROWS_PER_GROUP = 1 << 17  # about 100 MB in memory: what a stream over a manifest holds at a time
_PART_NAME = "part-0.parquet"


def find_parts(path: Path) -> list[Path]:
    """Return the files of a manifest in order of their paths: itself, or all ``*.parquet`` in it when it is a folder.

    Raises:
        ManifestError: There is no such file, or the folder holds none.
    """
    if not path.is_dir():
        if not path.exists():
            raise ManifestError(f"manifest {path} does not exist")
        return [path]
    parts = sorted(part for part in path.rglob("*.parquet") if not _is_hidden(part.relative_to(path)))
    if not parts:
        raise ManifestError(f"manifest {path} is a folder without Parquet files; name data_manifest.parquet in it")
    return parts


def _is_hidden(relative: Path) -> bool:
    return any(name.startswith((".", "_")) for name in relative.parts)


def part_path(root: Path, source: str | None, resolution: str | None) -> Path:
    """Return where a partitioned manifest keeps the rows of one source and resolution (Hive's way of naming)."""
    return root / f"source={source or 'none'}" / f"resolution={resolution or 'none'}" / _PART_NAME


def write_partitioned(folder: Path, table: pa.Table) -> None:
    """Write a table as a folder of Parquet files, one for each source and resolution, each atomically.

    Which file a row belongs to follows from its ``triplet_id``, so a run that is killed in between leaves every row
    once, old or new.
    """
    written = set()
    keys = table.select(["source", "resolution"]).group_by(["source", "resolution"]).aggregate([]).to_pylist()
    for key in keys:
        masks = [
            pc.is_null(table.column(name)) if value is None else pc.equal(table.column(name).cast(pa.string()), value)
            for name, value in key.items()
        ]
        path = part_path(folder, key["source"], key["resolution"])
        with atomic_writer(path) as file:
            rows = table.filter(pc.and_(*masks)).unify_dictionaries()
            pq.write_table(rows, file, compression="zstd", row_group_size=ROWS_PER_GROUP)
        written.add(path)
    for path in folder.rglob("*.parquet"):
        if path not in written:
            path.unlink()
    for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        if not any(path.iterdir()):
            shutil.rmtree(path)


def open_part(part: Path) -> pq.ParquetFile:
    """Open one file of a manifest.

    Raises:
        ManifestError: It is not readable as Parquet.
    """
    try:
        # Buffering ahead would keep all pieces that were read until the file is closed: 2 GiB of ten million rows.
        return pq.ParquetFile(part, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"manifest {part} is not a readable Parquet file: {error}") from error


def read_batches(part: Path, columns: list[str] | None = None, *, rows: int = ROWS_PER_GROUP) -> Iterator[pa.Table]:
    """Yield the rows of one file in pieces, as they are stored.

    Args:
        columns: Those wanted; names that the file does not have are left out.

    Raises:
        ManifestError: It is damaged.
    """
    with open_part(part) as file:
        there = file.schema_arrow.names
        wanted = None if columns is None else [name for name in there if name in set(columns)]
        try:
            if wanted == []:  # Parquet gives no number of rows without a column
                wanted = there[:1]
            for batch in file.iter_batches(rows, columns=wanted):
                yield pa.Table.from_batches([batch])
        except (pa.ArrowException, OSError) as error:
            raise ManifestError(f"manifest {part} is not a readable Parquet file: {error}") from error


class Columns(Protocol):
    """A manifest, in memory or on disk: ``manifest.Manifest`` or ``columns.file.ManifestFile``."""

    @property
    def path(self) -> Path:
        """The Parquet file."""
        ...

    @property
    def root(self) -> Path:
        """The data set's folder."""
        ...

    @property
    def frames(self) -> Folder:
        """Where the image files lie."""
        ...

    def batches(
        self, columns: Sequence[str], *, where: pc.Expression | None = None, rows: int = ROWS_PER_GROUP
    ) -> Iterator[pa.Table]:
        """Yield the named columns in pieces."""
        ...


class Described(Protocol):
    """A manifest in memory or on disk."""

    @property
    def path(self) -> Path:
        """The Parquet file."""
        ...

    @property
    def metadata(self) -> dict[str, str]:
        """Its metadata."""
        ...
