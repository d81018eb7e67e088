"""Augmentation keeps the label true: same pixels, same motion, same seed, same draw."""

import itertools

import numpy as np
import pytest

from tests.vfidpa_model.labelled_set import decode
from vfidpa_model.pairs.augment import Augmentation, Switches, draw_augmentation, draw_crop, generator_for, mirror_pad

EVERY = [Augmentation(*bits) for bits in itertools.product([False, True], range(4), [False, True], [False, True])]


@pytest.fixture(scope="module")
def pair(demo_clips):
    frames = decode(demo_clips / "bikes.mp4", 12)
    return frames[2][:96, :128], frames[11][:96, :128]


@pytest.mark.parametrize("augmentation", EVERY)
def test_every_change_keeps_the_pixels_and_how_far_the_frames_are_apart(pair, augmentation):
    changed = augmentation.apply(*pair)
    assert changed[0].shape == ((128, 96, 3) if augmentation.quarter_turns % 2 else (96, 128, 3))
    for before, after in zip(pair, changed[::-1] if augmentation.swap_frames else changed, strict=True):
        np.testing.assert_array_equal(np.sort(before, axis=None), np.sort(after, axis=None))
    np.testing.assert_array_equal(
        np.sort(np.abs(pair[0].astype(int) - pair[1]), axis=None),
        np.sort(np.abs(changed[0].astype(int) - changed[1]), axis=None),
    )


def test_all_32_changes_are_drawn_and_differ(pair):
    drawn = {draw_augmentation(generator_for(0, epoch, 5)) for epoch in range(400)}
    assert drawn == set(EVERY)
    assert len({b"".join(frame.tobytes() for frame in change.apply(*pair)) for change in EVERY}) == 32


@pytest.mark.parametrize(
    ("switch", "field", "rest"),
    [
        ("flip", "flip_x", False),
        ("turn", "quarter_turns", 0),
        ("backwards", "swap_frames", False),
        ("channels", "reverse_channels", False),
    ],
)
def test_a_switch_takes_its_change_away_and_no_other(switch, field, rest):
    drawn = {
        draw_augmentation(generator_for(0, epoch, 5), switches=Switches(**{switch: False})) for epoch in range(400)
    }
    assert drawn == {change for change in EVERY if getattr(change, field) == rest}


def test_draws_depend_on_seed_epoch_and_index_only():
    def draws(*key):
        rng = generator_for(*key)
        return draw_crop(rng, height=256, width=448, crop=64), draw_augmentation(rng)

    assert draws(1, 2, 3) == draws(1, 2, 3)
    assert len({str(draws(*key)) for key in itertools.product(range(3), repeat=3)}) == 27


@pytest.mark.parametrize(
    ("height", "width", "crop", "size"),
    [(256, 448, 224, (224, 224)), (256, 144, 224, (224, 144)), (64, 64, 64, (64, 64))],
)
def test_crop_lies_inside_and_reaches_every_edge(height, width, crop, size):
    windows = [draw_crop(generator_for(0, 0, index), height=height, width=width, crop=crop) for index in range(3000)]
    assert {(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in windows} == {size}
    assert (min(w[0].start for w in windows), max(w[0].stop for w in windows)) == (0, height)
    assert (min(w[1].start for w in windows), max(w[1].stop for w in windows)) == (0, width)


def test_small_frames_are_mirrored_up_to_the_crop(pair):
    padded = mirror_pad(pair[0], height=100, width=140)
    assert padded.shape == (100, 140, 3)
    np.testing.assert_array_equal(padded[96:], np.flipud(padded[92:96]))
    np.testing.assert_array_equal(padded[:96, 128:], pair[0][:, :-13:-1])
    assert mirror_pad(pair[0], height=64, width=64) is pair[0]
