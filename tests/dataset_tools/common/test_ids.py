"""Rows by ``triplet_id``: as PyArrow sorts them, in however many pieces they come; sorted ones are not copied."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_tools.common.ids import by_id


@settings(deadline=None, max_examples=100)
@given(
    pieces=st.lists(st.lists(st.one_of(st.none(), st.text("aé~\U0001f600/", max_size=2)), max_size=4), max_size=4),
    is_sorted=st.booleans(),
)
def test_rows_come_by_id(pieces, is_sorted):
    if is_sorted:
        names = iter(sorted(name for piece in pieces for name in piece if name is not None))
        pieces = [[name for name, _ in zip(names, piece, strict=False)] for piece in pieces]
    table = pa.table({"triplet_id": pa.chunked_array([pa.array(piece, pa.string()) for piece in pieces], pa.string())})
    assert by_id(table).equals(table.sort_by("triplet_id"))
    if is_sorted:
        assert by_id(table) is table
