"""Which stretches of a clip make no honest triplet: scene cuts, duplicated frames, fades. Pure functions.

All is decided on signatures: luma planes of 96x54. The thresholds come from seven real clips (some 1,500 frames with
six true cuts and an auto-exposure ramp) and 800 frame pairs joined across clips;
``tests/dataset_tools/video/test_cuts.py`` holds the table.
"""

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

_LONG_SIDE, _SHORT_SIDE = 96, 54
_ROWS_PER_CELL = 4  # enough to average out noise; reading every row of 1080p costs more than decoding it
# A picture change is "explained" when each value already occurs within 4 cells (4 % of the width): motion is, a cut
# is not. Measured: at most 7.2 levels for motion (a bus passing close by), at least 13 across cuts.
_REACH = np.ones((9, 9), np.uint8)
CUT_LEVELS = 10.0
_CUT_MEMORY = 8  # steps that tell what is usual in a scene
_CUT_RATIO = 3.0  # at low frame rates every step is large; a cut is large beside its neighbours
_SAME_MEAN_LEVELS, _SAME_MAX_LEVELS = 0.12, 3  # repeated pictures after encoding: 0.02 to 0.03, at most 2
_SAME_BLOCK, _SAME_BLOCK_LEVELS = 8, 4.0  # blocks of 8x8 see a cursor or a mouth that a signature averages away
_DUPLICATE_RATIO = 5.0
_MOVING_LEVELS = 0.5
_FADE_LEVELS, _FADE_REMAINDER, _FADE_REMAINDER_OF_CONTRAST = 10.0, 0.3, 0.15
_DISSOLVE_LEVELS, _DISSOLVE_REMAINDER = 8.0, 0.15

FrameSignature = npt.NDArray[np.uint8]  # (54, 96), or (96, 54) for a portrait frame


@dataclass(frozen=True)
class Rejection:
    """Why a triplet is not taken.

    Attributes:
        reason: ``"scene cut"``, ``"duplicated frame"`` or ``"fade"``.
        numbers: The measurements behind it; changes are in levels of 255.
    """

    reason: str
    numbers: dict[str, float]


