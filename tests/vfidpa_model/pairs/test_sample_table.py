"""Samples kept as columns are the same, in the same order and with the same hash, as made row by row."""

import hashlib
import json
import pickle
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_tools.errors import ManifestError
from dataset_tools.manifest import from_rows
from vfidpa_model.pairs.pairs_hash import pairs_sha256
from vfidpa_model.pairs.sample import SAMPLE_COLUMNS, row_sample
from vfidpa_model.pairs.sample_table import SampleTable, numbers_of, of_split

ROOT = Path("/data")
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from(['a"b', "a\\b", "é", ""])
FLOATS = st.floats(0, 8, width=32)
VOTE = st.fixed_dictionaries(
    {
        "annotator": st.sampled_from(["ada", "bob"]),
        "level": st.integers(1, 4),
        "created_at": st.none() | st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    }
)
COLUMNS = {
    "triplet_id": NAMES,
    "source": st.sampled_from(["videos", "demo"]),
    "clip": NAMES,
    "split": st.sampled_from([None, "train", "val", "test"]),
    "resolution": st.sampled_from(["256p", "720p"]),
    "width": st.integers(64, 4000),
    "height": st.integers(64, 4000),
    "img0": st.none() | st.just("frames/a/0.png"),
    "img1": st.just("frames/a/1.png"),
    "img0_sha256": st.none() | st.just("a" * 64),
    "img1_sha256": st.just("b" * 64),
    "level": st.sampled_from([1.0, 2.0, 3.5, 4.0]) | st.floats(1, 4, width=32),
    "level_source": st.sampled_from(["human", "proxy", None]),
    "votes": st.none() | st.lists(VOTE, max_size=3),
    "inputs_lpips": st.none() | FLOATS,
    "motion": st.none() | FLOATS | st.just(np.inf),
}
# Rows as most are, which are hashed from columns; one with votes or a strange name sends its piece another way.
PLAIN = {**COLUMNS, "triplet_id": st.text("abc/-@ 0", min_size=1, max_size=12), "votes": st.none() | st.just([])}
ROWS = st.lists(st.fixed_dictionaries(COLUMNS), max_size=9) | st.lists(st.fixed_dictionaries(PLAIN), max_size=9)


def table_of(rows, *, pieces=1):
    """Return rows as a sample table, in several pieces, and as a list of samples."""
    stored = from_rows(ROOT / "m.parquet", rows).table
    every = max(1, -(-len(rows) // pieces))
    parts = [stored.slice(start, every) for start in range(0, max(len(stored), 1), every)]
    return SampleTable(ROOT, parts), [row_sample(ROOT, row) for row in stored.select(SAMPLE_COLUMNS).to_pylist()]


def written_at_once(samples):
    """The hash as it is defined: of one JSON list."""
    facts = [
        [s.triplet_id, s.split, s.img0_sha256, s.img1_sha256, s.level, s.distribution, s.inputs_lpips, s.motion]
        for s in samples
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, pieces=st.integers(1, 4))
def test_columns_and_rows_are_the_same(rows, pieces):
    rows = list({row["triplet_id"]: row for row in rows}.values())
    table, samples = table_of(rows, pieces=pieces)
    assert len(table) == len(samples)
    assert_same(list(table), samples)
    assert_same([table[place] for place in range(len(table))], samples)
    assert_same(pickle.loads(pickle.dumps(table))[:], samples)
    for split in ("train", "val", "test"):
        assert_same(list(table.of_split(split)), of_split(samples, split))
    for name in ("level", "inputs_lpips", "motion"):
        assert np.array_equal(table.numbers(name), numbers_of(samples, name), equal_nan=True)
    assert [str(ROOT / path) if path else f"{ROOT}/" for path in table.paths()] == [
        path for s in samples for path in (s.img0, s.img1)
    ]
    assert pairs_sha256(table) == pairs_sha256(samples) == written_at_once(samples)


def assert_same(found, samples):
    """NaN is not equal to itself; written out it is."""
    assert list(map(repr, found)) == list(map(repr, samples))


def row(**changes):
    plain = dict.fromkeys(SAMPLE_COLUMNS)
    named = {"triplet_id": "a/1", "source": "videos", "clip": "a", "resolution": "256p", "level_source": "proxy"}
    return {**plain, **named, "width": 456, "height": 256, "level": 2.0, **changes}


def test_negative_places_and_the_end_are_those_of_a_list():
    table, samples = table_of([row(triplet_id=f"a/{number}") for number in range(5)], pieces=2)
    assert_same([table[-1]], samples[-1:])
    for place in (5, -6):
        with pytest.raises(IndexError):
            table[place]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"level": 4.5}, r"triplet a/1: level \(4.5\) must be from 1 to 4"),
        ({"level": float("nan")}, r"triplet a/1: level \(nan\) must be from 1 to 4"),
        ({"width": 63}, r"triplet a/1: frames \(63x256\) must be 64 a side"),
        ({"height": None}, r"triplet a/1: frames \(456x0\) must be 64 a side"),
    ],
)
def test_what_no_training_can_use_is_refused(changes, words):
    with pytest.raises(ManifestError, match=words):
        table_of([row(triplet_id="a/0"), row(**changes)])
