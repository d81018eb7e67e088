"""Pictures of what a model looks at: its score map over the frame pair."""

import cv2
import numpy as np
import torch

from dataset_tools.frames import Rgb, to_tensor
from dataset_tools.levels import LEVELS
from vfidpa_model.evaluation.scoring import Assess

_MAP_OPACITY = 0.55


def pair_with_map(assess: Assess, img0: Rgb, img1: Rgb, *, device: torch.device) -> tuple[Rgb, float]:
    """Return a picture of a pair, (H, 3 * W, 3), and its score.

    Left to right: img0, img1, and the score map over the mean of both, blue at level 1 to red at level 4.
    """
    with torch.inference_mode():
        found = assess(to_tensor(img0).to(device), to_tensor(img1).to(device))
    mean = ((img0.astype(np.uint16) + img1 + 1) // 2).astype(np.uint8)
    return np.hstack([img0, img1, overlay(mean, found.score_map[0].float().cpu().numpy())]), float(found.score)


def overlay(rgb: Rgb, score_map: np.ndarray) -> Rgb:
    """Return a frame with a score map (h, w), on the level scale, laid over it in colour."""
    height, width = rgb.shape[:2]
    share = np.clip((score_map - LEVELS[0]) / (LEVELS[-1] - LEVELS[0]), 0, 1)
    enlarged = cv2.resize((share * 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    colour = cv2.cvtColor(cv2.applyColorMap(enlarged, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    return np.asarray(cv2.addWeighted(rgb, 1 - _MAP_OPACITY, colour, _MAP_OPACITY, 0), dtype=np.uint8)
