"""Interpolators in two steps: both are the whole model bit for bit, and tiles are as good as the whole refinement."""

import numpy as np
import pytest
import torch

from dataset_tools.assets import fetch_demo_clips
from dataset_tools.frames import to_tensor
from dataset_tools.frames.area import resize_area
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.refinable import can_begin, can_go_on
from dataset_tools.interpolators.rife_eccv import IFNet, IFNet2R, IFNetM
from dataset_tools.interpolators.rife_refinement import Sides
from dataset_tools.interpolators.tiles import FADE, MARGIN, TILE, Rect, TilePlan
from dataset_tools.video import open_video
from tests.golden_weights import fill_with_golden_weights, golden_inputs


@pytest.fixture(scope="module")
def pair():
    """Two real frames, a riding cyclist, 448x256."""
    with open_video(fetch_demo_clips() / "bikes.mp4") as reader:
        frames = [frame for _, frame in zip(range(30), reader.frames(), strict=False)]
    images = [frames[index].raw.to_ndarray(format="rgb24") for index in (28, 29)]
    return tuple(to_tensor(resize_area(image, width=448, height=256)) for image in images)


@pytest.fixture(scope="module")
def model():
    return create_interpolator("rife-refined")


@pytest.fixture(scope="module")
def begun(model, pair):
    return model.begin(*pair)


def by_hand(model, img0, img1):
    """Return what the network's own ``forward`` gives of images that need no padding."""
    with torch.inference_mode():
        return model(img0, img1).clamp(0, 1)


def test_both_steps_are_the_refined_model(model, begun, pair):
    fast = create_interpolator("rife")
    assert torch.equal(model.go_on(begun), by_hand(model, *pair))
    assert torch.equal(model.interpolate(*pair), by_hand(model, *pair))
    assert torch.equal(begun.frame, fast.interpolate(*pair))
    assert (model.goes_on_from, model.weights_sha256) == (fast.name, fast.weights_sha256)
    assert can_go_on(model)
    assert can_begin(fast)
    assert not can_go_on(fast)


@pytest.mark.parametrize("network", [IFNet, IFNetM, IFNet2R])
def test_both_steps_of_the_published_models(network):
    model = network()
    fill_with_golden_weights(model)
    img0, img1 = golden_inputs("64x128")
    begun = model.begin(img0, img1)
    frame = by_hand(model, img0, img1)
    if model.flip_average:
        frame = (frame + by_hand(model, img0.flip(2, 3), img1.flip(2, 3)).flip(2, 3)) / 2
    assert torch.equal(model.go_on(begun), frame)
    parts = [TilePlan(begun.size, (Rect(0, 0, 64, 64),))]
    half = model.go_on(begun, parts)
    assert torch.equal(half[..., 64 + MARGIN :], begun.frame[..., 64 + MARGIN :])
    assert (half - frame)[..., : 64 - MARGIN].abs().mean() < (begun.frame - frame)[..., : 64 - MARGIN].abs().mean() / 4
    model.refine = False
    assert torch.equal(model.interpolate(img0, img1), begun.frame)


def grid(size, rows, columns):
    return TilePlan(
        size,
        tuple(
            Rect(top, left, min(size[0], top + rows), min(size[1], left + columns))
            for top in range(0, size[0], rows)
            for left in range(0, size[1], columns)
        ),
    )


@pytest.mark.parametrize(("tile", "mean", "far"), [(64, 0.05, 0.85), (128, 0.025, 0.75)])
def test_all_tiles_one_by_one_are_nearly_the_whole(model, begun, tile, mean, far):
    """The mean is of all pixels, in levels of 255; ``far`` bounds those that are 16 pixels from the borders."""
    whole = model.go_on(begun)
    tiled = model.go_on(begun, [grid(begun.size, tile, tile)])
    difference = (tiled - whole).abs()[0].amax(0) * 255
    rows, columns = ((torch.arange(length) % tile - (tile - 1) / 2).abs() < tile / 2 - 16 for length in begun.size)
    assert difference.mean() < mean
    assert difference[rows][:, columns].max() < far < 1


def test_chosen_tiles_come_near_the_whole_and_others_stay(model, begun):
    mask = np.zeros((8, 14), dtype=bool)
    mask[2:6, 4:8], mask[:2, 12:], mask[6:, 10:] = True, True, True
    whole = model.go_on(begun)
    plan = TilePlan.best(mask.astype(float), 0.3, begun.size)
    assert (plan.tiles(mask.shape) == mask).all()
    frame = model.go_on(begun, [plan])
    inside = torch.from_numpy(np.kron(mask, np.ones((TILE, TILE), bool)))
    away = torch.nn.functional.max_pool2d(inside[None].float(), 2 * FADE + 1, 1, FADE)[0] == 0
    assert torch.equal(frame[..., away], begun.frame[..., away])
    before, after = ((image - whole)[..., inside].square().mean() for image in (begun.frame, frame))
    assert after < before / 12


def test_a_plan_of_all_is_the_whole(model, begun):
    plan = TilePlan.best(np.ones((8, 14)), 0.5, begun.size)
    assert (plan.is_whole, plan.cost) == (True, 1.0)
    assert torch.equal(model.go_on(begun, [plan]), model.go_on(begun))
    nothing = TilePlan.best(np.zeros((8, 14)), 0.5, begun.size)
    assert nothing.cost == 0
    assert torch.equal(model.go_on(begun, [nothing]), begun.frame)


def test_a_batch_gives_what_single_calls_give(model, pair):
    img0, img1 = torch.cat((pair[0], pair[1])), torch.cat((pair[1], pair[0]))
    both = model.begin(img0, img1)
    scores = np.zeros((8, 14))
    scores[2:4, 4:10] = 1
    plans = [TilePlan.best(scores, 0.3, both.size), TilePlan.best(scores[::-1, ::-1], 0.3, both.size)]
    frames = model.go_on(both, plans)
    for index, plan in enumerate(plans):
        single = model.go_on(model.begin(img0[index : index + 1], img1[index : index + 1]), [plan])
        torch.testing.assert_close(frames[index : index + 1], single, rtol=0, atol=1e-4)


def test_what_is_cropped_inside_the_network_changes_nothing_that_is_kept(model, begun):
    """The decoder computes no more of a margin than is looked at: as exact as all of it."""
    area = Rect(48, 0, 176, 192)
    with torch.inference_mode():
        context = [
            torch.randn(1, c, (area.bottom - area.top) // s, 192 // s) / 4
            for c, s in ((16, 2), (32, 4), (64, 8), (128, 16))
        ]
        images = torch.cat((begun.img0, begun.img1, begun.warped, begun.mask_logit, begun.flow), 1)
        x = images[..., area.top : area.bottom, area.left : area.right]
        whole = model.unet.convolutions(x, *context, *context)
        sides = Sides(top=True, left=False, bottom=True, right=True)
        for keep in (0, 4, 8, 16):
            part = model.unet.of_part(x, context, context, sides, margin=MARGIN, keep=keep)
            torch.testing.assert_close(part, sides.cropped(whole, MARGIN - keep), rtol=0, atol=2e-5)


def test_plans_must_fit(model, begun):
    with pytest.raises(ValueError, match=r"tiles must be 1 plans for frames of \(256, 448\)"):
        model.go_on(begun, [TilePlan((256, 512), (Rect(0, 0, 64, 64),))])
