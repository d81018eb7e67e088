"""Runs of rows that are equal in some columns, and keys that several owners have, beside plain counts."""

import itertools

import numpy as np
import pyarrow as pa
import pytest

from dataset_tools.columns.runs import runs_of_equal
from dataset_tools.sampling.near_frames import held_by_several


def test_runs_are_those_of_groupby():
    generator = np.random.default_rng(2)
    choose = [None, "", "a", "b\0c"]
    rows = [tuple(choose[place] for place in generator.integers(0, 4, 2)) for _ in range(500)]
    rows += rows[-1:] * 5
    table = pa.table({name: [row[at] for row in rows] for at, name in enumerate("xy")})
    table = table.set_column(0, "x", table.column("x").dictionary_encode())
    values, lengths = runs_of_equal(pa.concat_tables([table.slice(0, 100), table.slice(100)]), ["x", "y"])
    expected = [(key, len(list(run))) for key, run in itertools.groupby(rows)]
    assert list(zip(values, lengths.tolist(), strict=True)) == expected
    assert runs_of_equal(table.slice(0, 0), ["x", "y"])[0] == []


@pytest.mark.parametrize("number", [0, 1, 2, 3000])
def test_every_key_of_several_owners_is_kept_and_most_others_are_not(number):
    generator = np.random.default_rng(4)
    keys = generator.integers(0, 1 << 63, max(1, number // 2), np.uint64)[
        generator.integers(0, max(1, number // 2), number)
    ]
    keys = (keys * np.uint64(2)).astype(np.uint64)
    owners = generator.integers(0, 300, number).astype(np.int32)
    kept = held_by_several(keys, owners)
    several = np.array([len(set(owners[keys == key])) > 1 for key in keys], bool)
    assert kept[several].all()
    assert (kept & ~several).mean() < 0.25 if number > 3 else True