def signature(luma: npt.NDArray[np.uint8]) -> FrameSignature:
    """Return the signature of a luma plane, uint8 (height, width), any size: the same bits on every CPU."""
    height, width = luma.shape
    size = (_LONG_SIDE, _SHORT_SIDE) if width >= height else (_SHORT_SIDE, _LONG_SIDE)
    rows = luma[:: max(1, height // (size[1] * _ROWS_PER_CELL))]
    return np.asarray(Image.fromarray(rows).resize(size, Image.Resampling.BOX))


def change(a: FrameSignature, b: FrameSignature) -> float:
    """Return the mean absolute difference of two signatures, in levels."""
    return float(cv2.absdiff(a, b).mean())


def unexplained_change(a: FrameSignature, b: FrameSignature) -> float:
    """Return how much of the change between two pictures no motion of up to 4 % of the width explains, in levels."""
    return _unexplained_one_way(a, b) + _unexplained_one_way(b, a)


def is_scene_cut(
    img0: FrameSignature, img1: FrameSignature, *, recent: Sequence[float] = (), levels: float = CUT_LEVELS
) -> bool:
    """Return whether a cut lies between two consecutive frames of a stream.

    Args:
        levels: Smallest ``unexplained_change`` that is a cut.
        recent: ``unexplained_change`` of the last few steps that were no cuts; without any, the level decides alone.
    """
    step = unexplained_change(img0, img1)
    usual = float(np.median(recent)) if recent else 0.0
    return step >= levels and step >= _CUT_RATIO * usual and not _is_fade(img0, img1)


class CutFinder:
    """Tells cuts in a stream, beside the last eight steps of its scene."""

    def __init__(self, levels: float | None = CUT_LEVELS) -> None:
        """Begin a scene.

        Args:
            levels: Smallest ``unexplained_change`` that is a cut; ``None`` takes no step for one.
        """
        self._levels = levels
        self._recent: deque[float] = deque(maxlen=_CUT_MEMORY)

    def is_cut(self, img0: FrameSignature, img1: FrameSignature) -> bool:
        """Return whether a cut lies between two frames; give the steps of a stream in order."""
        if self._levels is None:
            return False
        if is_scene_cut(img0, img1, recent=self._recent, levels=self._levels):
            self._recent.clear()
            return True
        self._recent.append(unexplained_change(img0, img1))
        return False


def find_rejection(signatures: Sequence[FrameSignature]) -> Rejection | None:
    """Return why the triplet (first, middle, last) of a stretch of consecutive frames is to be rejected, or ``None``.

    Args:
        signatures: Of all frames from img0 to img1, both included; an odd number, at least 3.

    Raises:
        ValueError: The number is even or below 3.
    """
    if len(signatures) < 3 or len(signatures) % 2 == 0:
        raise ValueError(f"number of signatures ({len(signatures)}) must be odd and at least 3")
    img0, gt, img1 = signatures[0], signatures[len(signatures) // 2], signatures[-1]
    return _find_cut(signatures) or _find_duplicate(img0, gt, img1) or _find_fade(img0, gt, img1)


def is_static(signatures: Sequence[FrameSignature]) -> bool:
    """Return whether nothing moves: every frame shows the first picture again, up to coding noise."""
    return all(_is_same(signatures[0], other) for other in signatures[1:])


def is_repeat(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> bool:
    """Return whether a luma plane shows the other one again, up to coding noise; both uint8 of one shape."""
    if not _is_same(signature(a), signature(b)):
        return False
    height, width = (max(1, side // _SAME_BLOCK) for side in a.shape)
    blocks = cv2.resize(cv2.absdiff(a, b), (width, height), interpolation=cv2.INTER_AREA)
    return float(blocks.max()) <= _SAME_BLOCK_LEVELS


def _find_cut(signatures: Sequence[FrameSignature]) -> Rejection | None:
    steps = [unexplained_change(a, b) for a, b in itertools.pairwise(signatures)]
    largest = int(np.argmax(steps))
    usual = float(np.median(steps[:largest] + steps[largest + 1 :]))
    if steps[largest] < CUT_LEVELS or steps[largest] < _CUT_RATIO * usual:
        return None
    if _is_fade(signatures[largest], signatures[largest + 1]):
        return None
    return Rejection("scene cut", {"step": steps[largest], "usual_step": usual, "after_frame": float(largest)})


def _find_duplicate(img0: FrameSignature, gt: FrameSignature, img1: FrameSignature) -> Rejection | None:
    whole = change(img0, img1)
    for name, other in (("img0", img0), ("img1", img1)):
        part = change(other, gt)
        if _is_same(other, gt) and whole >= max(_MOVING_LEVELS, _DUPLICATE_RATIO * part):
            return Rejection("duplicated frame", {f"gt_to_{name}": part, "img0_to_img1": whole})
    return None


def _find_fade(img0: FrameSignature, gt: FrameSignature, img1: FrameSignature) -> Rejection | None:
    raw = unexplained_change(img0, img1)
    if _is_fade(img0, img1):
        return Rejection("fade", {"change": raw, "after_matching_brightness": _after_matching(img0, img1)})
    # A cross-fade: the middle is the mean of two pictures that no motion connects.
    mean = (img0.astype(np.float32) + img1) / 2
    remainder = float(np.abs(gt - mean).mean())
    if raw >= _DISSOLVE_LEVELS and remainder <= _DISSOLVE_REMAINDER * change(img0, img1):
        return Rejection("fade", {"change": raw, "distance_of_gt_from_mean": remainder})
    return None


def _is_same(a: FrameSignature, b: FrameSignature) -> bool:
    difference = cv2.absdiff(a, b)
    return bool(difference.max() <= _SAME_MAX_LEVELS and difference.mean() <= _SAME_MEAN_LEVELS)


def _is_fade(a: FrameSignature, b: FrameSignature) -> bool:
    raw = unexplained_change(a, b)
    # Against the flat sky of another scene everything matches once its contrast is taken away, hence the second bound.
    flat = min(float(a.std()), float(b.std()))
    bound = min(_FADE_REMAINDER * raw, max(0.5, _FADE_REMAINDER_OF_CONTRAST * flat))
    return raw >= _FADE_LEVELS and _after_matching(a, b) <= bound


def _after_matching(a: FrameSignature, b: FrameSignature) -> float:
    """Return the unexplained change after the livelier picture has been given the other's brightness and contrast."""
    lively, dull = (a, b) if a.std() >= b.std() else (b, a)
    gain = float(dull.std()) / max(float(lively.std()), 1.0)
    matched = (lively - np.float32(lively.mean())) * gain + float(dull.mean())
    return unexplained_change(np.clip(np.rint(matched), 0, 255).astype(np.uint8), dull)


def _unexplained_one_way(a: FrameSignature, b: FrameSignature) -> float:
    low, high = cv2.erode(a, _REACH), cv2.dilate(a, _REACH)
    return float(cv2.subtract(b, high).mean() + cv2.subtract(low, b).mean())
