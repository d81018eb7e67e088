"""The routers that VFI-DPA is compared with."""

import numpy as np
import pytest
import torch

from dataset_tools.frames import to_rgb, to_tensor
from dataset_tools.prediction.metrics import mean_motion
from vfidpa_model.routing.routers import AllAccurate, AllFast, FlowMagnitude, Oracle, RandomRouter


def pair(shift):
    generator = np.random.default_rng(3)
    smooth = np.kron(generator.integers(0, 256, (16, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    return to_tensor(smooth), to_tensor(np.roll(smooth, shift, axis=1))


def test_constant_routers_send_every_pair_one_way_at_any_threshold():
    frames = torch.rand(3, 3, 8, 8)
    for threshold in (-1e9, 2.5, 1e9):
        assert (AllFast().score(frames, frames) <= threshold).all()
        assert (AllAccurate().score(frames, frames) > threshold).all()


def test_random_router_keeps_its_share_and_its_seed():
    frames = torch.rand(400, 3, 2, 2)
    first = RandomRouter(np.random.default_rng(1)).score(frames, frames)
    assert torch.equal(first, RandomRouter(np.random.default_rng(1)).score(frames, frames))
    assert abs((first > 1 - 0.3).float().mean().item() - 0.3) < 0.07


def test_flow_magnitude_grows_with_motion_and_is_the_metric_on_small_frames():
    still, moving = pair(1), pair(6)
    scores = FlowMagnitude().score(*(torch.cat(images) for images in zip(still, moving, strict=True)))
    assert scores[0] < scores[1]
    assert scores[1] == pytest.approx(mean_motion(*map(to_rgb, moving)))


def test_oracle_answers_in_order_and_says_when_it_is_asked_too_much():
    frames = torch.rand(2, 3, 4, 4)
    oracle = Oracle([0.5, -0.1, 2.0])
    assert oracle.score(frames, frames).tolist() == [0.5, -0.1]
    assert oracle.score(frames[:1], frames[:1]).tolist() == [2.0]
    with pytest.raises(ValueError, match="oracle knows 3 gains; pair 4"):
        oracle.score(frames[:1], frames[:1])
