"""The dynamic pipeline: routes, order, batches, cuts and identical frames, on real frames and real networks."""

import itertools

import pytest
import torch

from dataset_tools.frames import to_tensor
from dataset_tools.interpolators import create_interpolator
from dataset_tools.video import open_video
from vfidpa_model.inference.assessor import Assessor
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.vfidpa import VFIDPA
from vfidpa_model.routing.dynamic import DynamicInterpolator

SIDE = 96


class Blend:
    """An interpolator whose result shows which one made it, and how many pairs came at once."""

    weights_sha256 = ""

    def __init__(self, name, offset):
        self.name, self.offset, self.batches = name, offset, []

    def interpolate(self, img0, img1, timestep=0.5):
        self.batches.append(len(img0))
        return img0 * (1 - timestep) + img1 * timestep + self.offset


class Scores:
    """A router that was told its answers."""

    def __init__(self, *scores):
        self.scores = list(scores)

    def score(self, img0, img1):
        return torch.tensor([self.scores.pop(0) for _ in img0])


@pytest.fixture(scope="module")
def frames(demo_clips):
    """Eight frames of a real clip, (8, 3, 96, 96), four source frames apart."""
    with open_video(demo_clips / "bikes.mp4") as video:
        chosen = [frame.rgb() for frame in itertools.islice(video.frames(), 0, 32, 4)]
    return torch.cat([to_tensor(rgb) for rgb in chosen])[..., 80 : 80 + SIDE, 200 : 200 + SIDE].contiguous()


def test_each_route_is_one_batch_and_order_is_kept(frames):
    fast, accurate = Blend("fast", 10.0), Blend("accurate", 20.0)
    dynamic = DynamicInterpolator(Scores(1, 4, 2.5, 2.6), fast, accurate, 2.5)
    result = dynamic.interpolate(frames[:4], frames[1:5])
    expected = (frames[:4] + frames[1:5]) / 2 + torch.tensor([10.0, 20, 10, 20]).view(4, 1, 1, 1)
    torch.testing.assert_close(result, expected)
    assert (fast.batches, accurate.batches) == ([2], [2])
    assert [decision.route for decision in dynamic.decisions] == ["fast", "accurate", "fast", "accurate"]
    assert dynamic.name == "dynamic(fast, accurate)"


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_no_number_never_makes_a_pair_easy(frames, score):
    dynamic = DynamicInterpolator(Scores(score, 1), Blend("fast", 10.0), Blend("accurate", 20.0), 2.5)
    dynamic.interpolate(frames[:2], frames[1:3])
    assert [decision.route for decision in dynamic.decisions] == ["accurate", "fast"]
    assert [decision.is_unscored for decision in dynamic.decisions] == [True, False]


def test_identical_frames_cost_nothing_and_cuts_repeat_the_nearer_frame(frames):
    fast, accurate = Blend("fast", 0.0), Blend("accurate", 0.0)
    dynamic = DynamicInterpolator(Scores(), fast, accurate)
    other_scene = 1 - frames[:1].flip(2)
    img0, img1 = torch.cat((frames[:1], frames[:1])), torch.cat((frames[:1], other_scene))
    early, late = dynamic.interpolate(img0, img1, 0.25), dynamic.interpolate(img0, img1, 0.75)
    assert torch.equal(early, img0)
    assert torch.equal(late, img1)
    assert [decision.route for decision in dynamic.decisions] == ["repeat", "cut"] * 2
    assert all(decision.score is None for decision in dynamic.decisions)
    assert fast.batches == accurate.batches == []


@pytest.mark.parametrize(("cuts", "expected"), [([True, False], ["cut", "fast"]), ([False, False], ["fast", "fast"])])
def test_a_caller_who_sees_the_stream_decides_about_cuts(frames, cuts, expected):
    dynamic = DynamicInterpolator(Scores(1, 1), Blend("fast", 0), Blend("accurate", 0))
    decisions = dynamic.decide(frames[:2], torch.cat((frames[1:2], 1 - frames[2:3])), cuts=cuts)
    assert [decision.route for decision in decisions] == expected


def test_one_decision_serves_several_timesteps_and_times_add_up(frames):
    ticks = itertools.count()
    dynamic = DynamicInterpolator(Scores(1, 4), Blend("f", 0), Blend("a", 0), clock=lambda: float(next(ticks)))
    decisions = dynamic.decide(frames[:2], frames[1:3])
    assert [decision.seconds for decision in decisions] == [0.5, 0.5]
    for timestep in (0.25, 0.5):
        made, decisions = dynamic.render(frames[:2], frames[1:3], timestep, decisions=decisions)
        torch.testing.assert_close(made, frames[:2] * (1 - timestep) + frames[1:3] * timestep)
    assert [decision.seconds for decision in decisions] == [2.5, 2.5]


def test_the_default_pair_and_a_model_give_what_the_chosen_network_gives(frames):
    torch.manual_seed(0)
    assessor = Assessor(VFIDPA(ModelConfig(backbone="efficientnet_lite0")))
    fast, accurate = create_interpolator("rife"), create_interpolator("rife-full")
    img0, img1 = frames[:3], frames[2:5]
    threshold = float(assessor.assess(img0, img1).score.median())
    dynamic = DynamicInterpolator(assessor, fast, accurate, threshold)
    batch = dynamic.interpolate(img0, img1)
    assert sorted(decision.route for decision in dynamic.decisions) == ["accurate", "fast", "fast"]
    for index, decision in enumerate(dynamic.decisions):
        network = fast if decision.route == "fast" else accurate
        alone = network.interpolate(img0[index : index + 1], img1[index : index + 1])
        torch.testing.assert_close(batch[index : index + 1], alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda d, x: d.decide(x, x[:1]), "must be that of img0"),
        (lambda d, x: d.decide(x, x, cuts=[True]), r"cuts \(1\) must be as many as pairs"),
        (lambda d, x: d.interpolate(x, x, 0.0), r"must be in \(0, 1\)"),
    ],
)
def test_wrong_input_is_named(frames, call, rule):
    with pytest.raises(ValueError, match=rule):
        call(DynamicInterpolator(Scores(), Blend("f", 0), Blend("a", 0)), frames[:3])
