"""By what a run knows its labelled pairs again: a hash of pixels, labels and splits, and of nothing else."""

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vfidpa_model.pairs.sample import Sample, level_distribution, row_sample
from vfidpa_model.pairs.sample_table import SampleTable, splits_of

_AT_ONCE = 1 << 14
_NEEDS_ESCAPES = r"[^ !#-\[\]-~]"  # in JSON: quotes, backslashes, control characters, all beyond ASCII


def pairs_sha256(samples: Sequence[Sample]) -> str:
    """Return the SHA-256 of what training and evaluation take from a manifest: pixels, labels and splits.

    It is of one JSON list with a list per sample. Other columns, rows without labels and the file's name do not count.
    """
    digest = hashlib.sha256(b"[")
    is_first = True
    for text in _table_facts(samples) if isinstance(samples, SampleTable) else _list_facts(samples):
        digest.update((b"" if is_first else b", ") + text)
        is_first = False
    digest.update(b"]")
    return digest.hexdigest()


def _list_facts(samples: Sequence[Sample]) -> Iterator[bytes]:
    for start in range(0, len(samples), _AT_ONCE):
        facts = [
            [s.triplet_id, s.split, s.img0_sha256, s.img1_sha256, s.level, s.distribution, s.inputs_lpips, s.motion]
            + ([s.gain] if s.gain else [])  # only there, so that runs on levels keep their hash
            for s in samples[start : start + _AT_ONCE]
        ]
        yield json.dumps(facts)[1:-1].encode()


def _table_facts(table: SampleTable) -> Iterator[bytes]:
    """Yield the same text from columns: no sample has to be made for it."""
    for piece in table.pieces:
        ids, splits = piece.column("triplet_id"), splits_of(piece)
        hashes = [piece.column(f"{frame}_sha256") for frame in ("img0", "img1")]
        has_votes = pc.any(pc.greater(pc.list_value_length(piece.column("votes")), 0)).as_py()
        if has_votes or any(_needs_escapes(column) for column in (ids, splits, *hashes)):
            yield from _list_facts([row_sample(table.root, row) for row in piece.to_pylist()])
            continue
        rows = pc.binary_join_element_wise(
            _quoted(ids), _quoted(splits), *map(_quoted, hashes), _labels(piece.column("level")),
            *(_numbers(piece.column(name)) for name in ("inputs_lpips", "motion")), ", ",
        )  # fmt: skip
        yield ("[" + "], [".join(rows.to_pylist()) + "]").encode()


def _needs_escapes(texts: pa.ChunkedArray) -> bool:
    return bool(pc.any(pc.match_substring_regex(texts, _NEEDS_ESCAPES)).as_py())


def _quoted(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.binary_join_element_wise('"', texts, '"', ""), "null")


def _labels(levels: pa.ChunkedArray) -> pa.Array:
    """Return level and distribution of rows without votes."""
    known, places = np.unique(levels.to_numpy(), return_inverse=True)
    texts = [json.dumps([level, level_distribution({}, level=level)])[1:-1] for level in known.tolist()]
    return pa.array(texts, pa.string()).take(pa.array(places))


def _numbers(values: pa.ChunkedArray) -> pa.Array:
    numbers = pc.fill_null(values, np.nan).to_numpy()
    texts = list(map(repr, numbers.tolist()))  # as JSON has it, but for what is no number
    for place in np.flatnonzero(~np.isfinite(numbers)):
        texts[place] = json.dumps(float(numbers[place]))
    return pa.array(texts, pa.string())
