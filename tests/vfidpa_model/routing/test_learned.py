"""The learned signal: what it says of real frames, of still ones, of any size; and that it is worth its file."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from dataset_tools.assets import fetch_demo_clips
from dataset_tools.frames import resize_area, to_rgb, to_tensor
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.tiles import TILE
from dataset_tools.prediction.metrics import Lpips
from dataset_tools.video import open_video
from vfidpa_model.routing.cascade import CascadeInterpolator
from vfidpa_model.routing.learned import ExpectedGain, features_of, load_network
from vfidpa_model.routing.signals import DecidedDifference, WarpedDifference


@pytest.fixture(scope="module")
def frames():
    """Nine frames of a ride through a street, two steps apart, 448x256."""
    with open_video(fetch_demo_clips() / "bikes.mp4") as reader:
        found = [frame for _, frame in zip(range(60), reader.frames(), strict=False)]
    images = [found[index].raw.to_ndarray(format="rgb24") for index in range(20, 38, 2)]
    return torch.cat([to_tensor(resize_area(image, width=448, height=256)) for image in images])


@pytest.fixture(scope="module")
def models():
    return create_interpolator("rife"), create_interpolator("rife-refined")


def test_it_finds_where_refinement_looks_better_and_the_plain_difference_does_not(models, frames):
    lpips, expected, plain, gained = Lpips(), [], [], []
    for first in range(0, 6, 2):
        img0, truth, img1 = (frames[first + step : first + step + 1] for step in range(3))
        begun = models[1].begin(img0, img1)
        refined, true = models[1].go_on(begun), to_rgb(truth)
        before = lpips(to_rgb(begun.frame), true)
        for row in range(0, 256, 128):  # four tiles at a time: LPIPS looks further than one
            for column in range(0, 384, 128):
                place = (..., slice(row, row + 128), slice(column, column + 128))
                mixed = begun.frame.clone()
                mixed[place] = refined[place]
                gained.append(before - lpips(to_rgb(mixed), true))
        for values, found in (
            (expected, load_network(torch.device("cpu"))(features_of(begun)).numpy()),
            (plain, WarpedDifference(0).tiles(img0, img1, begun)),
        ):
            side = 128 * found.shape[1] // 256
            values += found[0, :, : 3 * side].reshape(2, side, 3, side).mean((1, 3)).ravel().tolist()
    with_expected, with_plain = (float(spearmanr(values, gained).statistic) for values in (expected, plain))
    print(f"rank correlation with the gain in LPIPS: {with_expected:.2f}, plain difference {with_plain:.2f}")
    assert with_expected > max(0.4, with_plain)


def test_it_is_what_the_cascade_goes_by_where_it_was_trained(models):
    assert isinstance(CascadeInterpolator(*models).signal, ExpectedGain)
    other = create_interpolator("rife-v4")
    assert not isinstance(CascadeInterpolator(other, models[1]).signal, ExpectedGain)


def test_still_frames_are_left_alone_and_weights_are_both_counted(models, frames):
    begun = models[1].begin(frames[:1], frames[:1] + 1e-4)
    assert not ExpectedGain().tiles(frames[:1], frames[:1], begun).any()
    begun = models[1].begin(frames[:1], frames[1:2])
    scores = [ExpectedGain(weight).tiles(frames[:1], frames[1:2], begun)[0] for weight in (0, 1)]
    differences = DecidedDifference().tiles(frames[:1], frames[1:2], begun)[0]
    np.testing.assert_allclose(scores[0], 356 * differences, rtol=1e-6)
    gains = load_network(torch.device("cpu"))(features_of(begun))[0].numpy()
    np.testing.assert_allclose(scores[1] - scores[0], gains.repeat(2, 0).repeat(2, 1) * (differences > 0), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(100, 150), (65, 64), (256, 448)])
def test_any_size_and_batches_as_single_pairs(models, frames, height, width):
    img0, img1 = (part[..., :height, :width] for part in (frames[:2], frames[1:3]))
    both = ExpectedGain().tiles(img0, img1, models[1].begin(img0, img1))
    assert both.shape == (2, -(-height // TILE), -(-width // TILE))
    for index in range(2):
        one = slice(index, index + 1)
        alone = ExpectedGain().tiles(img0[one], img1[one], models[1].begin(img0[one], img1[one]))
        np.testing.assert_allclose(both[one], alone, rtol=1e-3, atol=1e-4)


def test_the_decided_difference_is_what_taking_the_mean_instead_would_change(models, frames):
    img0, img1 = frames[:1], frames[1:2]
    begun = models[1].begin(img0, img1)
    middle = (begun.warped[:, :3] + begun.warped[:, 3:]) / 2
    changed = (begun.merged - middle).square().mean(1)[0].double().numpy()
    by_hand = changed.reshape(8, TILE, 14, TILE).mean((1, 3))
    found = DecidedDifference(0).tiles(img0, img1, begun)[0]
    np.testing.assert_allclose(found[found > 0], by_hand[found > 0], rtol=1e-3)
    assert (found > 0).mean() > 0.8
