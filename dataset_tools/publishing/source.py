"""A manifest on its way out: annotators are numbered, not named, and what a publisher says of it comes along."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataset_tools.columns.file import ManifestFile
from dataset_tools.common.parquet import ROWS_PER_GROUP
from dataset_tools.common.remote import Folder
from dataset_tools.manifest import FRAMES_ROOT, VOTE, conform


@dataclass(frozen=True)
class Outgoing:
    """A manifest whose votes name ``annotator-1``, ``annotator-2``, ... by their first vote.

    Attributes:
        license: SPDX name or ``other``.
        pretty_name: Title.
        with_hashes: Whether hashes and fingerprints go along.
    """

    manifest: ManifestFile
    license: str = "other"
    pretty_name: str = "Frame triplets"
    with_hashes: bool = True

    @property
    def path(self) -> Path:
        """The manifest's file."""
        return self.manifest.path

    @property
    def root(self) -> Path:
        """The data set's folder."""
        return self.manifest.root

    @property
    def frames(self) -> Folder:
        """Where the image files lie."""
        return self.manifest.frames

    @property
    def metadata(self) -> dict[str, str]:
        """The manifest's metadata; where the frames of this copy lie is nobody else's."""
        return {name: value for name, value in self.manifest.metadata.items() if name != FRAMES_ROOT}

    def __len__(self) -> int:
        return len(self.manifest)

    @cached_property
    def schema(self) -> pa.Schema:
        """Every column of the schema, then the unknown ones."""
        for piece in self.manifest.pieces(rows=1):
            return piece.schema
        return conform(pa.table({}), self.path).schema

    @cached_property
    def sources(self) -> list[str]:
        """The kinds of source that rows are from."""
        found: set[str] = set()
        for piece in self.manifest.batches(["source"]):
            found.update(name for name in piece.column("source").unique().to_pylist() if name)
        return sorted(found)

    @cached_property
    def numbers(self) -> dict[str | None, int]:
        """Annotator to number."""
        firsts: dict[str | None, Any] = {}
        for piece in self.manifest.batches(["votes"]):
            flat = pc.list_flatten(piece.column("votes")).combine_chunks().drop_null()
            for name, moment in zip(
                flat.field("annotator").to_pylist(), flat.field("created_at").to_pylist(), strict=True
            ):
                if name not in firsts or (moment is not None and (firsts[name] is None or moment < firsts[name])):
                    firsts[name] = moment
        ordered = sorted(firsts, key=lambda name: (firsts[name] is None, firsts[name] or 0, str(name)))
        return {name: number for number, name in enumerate(ordered, start=1)}

    def batches(
        self, columns: Sequence[str], *, where: pc.Expression | None = None, rows: int = ROWS_PER_GROUP
    ) -> Iterator[pa.Table]:
        """Yield columns in pieces, annotators numbered."""
        for piece in self.manifest.batches(columns, where=where, rows=rows):
            yield self._renamed(piece)

    def pieces(self) -> Iterator[pa.Table]:
        """Yield all columns in pieces, annotators numbered."""
        for piece in self.manifest.pieces():
            yield self._renamed(piece)

    def _renamed(self, piece: pa.Table) -> pa.Table:
        if "votes" not in piece.column_names:
            return piece
        place = piece.column_names.index("votes")
        chunks = [number_votes(chunk, self.numbers) for chunk in piece.column("votes").chunks]
        return piece.set_column(place, "votes", pa.chunked_array(chunks, pa.list_(VOTE)))


def number_votes(votes: pa.Array, numbers: dict[str | None, int]) -> pa.Array:
    """Return lists of votes with numbered annotators."""
    flat = pc.list_flatten(votes)
    named = [f"annotator-{numbers[name]}" if name in numbers else None for name in flat.field("annotator").to_pylist()]
    parts = [pa.array(named, pa.string()), *(flat.field(part.name) for part in list(VOTE)[1:])]
    renamed = pa.StructArray.from_arrays(parts, fields=list(VOTE), mask=pc.is_null(flat))
    lengths = pc.fill_null(pc.list_value_length(votes), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, renamed, type=pa.list_(VOTE), mask=pc.is_null(votes))
