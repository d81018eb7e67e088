"""The cascade: what it refines, what it spends, and that it goes on after a break as if there had been none."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_tools.assets import fetch_demo_clips
from dataset_tools.errors import UsageError
from dataset_tools.frames import resize_area, to_tensor
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.tiles import TILE, Rect, TilePlan
from dataset_tools.video import open_video
from tests.vfidpa_model.simple_interpolators import Mean
from vfidpa_model.routing.cascade import CascadeInterpolator
from vfidpa_model.routing.effort import EffortControl
from vfidpa_model.routing.signals import WarpedDifference, evened, tile_means


@pytest.fixture(scope="module")
def frames():
    """Seven real frames of a ride through a street, two steps apart, 448x256."""
    with open_video(fetch_demo_clips() / "bikes.mp4") as reader:
        found = [frame for _, frame in zip(range(40), reader.frames(), strict=False)]
    images = [found[index].raw.to_ndarray(format="rgb24") for index in range(20, 34, 2)]
    return torch.cat([to_tensor(resize_area(image, width=448, height=256)) for image in images])


@pytest.fixture(scope="module")
def models():
    return create_interpolator("rife"), create_interpolator("rife-refined")


def pairs(frames):
    return [(frames[i : i + 1], frames[i + 1 : i + 2]) for i in range(len(frames) - 1)]


@pytest.mark.parametrize("effort", [0, 1])
def test_the_ends_are_the_models_alone(models, frames, effort):
    cascade = CascadeInterpolator(*models, effort)
    img0, img1 = pairs(frames)[0]
    assert torch.equal(cascade.interpolate(img0, img1), models[effort].interpolate(img0, img1))
    assert cascade.accurate_share == effort
    assert cascade.decisions[0].route == ("refined" if effort else "fast")


def test_between_them_it_refines_a_part_and_most_of_what_counts(models, frames):
    fast, accurate = models
    cascade = CascadeInterpolator(fast, accurate, 0.5, scene_cuts=False)
    gone = total = 0.0
    for img0, img1 in pairs(frames):
        frame, whole = cascade.interpolate(img0, img1), accurate.interpolate(img0, img1)
        total += float((fast.interpolate(img0, img1) - whole).square().mean())
        gone += float((frame - whole).square().mean())
    areas = [decision.area for decision in cascade.decisions]
    assert 0.2 < np.mean(areas) < 0.6  # one of the frames is refined whole
    assert gone < total / 20


def test_any_timestep_repeats_and_cuts(models, frames):
    cascade = CascadeInterpolator(*models, 0.4)
    img0, img1 = frames[:3], torch.stack((frames[1], frames[1], frames[3]))
    decisions = cascade.decide(img0, img1, cuts=[False, False, True])
    assert [decision.route for decision in decisions] == ["fast", "repeat", "cut"]
    made, decisions = cascade.render(img0, img1, 0.75, decisions=decisions)
    assert torch.equal(made[1:], torch.stack((frames[1], frames[3])))
    made, decisions = cascade.render(img0, img1, 0.25, decisions=decisions)
    assert (decisions[0].frames, decisions[1].area) == (2, None)
    assert torch.equal(made[2], frames[2])


def test_it_goes_on_as_if_nothing_had_happened(models, frames):
    once = CascadeInterpolator(*models, 0.3, scene_cuts=False)
    wanted = [once.interpolate(*pair) for pair in pairs(frames)]
    before, after = (
        CascadeInterpolator(*models, 0.3, scene_cuts=False),
        CascadeInterpolator(*models, 0.3, scene_cuts=False),
    )
    made = [before.interpolate(*pair) for pair in pairs(frames)[:2]]
    after.restore(before.state())
    made += [after.interpolate(*pair) for pair in pairs(frames)[2:]]
    assert all(torch.equal(a, b) for a, b in zip(wanted, made, strict=True))
    with pytest.raises(ValueError, match="state of the routing is damaged"):
        after.restore('{"share": 1}')


def test_a_stranger_takes_over_whole_frames(models, frames):
    cascade = CascadeInterpolator(models[0], Mean(), 0.5, scene_cuts=False)
    assert not cascade.goes_on
    made = [cascade.interpolate(*pair) for pair in pairs(frames)]
    for (img0, img1), frame, decision in zip(pairs(frames), made, cascade.decisions, strict=True):
        alone = Mean() if decision.area else models[0]
        assert torch.equal(frame, alone.interpolate(img0, img1))
    assert 0 < sum(decision.area for decision in cascade.decisions) < len(made)
    with pytest.raises(UsageError, match=r"'mean' does not show what its frames rest on"):
        CascadeInterpolator(Mean(), models[0])
    with pytest.raises(ValueError, match=r"effort \(1.5\) must be from 0"):
        CascadeInterpolator(*models, 1.5)


def test_no_edges_where_refined_meets_fast(models, frames):
    """Across a tile's border the picture steps as much more than both its sources as it does inside: not at all."""
    excess = {"border": [], "inside": []}
    for img0, img1 in pairs(frames)[:3]:
        begun = models[1].begin(img0, img1)
        corners = (0, 64), (64, 256), (128, 128)
        plan = TilePlan(begun.size, tuple(Rect(top, left, top + TILE, left + TILE) for top, left in corners))
        whole, mixed = models[1].go_on(begun), models[1].go_on(begun, [plan])
        steps = [
            (image[0, :, :, 1:] - image[0, :, :, :-1]).abs().mean(0) * 255 for image in (begun.frame, whole, mixed)
        ]
        more = steps[2] - torch.maximum(steps[0], steps[1])
        for rect in plan.rects:
            rows = slice(rect.top + 8, rect.bottom - 8)
            for edge in (rect.left, rect.right):
                excess["border"].append(more[rows, edge - 13 : edge + 12].clamp(min=0).mean())
            excess["inside"].append(more[rows, rect.left + 14 : rect.right - 14].clamp(min=0).mean())
    border, inside = (float(torch.stack(values).mean()) for values in excess.values())
    print(f"levels that a step grows beyond both sources: {border:.3f} at borders, {inside:.3f} inside")
    assert border < 1.2 * inside


