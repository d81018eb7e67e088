"""Rows of a piece in runs in which some columns stay equal: what holds for a clip is then asked once, not per row."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def runs_of_equal(piece: pa.Table, names: Sequence[str]) -> tuple[list[tuple[str | None, ...]], npt.NDArray[np.int64]]:
    """Return the values of each run of neighbours that are equal in columns of text, and how many rows it has."""
    plain = [piece.column(name).cast(pa.string()).combine_chunks() for name in names]
    if not len(piece):
        return [], np.empty(0, np.int64)
    is_start = np.zeros(len(piece), np.bool_)
    is_start[0] = True
    for values in plain:
        codes = pc.fill_null(values.dictionary_encode().indices, -1).to_numpy()
        is_start[1:] |= codes[1:] != codes[:-1]
    starts = np.flatnonzero(is_start)
    found = zip(*(values.take(pa.array(starts)).to_pylist() for values in plain), strict=True)
    return list(found), np.diff(np.append(starts, len(piece)))
