"""When the frames of the output are shown. Pure, in exact fractions: rounding errors never add up to drift."""

import math
from dataclasses import dataclass
from fractions import Fraction

_SNAP = Fraction(1, 50)  # a frame asked for this close to an original is the original: containers round to 1 ms
_MIN_TICKS = 10_000  # ticks per second of an output with a fixed rate: finer than what any container keeps
# FFmpeg keeps rates and units of time in 32 bits, MP4 the duration of a frame: at most 7 minutes in these ticks.
MAX_DENOMINATOR = 100_000
_FINEST_TICK = Fraction(1, 10_000_000)


@dataclass(frozen=True)
class Slot:
    """One frame to be shown.

    Attributes:
        pts: When, in seconds.
        timestep: Where between the two originals: 0 is the first, 1 the second, else it is to be made.
    """

    pts: Fraction
    timestep: Fraction


@dataclass(frozen=True)
class Timeline:
    """The rule for an output: ``factor`` times the frames of the input, or ``fps`` frames per second.

    Attributes:
        factor: How many frames take the place of each one; time stamps of the originals stay as they are.
        fps: Frames per second of the output, or ``None`` for ``factor``.
    """

    factor: int = 2
    fps: Fraction | None = None

    def slots(self, pts0: Fraction, pts1: Fraction, *, start: Fraction, span: int = 1) -> list[Slot]:
        """Return what is shown from ``pts0`` (included) to ``pts1`` (not included), in order.

        Args:
            pts0, pts1: When the two originals are shown, in seconds.
            start: When the first frame of the video is shown.
            span: For how many frames of the input that time stands.
        """
        if self.fps is None:
            count = self.factor * span
            return [Slot(pts0 + (pts1 - pts0) * k / count, Fraction(k, count)) for k in range(count)]
        first = math.ceil((pts0 - start) * self.fps)
        last = math.ceil((pts1 - start) * self.fps)
        times = [start + k / self.fps for k in range(first, last)]
        return [Slot(pts, _snap((pts - pts0) / (pts1 - pts0))) for pts in times]

    def time_base(self, source: Fraction) -> Fraction:
        """Return the output's unit of time in seconds, given the input's."""
        if self.fps is None:
            return max(source / self.factor, _FINEST_TICK)
        return Fraction(1, self.fps.numerator * math.ceil(_MIN_TICKS / self.fps.numerator))

    def output_fps(self, source: Fraction) -> Fraction:
        """Return the average frame rate of the output, given the input's, as a fraction that fits into headers."""
        return (self.fps or source * self.factor).limit_denominator(MAX_DENOMINATOR)


def decoding_times(pts: list[int]) -> list[int]:
    """Return the decoding time of each packet, for presentation times in decoding order.

    Each is the presentation time as many places earlier as pictures are reordered at most: never after its own
    presentation time, always rising, also where independently encoded pieces meet.
    """
    order = sorted(pts)
    rank = {value: place for place, value in enumerate(order)}
    delay = max((place - rank[value] for place, value in enumerate(pts)), default=0)
    step = max(1, order[1] - order[0]) if len(order) > 1 else 1
    early = [order[0] - step * k for k in range(delay, 0, -1)]
    return [*early, *order[: len(order) - delay]]


def _snap(timestep: Fraction) -> Fraction:
    if timestep < _SNAP:
        return Fraction(0)
    return Fraction(1) if timestep > 1 - _SNAP else timestep
