"""The masks over columns hold back every row in which the rules in words find a fault."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_tools.checks.hashing import first_64_bits, hash_strings
from dataset_tools.checks.rows import _row_faults, suspicious
from dataset_tools.manifest import from_rows

SOUND = {
    "triplet_id": "videos/a/0-1-2@256p",
    "source": "videos",
    "clip": "a",
    "resolution": "256p",
    "width": 400,
    "height": 256,
    "native_width": 800,
    "native_height": 512,
    "img0_index": 0,
    "gt_index": 1,
    "img1_index": 2,
    "interval": 1,
    "img0": "0.png",
    "gt": "1.png",
    "img1": "2.png",
    "split": "train",
    "level": 2.0,
    "level_source": "human",
    "votes": [{"annotator": "ada", "level": 2}, {"annotator": "ben", "level": 3}],
}
VOTE = {"annotator": st.sampled_from(["a", "b", None]), "level": st.sampled_from([0, 1, 4, 5, None])}
VALUES = {
    "source": st.sampled_from([None, "videos"]),
    "resolution": st.sampled_from([None, "256p", "720p", "4k"]),
    "height": st.sampled_from([None, 256, 720, 100]),
    "width": st.sampled_from([None, 400, 900]),
    "native_width": st.sampled_from([None, 100, 800]),
    "native_height": st.sampled_from([None, 100, 256, 512]),
    "gt_index": st.sampled_from([None, 0, 1, 5]),
    "interval": st.sampled_from([None, 1, 4]),
    "split": st.sampled_from([None, "val", "dev"]),
    "level": st.sampled_from([None, 0.5, 1.0, 4.0, 4.5, float("nan")]),
    "level_source": st.sampled_from([None, "human", "proxy", "guess"]),
    "pred": st.sampled_from([None, "p.png"]),
    "predictor": st.sampled_from([None, "rife"]),
    "votes": st.none() | st.lists(st.none() | st.fixed_dictionaries(VOTE), max_size=3),
}


@settings(max_examples=300, deadline=None)
@given(changes=st.lists(st.fixed_dictionaries({}, optional=VALUES), min_size=1, max_size=6))
def test_no_fault_passes_the_mask(changes):
    rows = [{**SOUND, **change, "triplet_id": f"{number}"} for number, change in enumerate(changes)]
    manifest = from_rows(None, rows)
    held = suspicious(manifest.table).to_pylist()
    faulty = [bool(list(_row_faults(row))) for row in manifest.rows()]
    assert all(mask or not fault for mask, fault in zip(held, faulty, strict=True))


def test_sound_rows_pass_the_mask():
    rows = [
        {**SOUND, "triplet_id": f"{number}", "votes": votes} for number, votes in enumerate(([], None, SOUND["votes"]))
    ]
    assert suspicious(from_rows(None, rows).table).to_pylist() == [False] * 3


@given(st.lists(st.text(max_size=9), max_size=40), st.integers(0, 5))
def test_strings_share_a_number_exactly_when_they_are_equal(texts, start):
    numbers = hash_strings(pa.array(texts, pa.string())[start:])
    texts = texts[start:]
    for one, first in zip(texts, numbers, strict=True):
        assert all((first == second) == (one == other) for other, second in zip(texts, numbers, strict=True))


def test_the_first_bits_of_a_hash():
    digits = ["0123456789abcdef" + "0" * 48, "f" * 64, "00000000000000ff" + "1" * 48]
    expected = np.array([int(text[:16], 16) for text in digits], np.uint64)
    assert (first_64_bits(pa.array(digits)) == expected).all()
    assert (first_64_bits(pa.array(digits)[1:]) == expected[1:]).all()
