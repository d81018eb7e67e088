"""Frames are made smaller to the same bits as by Pillow, also where Pillow is not asked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset_tools.frames.area import resize_area


def by_pillow(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BOX))


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 30).map(lambda part: 3 * part) | st.sampled_from([120, 123, 360, 363]),
    width=st.integers(1, 30).map(lambda part: 3 * part),
    seed=st.integers(0, 2**16),
    is_slice=st.booleans(),
)
def test_two_thirds_are_pillows(height, width, seed, is_slice):
    rgb = np.random.default_rng(seed).choice(
        np.array([0, 1, 2, 127, 128, 254, 255, seed % 256], np.uint8), (height, 2 * width, 3)
    )
    rgb = rgb[:, ::2] if is_slice else np.ascontiguousarray(rgb[:, :width])
    before = rgb.copy()
    small = resize_area(rgb, width=width * 2 // 3, height=height * 2 // 3)
    np.testing.assert_array_equal(small, by_pillow(rgb, width * 2 // 3, height * 2 // 3))
    np.testing.assert_array_equal(rgb, before)


def test_the_mean_of_every_pair_is_rounded_as_pillow_does():
    a, b = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    for axis in (0, 1):
        threes = np.stack([a, b, a], axis=axis + 1).reshape((768, 256) if axis == 0 else (256, 768))
        rgb = np.repeat(np.repeat(threes, 3 if axis else 1, 0), 1 if axis else 3, 1)[..., None].repeat(3, 2)
        np.testing.assert_array_equal(resize_area(rgb, width=512, height=512), by_pillow(rgb, 512, 512))


@pytest.mark.parametrize(
    ("size", "target"),
    [
        ((1920, 1080), (1280, 720)),
        ((1920, 1080), (456, 256)),
        ((1280, 720), (456, 256)),
        ((1080, 1920), (406, 720)),
        ((1440, 1080), (960, 720)),
        ((1919, 1080), (1280, 720)),
        ((1920, 1080), (1280, 1080)),
        ((1920, 1080), (1920, 720)),
        ((720, 405), (455, 256)),
        ((6, 3), (4, 2)),
        ((4, 4), (3, 3)),
        ((5, 3), (1, 1)),
    ],
)
def test_any_size_is_pillows(size, target):
    rgb = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), np.uint8)
    np.testing.assert_array_equal(resize_area(rgb, width=target[0], height=target[1]), by_pillow(rgb, *target))


def test_a_frame_of_that_size_is_handed_back():
    rgb = np.zeros((4, 6, 3), np.uint8)
    assert resize_area(rgb, width=6, height=4) is rgb
