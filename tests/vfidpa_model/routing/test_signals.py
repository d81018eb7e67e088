"""What tells the cascade where: of real frames, of still ones, of any size."""

import numpy as np
import pytest
import torch

from dataset_tools.assets import fetch_demo_clips
from dataset_tools.frames import to_tensor
from dataset_tools.frames.area import resize_area
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.tiles import TILE
from dataset_tools.video import open_video
from vfidpa_model.routing.cascade import CascadeInterpolator
from vfidpa_model.routing.signals import DecidedDifference, WarpedDifference, tile_means

SIGNALS = [DecidedDifference(), WarpedDifference()]


@pytest.fixture(scope="module")
def frames():
    """Three frames of a ride through a street, two steps apart, 448x256."""
    with open_video(fetch_demo_clips() / "bikes.mp4") as reader:
        found = [frame for _, frame in zip(range(30), reader.frames(), strict=False)]
    images = [found[index].raw.to_ndarray(format="rgb24") for index in (20, 22, 24)]
    return torch.cat([to_tensor(resize_area(image, width=448, height=256)) for image in images])


@pytest.fixture(scope="module")
def model():
    return create_interpolator("rife-refined")


def test_the_cascade_goes_by_the_decided_difference(model):
    assert CascadeInterpolator(create_interpolator("rife"), model).signal.name == DecidedDifference().name


def test_the_decided_difference_is_what_taking_the_mean_instead_would_change(model, frames):
    img0, img1 = frames[:1], frames[1:2]
    begun = model.begin(img0, img1)
    middle = (begun.warped[:, :3] + begun.warped[:, 3:]) / 2
    changed = (begun.merged - middle).square().mean(1)[0].double().numpy()
    by_hand = changed.reshape(8, TILE, 14, TILE).mean((1, 3))
    found = DecidedDifference(0).tiles(img0, img1, begun)[0]
    np.testing.assert_allclose(found[found > 0], by_hand[found > 0], rtol=1e-3)
    assert (found > 0).mean() > 0.8


def test_it_finds_where_refinement_removes_error(model, frames):
    begun = model.begin(frames[:1], frames[2:])
    refined, truth = model.go_on(begun), frames[1:2]
    gained = tile_means((begun.frame - truth).square() - (refined - truth).square())[0].ravel()
    chosen = np.argsort(-DecidedDifference().tiles(frames[:1], frames[2:], begun)[0].ravel())[: gained.size * 3 // 10]
    share = gained[chosen].sum() / gained.sum()
    print(f"30 % of the tiles hold {share:.0%} of the gain")
    assert share > 0.6


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)
def test_still_frames_are_left_alone(model, frames, signal):
    assert not signal.tiles(frames[:1], frames[:1], model.begin(frames[:1], frames[:1] + 1e-4)).any()


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)
@pytest.mark.parametrize(("height", "width"), [(100, 150), (65, 64), (256, 448)])
def test_any_size_and_batches_as_single_pairs(model, frames, signal, height, width):
    img0, img1 = (part[..., :height, :width] for part in (frames[:2], frames[1:]))
    both = signal.tiles(img0, img1, model.begin(img0, img1))
    assert both.shape == (2, -(-height // TILE), -(-width // TILE))
    for index in range(2):
        one = slice(index, index + 1)
        alone = signal.tiles(img0[one], img1[one], model.begin(img0[one], img1[one]))
        np.testing.assert_allclose(both[one], alone, rtol=1e-3, atol=1e-6)
