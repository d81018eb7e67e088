"""A light model with its weights bent away from the start, saved as a checkpoint; and real frames to assess."""

from pathlib import Path

import numpy as np
import torch

from dataset_tools.video import open_video
from vfidpa_model.inference.checkpoint import save_checkpoint
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.vfidpa import VFIDPA, create_model


def light_model(*, seed: int = 0, **changes: object) -> VFIDPA:
    """Return the light model with ImageNet features, a seeded head, and a deformable convolution that bends."""
    torch.manual_seed(seed)
    model = create_model(ModelConfig(backbone="efficientnet_lite0", **changes)).eval()
    torch.nn.init.normal_(model.body.deform_net.conv_offset.weight, std=0.1)
    return model


def save_light_run(folder: Path, *, seed: int = 0, **changes: object) -> VFIDPA:
    """Write ``folder/best`` and return its model."""
    model = light_model(seed=seed, **changes)
    save_checkpoint(folder / "best", model, meta={"epoch": 3})
    return model


def real_frames(clip: Path, indices: tuple[int, ...]) -> list[np.ndarray]:
    """Return frames of a clip as RGB arrays."""
    with open_video(clip) as reader:
        found = []
        for frame in reader.frames():
            if frame.index in indices:
                found.append(frame.rgb())
            if frame.index >= max(indices):
                break
        return found
