"""Sampling, allocation and splits: pure arithmetic."""

import collections
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_tools.errors import UsageError
from dataset_tools.sampling.allocation import Supply, allocate
from dataset_tools.sampling.splits import assign_splits, parse_split, split_of
from dataset_tools.sampling.triplets import Triplet, clip_seed, count_triplets, fitting_intervals, sample_triplets


@pytest.mark.parametrize(
    ("num_frames", "intervals", "expected", "number"),
    [
        (2, (1, 16), None, 0),
        (3, (1, 16), (1, 1), 1),
        (7, (1, 3), (1, 3), 5 + 3 + 1),
        (7, (1, 16), (1, 3), 9),
        (100, (1, 16), (1, 16), sum(100 - 2 * step for step in range(1, 17))),
        (9, (4, 8), (4, 4), 1),
        (8, (4, 8), None, 0),
    ],
)
def test_fitting_intervals(num_frames, intervals, expected, number):
    assert fitting_intervals(num_frames, intervals) == expected
    assert count_triplets(num_frames, intervals) == number


@settings(max_examples=50, deadline=None)
@given(num_frames=st.integers(0, 40), low=st.integers(1, 5), more=st.integers(0, 12), seed=st.integers(0, 2**64 - 1))
def test_every_triplet_once_and_inside(num_frames, low, more, seed):
    found = list(sample_triplets(num_frames, intervals=(low, low + more), seed=seed))
    assert len(found) == len(set(found)) == count_triplets(num_frames, (low, low + more))
    for triplet in found:
        assert triplet.img0 >= 0
        assert triplet.img1 < num_frames
        assert triplet.gt - triplet.img0 == triplet.img1 - triplet.gt == triplet.interval
        assert low <= triplet.interval <= low + more
    assert found == list(sample_triplets(num_frames, intervals=(low, low + more), seed=seed))


