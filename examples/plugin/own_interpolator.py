"""An interpolator of your own: `--fast blend`, `--accurate blend`, `--models blend` after installing this folder."""

from pathlib import Path

import torch


class Blend:
    """Cross-fades two frames: what every real interpolator has to beat."""

    name = "blend"
    weights_sha256 = ""  # of the weights file, so that results say what made them; there is none here

    @classmethod
    def from_weights(cls, path: Path | None, *, device: torch.device) -> "Blend":
        """Load the weights onto the device; options of yours are further keyword arguments."""
        return cls()

    def interpolate(self, img0: torch.Tensor, img1: torch.Tensor, timestep: float = 0.5) -> torch.Tensor:
        """Return the frame at ``timestep``; RGB in [0, 1], (B, 3, H, W), any size."""
        return torch.lerp(img0, img1, timestep)
