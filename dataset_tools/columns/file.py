"""A manifest that is opened in no time: its columns are read when asked for, and only those."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dataset_tools.common.parquet import ROWS_PER_GROUP, find_parts, open_part, read_batches
from dataset_tools.common.remote import Folder
from dataset_tools.manifest import Manifest, check_header, conform, frames_folder, metadata_of, resolve


@dataclass(frozen=True)
class ManifestFile:
    """A manifest on disk.

    Attributes:
        path: The Parquet file, or the folder of a partitioned one; image paths are relative to its parent.
        parts: The files it consists of.
        names: Names of its columns as stored.
        metadata: As of ``Manifest``.
        num_rows: Over all parts.
    """

    path: Path
    parts: tuple[Path, ...]
    names: tuple[str, ...]
    metadata: dict[str, str]
    num_rows: int

    @property
    def root(self) -> Path:
        """The data set's folder: that of the manifest."""
        return self.path.parent

    @cached_property
    def frames(self) -> Folder:
        """Where the image files lie, which no path of the manifest may leave; see ``manifest.frames_folder``."""
        return frames_folder(self)

    def __len__(self) -> int:
        return self.num_rows

    def batches(
        self, columns: Sequence[str], *, where: pc.Expression | None = None, rows: int = ROWS_PER_GROUP
    ) -> Iterator[pa.Table]:
        """Yield the named columns in pieces of up to ``rows`` rows, in stored order; missing ones are null.

        Args:
            where: Keeps the rows for which it holds; may name only columns that are asked for.

        Raises:
            ManifestError: The file is damaged, a column has a wrong type, or an image path leaves the folder.
        """
        for part in self.parts:
            for piece in read_batches(part, list(columns), rows=rows):
                table = conform(piece, part, columns=columns, root=self.root)
                yield table if where is None else table.filter(where)

    def pieces(self, *, rows: int = ROWS_PER_GROUP) -> Iterator[pa.Table]:
        """Yield every column of the schema, then the unknown ones, in pieces of up to ``rows`` rows."""
        for part in self.parts:
            for piece in read_batches(part, rows=rows):
                yield conform(piece, part, root=self.root, extra=self.names)

    def read(self, columns: Sequence[str], *, where: pc.Expression | None = None) -> pa.Table:
        """Return the named columns as one table in stored order; see ``batches``."""
        pieces = list(self.batches(columns, where=where))
        if not pieces:
            return conform(pa.table({}), self.path, columns=columns, root=self.root)
        return pa.concat_tables(pieces).unify_dictionaries()

    def whole(self) -> Manifest:
        """Return all of it in memory, as ``read_manifest`` does: for small manifests."""
        from dataset_tools.manifest import read_manifest

        return read_manifest(self.path)


def open_manifest(path: Path) -> ManifestFile:
    """Open a manifest without reading its rows: a Parquet file, a partitioned one, or the folder that holds either.

    Raises:
        ManifestError: No such file, not Parquet, a newer major ``schema_version``, or no column ``triplet_id``.
    """
    path = resolve(path)
    parts = find_parts(path)
    names: dict[str, None] = {}
    metadata: dict[str, str] = {}
    num_rows = 0
    for part in parts:
        with open_part(part) as file:
            schema = file.schema_arrow
            check_header(schema, part)
            names.update(dict.fromkeys(schema.names))
            metadata = metadata or metadata_of(schema)
            num_rows += file.metadata.num_rows
    return ManifestFile(path, tuple(parts), tuple(names), metadata, num_rows)
