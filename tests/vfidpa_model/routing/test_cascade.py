"""The cascade: what it refines, what it spends, and that it goes on after a break as if there had been none."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_tools.assets import fetch_demo_clips
from dataset_tools.errors import UsageError
from dataset_tools.frames import to_tensor
from dataset_tools.frames.area import resize_area
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.tiles import FADE, TILE, Rect, TilePlan
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
    print(f"area {np.mean(areas):.2f}, of the change {gone / total:.3f} left out")
    assert 0.2 < np.mean(areas) < 0.7
    assert gone < total / 5


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
    cascade = CascadeInterpolator(models[0], Mean(), 0.4, scene_cuts=False)
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
        plan = TilePlan(begun.size, tuple(Rect(top, left, top + 64, left + 64) for top, left in corners))
        whole, mixed = models[1].go_on(begun), models[1].go_on(begun, [plan])
        steps = [
            (image[0, :, :, 1:] - image[0, :, :, :-1]).abs().mean(0) * 255 for image in (begun.frame, whole, mixed)
        ]
        more = steps[2] - torch.maximum(steps[0], steps[1])
        for rect in plan.rects:
            rows = slice(rect.top + 8, rect.bottom - 8)
            for edge in (rect.left, rect.right):
                excess["border"].append(more[rows, edge - FADE - 1 : edge + FADE].clamp(min=0).mean())
            excess["inside"].append(more[rows, rect.left + FADE + 2 : rect.right - FADE - 2].clamp(min=0).mean())
    border, inside = (float(torch.stack(values).mean()) for values in excess.values())
    print(f"levels that a step grows beyond both sources: {border:.3f} at borders, {inside:.3f} inside")
    assert border < 1.2 * inside


def test_parts_that_begin_or_end_being_refined_do_not_flicker(models, frames):
    """In time the picture changes hardly more than one of both sources does, also where the choice changes."""
    cascade = CascadeInterpolator(*models, 0.4, scene_cuts=False)
    sources = [], [], []
    for img0, img1 in pairs(frames)[:5]:
        begun = models[1].begin(img0, img1)
        for made, frame in zip(
            sources, (begun.frame, models[1].go_on(begun), cascade.interpolate(img0, img1)), strict=True
        ):
            made.append(frame[0] * 255)
    fast, whole, mixed = ((torch.stack(made)[1:] - torch.stack(made)[:-1]).abs().mean(1) for made in sources)
    more = (mixed - torch.maximum(fast, whole)).clamp(min=0)
    chosen = np.stack([decision.tiles for decision in cascade.decisions]).repeat(TILE, 1).repeat(TILE, 2)
    changed = torch.from_numpy(chosen[1:] != chosen[:-1])
    changed = torch.nn.functional.max_pool2d(changed.float(), 2 * FADE + 1, 1, FADE) > 0  # and across its borders
    print(f"levels in time, where the choice changes ({changed.float().mean():.0%}): {mixed[changed].mean():.2f}, ")
    print(f"of them beyond both sources {more[changed].mean():.3f}; elsewhere {more[~changed].mean():.3f}")
    assert 0.02 < changed.float().mean() < 0.9
    assert more[changed].mean() < 0.02 * mixed[changed].mean()


@pytest.mark.parametrize("effort", [0.1, 0.3, 0.6])
def test_the_budget_is_kept_on_a_long_stream(effort):
    generator = np.random.default_rng(0)
    control, costs = EffortControl(effort), []
    for frame in range(600):
        level = 1e-4 if frame < 200 else 1e-2  # quiet, then another scene
        scores = generator.lognormal(np.log(level), 1.5, (8, 14))
        plan = TilePlan.best(scores, control.price(scores), (256, 448))
        control.spend(plan.cost)
        costs.append(plan.cost)
    assert abs(np.mean(costs) - effort) < 0.05
    assert abs(np.mean(costs[-100:]) - effort) < 0.05


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_tile_whose_score_is_no_number_is_refined_and_spoils_no_other(broken):
    errors = np.full((1, 8, 14), 1e-4)
    errors[0, 1, 2] = broken
    scores = evened(errors, 0.5)[0]
    known = np.isfinite(scores)
    np.testing.assert_allclose(scores[known], 1e-2)
    assert np.argwhere(~known).tolist() == [[1, 2]]
    control = EffortControl(0.1)
    for _ in range(50):
        control.price(evened(np.full((1, 8, 14), 1e-2), 0.5)[0])  # scores ten times as high: the others stay fast
    plan = TilePlan.best(scores, control.price(scores), (256, 448))
    assert plan.rects == (Rect(TILE, 2 * TILE, 2 * TILE, 3 * TILE),)


def test_what_nobody_sees_is_left_alone():
    control = EffortControl(0.9)
    scores = evened(np.full((1, 8, 14), 1e-7), 0.5)[0]
    assert not TilePlan.best(scores, control.price(scores), (256, 448)).rects


def test_signal_is_the_difference_of_the_warped_images(models, frames):
    img0, img1 = pairs(frames)[0]
    begun = models[0].begin(img0, img1)
    difference = (begun.warped[:, :3] - begun.warped[:, 3:]).square().mean(1)[0].numpy()
    by_hand = difference.reshape(8, 32, 14, 32).mean((1, 3))
    mean = by_hand.mean()
    by_hand[by_hand < (0.5 / 255) ** 2] = 0  # nobody sees it
    np.testing.assert_allclose(WarpedDifference(0).tiles(img0, img1, begun)[0], by_hand, rtol=1e-4)
    np.testing.assert_allclose(WarpedDifference(0.5).tiles(img0, img1, begun)[0], by_hand / mean**0.5, rtol=1e-4)
    assert tile_means(torch.ones(1, 3, TILE + 1, TILE)).tolist() == [[[1.0], [1 / TILE]]]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.floats(0.01, 3), st.integers(0, 2**32 - 1))
def test_a_plan_takes_what_is_worth_its_price_and_leaves_nothing_that_is(rows, columns, price, seed):
    scores = np.random.default_rng(seed).lognormal(0, 2, (rows, columns)) - 0.3
    size = rows * TILE, columns * TILE
    every = [
        Rect(top * TILE, left * TILE, bottom * TILE, right * TILE)
        for top in range(rows)
        for bottom in range(top + 1, rows + 1)
        for left in range(columns)
        for right in range(left + 1, columns + 1)
    ]

    def worth(rect, left):
        inside = left[rect.top // TILE : rect.bottom // TILE, rect.left // TILE : rect.right // TILE]
        return inside.sum() / scores.size - price * TilePlan(size, (rect,)).cost

    plan, rest = TilePlan.best(scores, price, size), scores.copy()
    if not plan.is_whole:
        for rect in plan.rects:
            assert worth(rect, rest) > max(0, *(worth(other, rest) for other in every)) - 1e-9
            rest[rect.top // TILE : rect.bottom // TILE, rect.left // TILE : rect.right // TILE] = 0
        assert max(worth(other, rest) for other in every) < 1e-9
    assert plan.cost <= 1
    assert set(plan.turned().turned().rects) == set(plan.rects)


def test_large_frames_are_planned_on_larger_tiles():
    scores = np.zeros((68, 120))  # 3840x2160
    scores[8:12, 48:60] = 1
    (rect,) = TilePlan.best(scores, 0.2, (2176, 3840)).rects
    assert (rect.top, rect.left, rect.bottom, rect.right) == (8 * TILE, 48 * TILE, 12 * TILE, 60 * TILE)