def test_intervals_are_log_uniform_and_positions_spread():
    found = list(itertools.islice(sample_triplets(5000, intervals=(1, 15), seed=3), 800))
    octaves = collections.Counter(triplet.interval.bit_length() for triplet in found)
    assert set(octaves) == {1, 2, 3, 4}
    assert all(abs(number - 200) <= 10 for number in octaves.values())
    quarters = collections.Counter(triplet.img0 * 4 // 5000 for triplet in found)
    assert all(abs(number - 200) <= 20 for number in quarters.values())


def test_a_few_triplets_already_differ_in_interval():
    for clip in "abcdefgh":
        first = list(itertools.islice(sample_triplets(300, intervals=(1, 16), seed=clip_seed(7, "videos", clip)), 4))
        assert len({triplet.interval for triplet in first}) >= 3


def test_triplet_indices():
    assert Triplet(4, 3).indices == (4, 7, 10)


def _supply(clip, tiers, source="videos", frames=100, **known):
    return Supply(
        (source, clip), tuple(tiers.split()), fair=frames // 3, limit=count_triplets(frames, (1, 16)), **known
    )


FOUR = [_supply("a", "256p 720p 1080p"), _supply("b", "256p 720p"), _supply("c", "256p 720p"), _supply("d", "256p")]


@pytest.mark.parametrize(
    ("supplies", "count", "expected"),
    [
        (FOUR, 60, {"a": 10, "b": 5, "c": 5, "d": 10}),  # 10 + 20 + 30 rows at 1080p, 720p, 256p
        (FOUR, 1, {"a": 1}),
        ([_supply("a", "256p", frames=9), _supply("b", "256p")], 20, {"a": 3, "b": 17}),  # fair share first
        ([_supply("a", "256p", frames=7)], 100, {"a": 9}),  # then all there is
        ([_supply(f"{n}", "256p", "vimeo90k", frames=3) for n in range(10)] + [_supply("x", "256p 720p")], 12, None),
    ],
)
def test_allocate_is_even(supplies, count, expected):
    shares = allocate(supplies, count=count, max_static=0.02, seed=1)
    numbers = {key[1]: len(share.ranks) for key, share in shares.items()}
    if expected is None:
        expected = {**numbers, "x": 4}  # one-tier clips and the two-tier clip take turns
        assert sum(numbers.values()) == 8
    assert numbers == expected


def test_allocate_fills_the_count_exactly():
    for count in range(1, 25):
        shares = allocate(FOUR, count=count, max_static=0, seed=1)
        tiers = {supply.key: supply.tiers for supply in FOUR}
        rows = sum(
            len(tiers[key]) * len(share.ranks) - (len(tiers[key]) - len(share.last_tiers) if share.last_tiers else 0)
            for key, share in shares.items()
        )
        assert rows == count


def test_allocate_caps_static_triplets_and_goes_on_elsewhere():
    still = _supply("still", "256p", statics=(True,) * 50, is_exhausted=True)
    lively = _supply("lively", "256p", statics=(False,) * 300)
    shares = allocate([still, lively], count=100, max_static=0.02, seed=1)
    assert {key[1]: len(share.ranks) for key, share in shares.items()} == {"still": 2, "lively": 98}
    assert "still" not in {key[1] for key in allocate([still, lively], count=40, max_static=0.02, seed=1)}


def test_a_larger_count_keeps_what_a_smaller_one_took():
    small, large = (allocate(FOUR, count=count, max_static=0, seed=5) for count in (30, 90))
    assert all(share.ranks == large[key].ranks[: len(share.ranks)] for key, share in small.items())


def test_split_shares_hold_over_many_groups():
    """Within three standard deviations of the share, over 4,000 groups."""
    number, shares = 4000, (0.7, 0.1, 0.2)
    groups = {("videos", f"{index}.mp4"): f"videos/{index}.mp4" for index in range(number)}
    splits = assign_splits(groups, shares=shares, seed=3, official={}, fixed={}).by_clip
    counts = collections.Counter(splits.values())
    for name, share in zip(("train", "val", "test"), shares, strict=True):
        assert abs(counts[name] - share * number) < 3 * (share * (1 - share) * number) ** 0.5
    some = dict(list(groups.items())[::7])
    assert assign_splits(some, shares=shares, seed=3, official={}, fixed={}).by_clip == {
        key: splits[key] for key in some
    }


@pytest.mark.parametrize("shares", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.0, 0.5)])
def test_a_split_without_a_share_gets_nothing(shares):
    found = {split_of(f"{number}", shares=shares, seed=1) for number in range(50)}
    assert found == {name for name, share in zip(("train", "val", "test"), shares, strict=True) if share}


A, B, C = ("videos", "a"), ("videos", "b"), ("vimeo90k", "c")


@pytest.mark.parametrize(
    ("official", "fixed", "expected", "torn"),
    [
        ({C: "test"}, {}, {A: "test", B: "test", C: "test"}, set()),
        ({C: "train"}, {}, {A: "train", B: "train", C: "train"}, set()),
        ({C: "val"}, {}, {A: "val", B: "val", C: "val"}, set()),
        ({}, {A: "val"}, {A: "val", B: "val", C: "val"}, set()),
        ({}, {A: "val", B: "test"}, {A: "val", B: "test"}, {C}),  # rows that are there stay, a new clip stays out
        ({C: "test"}, {A: "train"}, {A: "train", B: "train"}, {C}),
        ({C: "train"}, {A: "test"}, {A: "test", B: "test", C: "test"}, set()),
    ],
)
def test_the_clips_of_a_group_stay_together(official, fixed, expected, torn):
    groups = dict.fromkeys((A, B, C), "one")
    splits = assign_splits(groups, shares=(1.0, 0.0, 0.0), seed=0, official=official, fixed=fixed)
    assert splits.by_clip == expected
    assert set(splits.torn) == torn


@pytest.mark.parametrize("text", ["", "0.8,0.2", "0.8,0.1,0.2", "1,-1,1", "a,b,c", "nan,0,0"])
def test_split_text_must_be_three_shares(text):
    with pytest.raises(UsageError, match="must be three shares"):
        parse_split(text)
