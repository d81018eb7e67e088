"""Changes of a frame pair that keep its label true: mirroring, quarter turns, swapped frames, swapped channels.

Nothing here rescales, blurs or recolours: that would change how hard the pair is to interpolate. Each draw depends on
(seed, epoch, index) alone, so the number of workers, a restart or the number of processes change nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset_tools.frames import Rgb


@dataclass(frozen=True)
class Augmentation:
    """One label-true change; the default changes nothing.

    Attributes:
        flip_x: Mirror left and right.
        quarter_turns: Number of 90 degree turns, 0 to 3; odd ones exchange height and width.
        swap_frames: Play the pair backwards. (Flipping up and down is a mirror and two quarter turns.)
        reverse_channels: BGR instead of RGB, as the interpolators' own training does.
    """

    flip_x: bool = False
    quarter_turns: int = 0
    swap_frames: bool = False
    reverse_channels: bool = False

    def apply(self, img0: Rgb, img1: Rgb) -> tuple[Rgb, Rgb]:
        """Return the changed pair, contiguous; both frames get the same change."""
        if self.swap_frames:
            img0, img1 = img1, img0
        return self._frame(img0), self._frame(img1)

    def turn(self, plane: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return a frame, or a map (height, width) that belongs to it, mirrored and turned as the frames are."""
        return np.rot90(plane[:, ::-1] if self.flip_x else plane, self.quarter_turns)

    def _frame(self, rgb: Rgb) -> Rgb:
        rgb = self.turn(rgb)
        if self.reverse_channels:
            rgb = rgb[:, :, ::-1]
        return np.ascontiguousarray(rgb)


def generator_for(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the random generator of one visit to one sample."""
    return np.random.default_rng((seed, epoch, index))


@dataclass(frozen=True)
class Switches:
    """Which changes may be drawn: mirroring, quarter turns, playing backwards, reversed channels."""

    flip: bool = True
    turn: bool = True
    backwards: bool = True
    channels: bool = True


def draw_augmentation(
    rng: np.random.Generator, *, keep_shape: bool = False, switches: Switches = Switches()
) -> Augmentation:
    """Return a random augmentation, all 32 equally likely; with a switch off, those without that change.

    Args:
        keep_shape: Only half turns, so that frames that are no squares keep height and width.
    """
    bits = int(rng.integers(32))
    turns = (bits >> 1) & (2 if keep_shape else 3) if switches.turn else 0
    return Augmentation(
        switches.flip and bool(bits & 1),
        turns,
        switches.backwards and bool(bits & 8),
        switches.channels and bool(bits & 16),
    )


def draw_crop(rng: np.random.Generator, *, height: int, width: int, crop: int) -> tuple[slice, slice]:
    """Return rows and columns of a random ``crop`` x ``crop`` window; the whole side where the frame is smaller."""
    top = int(rng.integers(max(0, height - crop) + 1))
    left = int(rng.integers(max(0, width - crop) + 1))
    return slice(top, top + min(crop, height)), slice(left, left + min(crop, width))


def mirror_pad(rgb: Rgb, *, height: int, width: int) -> Rgb:
    """Return ``rgb`` grown to at least (height, width) at the bottom and right by mirroring: no new motion appears."""
    down, right = max(0, height - rgb.shape[0]), max(0, width - rgb.shape[1])
    if down == 0 and right == 0:
        return rgb
    return np.pad(rgb, ((0, down), (0, right), (0, 0)), mode="symmetric")
