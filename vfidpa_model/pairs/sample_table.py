"""Millions of samples as the columns they came in: a ``Sample`` is made when it is asked for."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_tools.common.remote import Folder
from dataset_tools.levels import LEVELS
from vfidpa_model.networks.config import SMALLEST_SIDE
from vfidpa_model.pairs.sample import SAMPLE_COLUMNS, Sample, row_sample

Numbers = npt.NDArray[np.float64]


class SampleTable(Sequence[Sample]):
    """The labelled rows of a manifest, in its order, without an object each.

    Attributes:
        root: Where the image files lie.
        pieces: The rows, tables with ``SAMPLE_COLUMNS``, none empty.
    """

    def __init__(self, root: Folder, pieces: Sequence[pa.Table]) -> None:
        """Take labelled rows.

        Args:
            root: Where the image files lie.
            pieces: Tables with ``SAMPLE_COLUMNS``.

        Raises:
            ManifestError: A level is off the scale, or frames are too small.
        """
        self.root = root
        self.pieces = [piece.select(list(SAMPLE_COLUMNS)).combine_chunks() for piece in pieces if len(piece)]
        self._ends = np.cumsum([len(piece) for piece in self.pieces]).tolist()
        for piece in self.pieces:
            unfit = piece.filter(pc.invert(_is_fit(piece)))
            for row in unfit.slice(0, 1).to_pylist():
                row_sample(root, row)  # says what is wrong

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        """Return a sample, or a list of them."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]  # negative ones, and what is beyond the end
        number = bisect_right(self._ends, place)
        piece = self.pieces[number]
        return row_sample(self.root, piece.slice(place - self._ends[number] + len(piece), 1).to_pylist()[0])

    def __iter__(self) -> Iterator[Sample]:
        for piece in self.pieces:
            for row in piece.to_pylist():
                yield row_sample(self.root, row)

    def of_split(self, split: str) -> "SampleTable":
        """Return the samples of a split; a row that was never split is for training."""
        return SampleTable(self.root, [piece.filter(pc.equal(splits_of(piece), split)) for piece in self.pieces])

    def numbers(self, name: str) -> Numbers:
        """Return ``level``, ``inputs_lpips`` or ``motion`` of all samples, (N,), NaN where unknown."""
        columns = [piece.column(name).to_numpy().astype(np.float64) for piece in self.pieces]
        return np.concatenate([np.zeros(0), *columns])

    def paths(self) -> Iterator[str]:
        """Yield the image files, img0 and img1 of each sample, as the manifest says them."""
        for piece in self.pieces:
            for pair in zip(piece.column("img0").to_pylist(), piece.column("img1").to_pylist(), strict=True):
                yield from (path or "" for path in pair)


def of_split(samples: Sequence[Sample], split: str) -> Sequence[Sample]:
    """Return the samples of a split, in their order."""
    if isinstance(samples, SampleTable):
        return samples.of_split(split)
    return [sample for sample in samples if sample.split == split]


def numbers_of(samples: Sequence[Sample], name: str) -> Numbers:
    """Return ``level``, ``inputs_lpips`` or ``motion`` of all samples, (N,), NaN where unknown."""
    if isinstance(samples, SampleTable):
        return samples.numbers(name)
    return np.asarray([getattr(sample, name) for sample in samples], dtype=np.float64)


def splits_of(piece: pa.Table) -> pa.ChunkedArray:
    """Return the split of each row of a piece."""
    named = pc.fill_null(piece.column("split").cast(pa.string()), "")
    return pc.if_else(pc.equal(named, ""), "train", named)


def _is_fit(piece: pa.Table) -> pa.ChunkedArray:
    level, width, height = (piece.column(name) for name in ("level", "width", "height"))
    is_on = pc.and_(pc.greater_equal(level, LEVELS[0]), pc.less_equal(level, LEVELS[-1]))
    is_large = pc.and_(pc.greater_equal(width, SMALLEST_SIDE), pc.greater_equal(height, SMALLEST_SIDE))
    return pc.and_(pc.fill_null(is_on, False), pc.fill_null(is_large, False))
