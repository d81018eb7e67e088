"""Padding to the size a network needs, and cropping back."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Padding:
    """Pixels added on each side."""

    left: int
    right: int
    top: int
    bottom: int

    @classmethod
    def to_multiple(cls, height: int, width: int, multiple: int, *, centred: bool = False) -> "Padding":
        """Return the padding that brings both sizes to the next multiple: right and bottom, or centred."""
        x, y = -width % multiple, -height % multiple
        left, top = (x // 2, y // 2) if centred else (0, 0)
        return cls(left, x - left, top, y - top)

    def pad(self, images: torch.Tensor, *, value: float = 0.0) -> torch.Tensor:
        """Return ``images`` (B, C, H, W) with borders filled with ``value``; the same tensor when there are none."""
        sides = (self.left, self.right, self.top, self.bottom)
        return F.pad(images, sides, value=value) if any(sides) else images

    def crop(self, images: torch.Tensor) -> torch.Tensor:
        """Return ``images`` (B, C, H, W) without the borders."""
        height, width = images.shape[-2:]
        return images[..., self.top : height - self.bottom, self.left : width - self.right]


def check_pair(img0: torch.Tensor, img1: torch.Tensor, timestep: float) -> None:
    """Check the arguments of ``interpolate``.

    Raises:
        ValueError: The images are not (B, 3, H, W) of one shape, or ``timestep`` is not in (0, 1).
    """
    if img0.dim() != 4 or img0.shape[1] != 3:
        raise ValueError(f"img0 has shape {tuple(img0.shape)}, must be (B, 3, H, W)")
    if img0.shape != img1.shape:
        raise ValueError(f"img1 has shape {tuple(img1.shape)}, must be that of img0, {tuple(img0.shape)}")
    if not 0 < timestep < 1:
        raise ValueError(f"timestep ({timestep}) must be in (0, 1)")
