"""The routers that VFI-DPA is compared with."""

import numpy as np
import pytest
import torch

from dataset_tools.frames import to_rgb, to_tensor
from dataset_tools.prediction.metrics import mean_motion
from vfidpa_model.routing.routers import FlowMagnitude


def pair(shift):
    generator = np.random.default_rng(3)
    smooth = np.kron(generator.integers(0, 256, (16, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    return to_tensor(smooth), to_tensor(np.roll(smooth, shift, axis=1))


def test_flow_magnitude_grows_with_motion_and_is_the_metric_on_small_frames():
    still, moving = pair(1), pair(6)
    scores = FlowMagnitude().score(*(torch.cat(images) for images in zip(still, moving, strict=True)))
    assert scores[0] < scores[1]
    assert scores[1] == pytest.approx(mean_motion(*map(to_rgb, moving)))