@pytest.mark.parametrize("effort", [0.1, 0.3, 0.6])
def test_the_budget_is_kept_on_a_long_stream(effort):
    generator = np.random.default_rng(0)
    control, costs = EffortControl(effort), []
    for frame in range(600):
        level = 1e-4 if frame < 200 else 1e-2  # quiet, then another scene
        scores = generator.lognormal(np.log(level), 1.5, (4, 7))
        plan = TilePlan.of(control.choose(scores), (256, 448))
        control.spend(plan.cost)
        costs.append(plan.cost)
    assert abs(np.mean(costs) - effort) < 0.05
    assert abs(np.mean(costs[-100:]) - effort) < 0.05


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_tile_whose_score_is_no_number_is_refined_and_spoils_no_other(broken):
    errors = np.full((1, 4, 7), 1e-4)
    errors[0, 1, 2] = broken
    scores = evened(errors, 0.5)[0]
    known = np.isfinite(scores)
    np.testing.assert_allclose(scores[known], 1e-2)
    assert np.argwhere(~known).tolist() == [[1, 2]]
    control = EffortControl(0.1)
    for _ in range(50):
        control.choose(evened(np.full((1, 4, 7), 1e-2), 0.5)[0])  # scores ten times as high: the others stay fast
    assert np.argwhere(control.choose(scores)).tolist() == [[1, 2]]


def test_what_nobody_sees_is_left_alone():
    control = EffortControl(0.9)
    scores = evened(np.full((1, 4, 7), 1e-7), 0.5)[0]
    assert not control.choose(scores).any()


def test_signal_is_the_difference_of_the_warped_images(models, frames):
    img0, img1 = pairs(frames)[0]
    begun = models[0].begin(img0, img1)
    difference = (begun.warped[:, :3] - begun.warped[:, 3:]).square().mean(1)[0].numpy()
    by_hand = difference.reshape(4, 64, 7, 64).mean((1, 3))
    np.testing.assert_allclose(WarpedDifference(0).tiles(img0, img1, begun)[0], by_hand, rtol=1e-4)
    np.testing.assert_allclose(
        WarpedDifference(0.5).tiles(img0, img1, begun)[0], by_hand / by_hand.mean() ** 0.5, rtol=1e-4
    )
    assert tile_means(torch.ones(1, 3, 65, 64)).tolist() == [[[1.0], [1 / 64]]]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_a_plan_computes_the_chosen_tiles_and_costs_no_more_than_them_one_by_one(rows, columns, data):
    chosen = data.draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns))
    mask, size = np.array(chosen).reshape(rows, columns), (rows * TILE, columns * TILE)
    plan = TilePlan.of(mask, size)
    assert (plan.tiles((rows, columns)) >= mask).all()
    assert all(0 <= r.top < r.bottom <= size[0] and 0 <= r.left < r.right <= size[1] for r in plan.rects)
    alone = [Rect(row, column, row + TILE, column + TILE) for row, column in (np.argwhere(mask) * TILE).tolist()]
    single = TilePlan(size, tuple(alone))
    assert plan.cost <= single.cost
    assert plan.cost <= 1
    assert set(plan.turned().turned().rects) == set(plan.rects)
