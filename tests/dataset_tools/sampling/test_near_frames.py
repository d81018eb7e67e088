"""Near-equal frames are found whatever else is there; flat ones join nothing."""

import numpy as np
import pytest

from dataset_tools.errors import UsageError
from dataset_tools.sampling.groups import group_clips, own_name, parse_group_by
from dataset_tools.sampling.near_frames import MAX_LEVELS, find_matches, luma_blocks, telling


def noise(number, *, seed):
    return np.random.default_rng(seed).integers(0, 256, (number, 64), dtype=np.uint8)


@pytest.mark.parametrize(("levels", "is_found"), [(0, True), (3, True), (MAX_LEVELS + 1, False), (60, False)])
def test_frames_match_up_to_the_bound(levels, is_found):
    clip = noise(20, seed=1) // 2 + 60
    generator = np.random.default_rng(2)
    off = generator.integers(-3, 4, clip.shape) if levels == 3 else np.full(clip.shape, levels)
    means = np.concatenate([clip, (clip + off).astype(np.uint8), noise(40, seed=3)])
    owners = np.repeat(np.array([4, 7, 9], np.int32), [20, 20, 40])
    found = find_matches(means, owners)
    assert [(match.a, match.b) for match in found] == ([(4, 7)] if is_found else [])
    if is_found:
        assert found[0].frames >= (20 if levels == 0 else 8)
        assert found[0].levels <= levels


def test_three_copies_and_a_crowd():
    """Each copy is matched with another, among a thousand other clips; the answer is the same every time."""
    clip = noise(5, seed=1)
    means = np.concatenate([clip, clip, noise(5000, seed=2), clip])
    owners = np.repeat(np.arange(1003, dtype=np.int32), 5)
    found = find_matches(means, owners)
    assert [(match.a, match.b, match.frames) for match in found] == [(0, 1, 5), (0, 1002, 5), (1, 1002, 5)]
    assert found == find_matches(means, owners)
    assert find_matches(means[:0], owners[:0]) == []


def test_a_flat_frame_tells_nothing():
    frames = np.stack([np.full(64, 16), np.full(64, 235), np.linspace(16, 39, 64), np.linspace(16, 40, 64)])
    assert telling(frames.astype(np.uint8)).tolist() == [False, False, False, True]
    assert telling((frames * 256).astype(np.uint16), levels_per_unit=1 / 256).tolist() == [False, False, False, True]


def test_luma_blocks_are_means():
    luma = np.repeat(np.repeat(np.arange(64, dtype=np.uint8).reshape(8, 8), 6, axis=0), 12, axis=1)
    assert luma_blocks(luma).tolist() == list(range(64))


A, B, C = ("videos", "day1/a.mp4"), ("videos", "day1/b.mp4"), ("adobe240", "day1/a.mp4")


def test_clips_are_grouped_by_name_and_by_what_they_show():
    plain = {key: own_name(key, None) for key in (A, B, C)}
    assert group_clips(plain, []) == plain
    assert set(group_clips(plain, [(B, C)]).values()) == {"videos/day1/a.mp4", "adobe240/day1/a.mp4"}
    pattern = parse_group_by(r"^(day\d)")
    names = {key: own_name(key, pattern) for key in (A, B, C)}
    assert names == {A: "videos/~day1", B: "videos/~day1", C: "adobe240/~day1"}
    assert own_name(("videos", "night.mp4"), pattern) == "videos/night.mp4"
    assert set(group_clips(names, [(C, A)]).values()) == {"adobe240/~day1"}


def test_a_wrong_expression_is_wrong_usage():
    with pytest.raises(UsageError, match=r"--group-by '\(' must be a regular expression"):
        parse_group_by("(")
