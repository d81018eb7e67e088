"""Rejections on real clips with known cuts, on joined clips, and on made fades and duplicates."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from dataset_tools.video import open_video
from dataset_tools.video.cuts import (
    FrameSignature,
    find_rejection,
    is_scene_cut,
    is_static,
    signature,
    unexplained_change,
)

# Cuts seen by eye: the step from this frame to the next one.
TRUE_CUTS = {"bikes": [29, 75, 136, 186, 241], "bigbuckbunny": [], "carphone_pristine": []}
SHARED_CUTS = {"bunny_1080p60": [20], "cars_432p12": [], "dog_720p30": [], "juggle_720p24": []}


@pytest.fixture(scope="module")
def real(demo_clips: Path) -> dict[str, list[FrameSignature]]:
    shared = Path(__file__).parents[4] / "shared" / "clips"
    paths = [demo_clips / f"{name}.mp4" for name in TRUE_CUTS]
    paths += [shared / f"{name}.mp4" for name in SHARED_CUTS if (shared / f"{name}.mp4").exists()]
    found = {}
    for path in paths:
        with open_video(path) as reader:
            found[path.stem] = [signature(frame.luma()) for frame in reader.frames()]
    return found


@pytest.mark.parametrize("interval", [1, 3, 8, 16])
def test_real_clips_show_exactly_their_cuts_at_every_interval(real, interval):
    for name, frames in real.items():
        cuts = {**TRUE_CUTS, **SHARED_CUTS}[name]
        for start in range(0, len(frames) - 2 * interval, max(1, interval // 3)):
            rejection = find_rejection(frames[start : start + 2 * interval + 1])
            inside = [cut for cut in cuts if start <= cut < start + 2 * interval]
            assert (rejection is not None and rejection.reason == "scene cut") == bool(inside), (name, start)
            if rejection is not None and len(inside) == 1:
                assert start + rejection.numbers["after_frame"] == inside[0]


def test_a_stream_is_cut_at_the_same_places(real):
    for name, frames in real.items():
        recent: list[float] = []
        found = []
        for index, (a, b) in enumerate(itertools.pairwise(frames)):
            if is_scene_cut(a, b, recent=recent[-8:]):
                found.append(index)
            else:
                recent.append(unexplained_change(a, b))
        assert found == {**TRUE_CUTS, **SHARED_CUTS}[name], name


def test_clips_joined_at_random_are_cut_where_they_were_joined(real):
    rng = np.random.default_rng(5)
    names = sorted(real)
    for _ in range(150):
        first, second = (real[name] for name in rng.choice(names, 2, replace=False))
        a, b = int(rng.integers(len(first) - 3)), int(rng.integers(len(second) - 4))
        joined = [*first[a : a + 3], *second[b : b + 4]]
        rejection = find_rejection(joined)
        if any(is_scene_cut(x, y) for x, y in itertools.pairwise(joined[:3])):
            continue  # a true cut of the clip itself came along
        assert rejection is not None
        assert rejection.reason == "scene cut"


def blend(a: FrameSignature, b: FrameSignature, share: float) -> FrameSignature:
    return np.rint(a * (1 - share) + b.astype(float) * share).astype(np.uint8)


def moving(count: int, *, speed: float, gain: float = 0.0) -> list[FrameSignature]:
    """A textured square over a textured ground, moving; ``gain`` levels brighter at every frame."""
    rng = np.random.default_rng(1)
    ground, square = rng.integers(60, 120, (54, 96)), rng.integers(130, 180, (20, 20))
    frames = []
    for index in range(count):
        picture = ground.astype(float)
        left = int(10 + speed * index)
        picture[15:35, left : left + 20] = square
        frames.append(np.clip(picture + gain * index, 0, 255).astype(np.uint8))
    return frames


to_black = zip(moving(3, speed=1), (0, 0.4, 0.8), strict=True)


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (moving(3, speed=0), None),
        (moving(3, speed=4), None),
        (moving(5, speed=12), None),  # fast: many medium steps
        (moving(3, speed=3)[:2] + moving(3, speed=3)[1:2], "duplicated frame"),  # gt is img1
        (moving(2, speed=3)[:1] * 2 + moving(2, speed=3)[1:], "duplicated frame"),  # gt is img0
        (moving(5, speed=0, gain=12), "fade"),
        (moving(3, speed=2, gain=30), "fade"),
        ([blend(frame, np.zeros_like(frame), share) for frame, share in to_black], "fade"),
    ],
)  # fmt: skip
def test_made_stretches(frames, reason):
    rejection = find_rejection(frames)
    assert (rejection.reason if rejection else None) == reason
    if rejection:
        assert all(isinstance(value, float) for value in rejection.numbers.values())


@pytest.mark.parametrize(("speed", "noise", "expected"), [(0, 0, True), (0, 1, True), (1, 0, False), (0, 12, False)])
def test_static_means_that_nothing_moves(speed, noise, expected):
    frames = moving(3, speed=speed)
    frames[1] = frames[1].copy()
    frames[1][::11, ::11] += np.uint8(noise)  # coding noise is below one level on average
    assert is_static(frames) is expected
    assert find_rejection(frames) is None


def test_a_cross_fade_between_two_real_scenes_is_a_fade(real):
    a, b = real["bikes"][20], real["carphone_pristine"][20]
    for shares in ((0.2, 0.5, 0.8), (0.1, 0.3, 0.5)):
        rejection = find_rejection([blend(a, b, share) for share in shares])
        assert rejection is not None
        assert rejection.reason == "fade"


def test_a_repeated_picture_in_a_real_clip_is_found(real):
    # bigbuckbunny is 24 fps film brought to 25: one picture in 25 is shown twice
    frames = real["bigbuckbunny"]
    doubled = [
        start
        for start in range(len(frames) - 2)
        if (rejection := find_rejection(frames[start : start + 3])) and rejection.reason == "duplicated frame"
    ]
    assert doubled
    assert all(np.abs(frames[start + 1].astype(int) - frames[start + 2]).max() <= 3
               or np.abs(frames[start].astype(int) - frames[start + 1]).max() <= 3 for start in doubled)  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "expected"), [((720, 1280), (54, 96)), ((1280, 720), (96, 54)), ((31, 33), (54, 96))]
)
def test_signature_averages_areas_of_any_shape(shape, expected):
    luma = np.tile(np.linspace(0, 255, shape[1]).astype(np.uint8), (shape[0], 1))
    small = signature(luma)
    assert small.shape == expected
    assert small.dtype == np.uint8
    np.testing.assert_allclose(small.mean(), luma.mean(), atol=1.0)


@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_stretch_has_a_middle(count):
    with pytest.raises(ValueError, match="must be odd"):
        find_rejection(moving(count, speed=1))
