"""Frames in, more frames out: the stage between decoding and encoding of ``vfidpa_model.interpolate``."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import numpy as np
import torch

from dataset_tools.errors import VideoError
from dataset_tools.video.cuts import CUT_LEVELS, CutFinder, FrameSignature, signature
from dataset_tools.video.pyav import PyavFrame
from vfidpa_model.interpolation.colours import FrameConverter, Pixels
from vfidpa_model.interpolation.plan import Plan
from vfidpa_model.interpolation.tensors import to_pixels, to_tensor
from vfidpa_model.interpolation.timeline import Slot, Timeline
from vfidpa_model.routing.dynamic import Decision, Pipeline, Route

_BATCH_PIXELS = 500_000  # smaller frames go in batches: measured gain up to 4 pairs of 448x256, none at 720p
_MOST_PAIRS = 4


@dataclass(frozen=True)
class SourceFrame:
    """A decoded frame of the input.

    Attributes:
        index: Its number in the plan.
        pts: When it is shown, in seconds.
        pixels: RGB, or ``None`` for a frame that is only passed on the way to where the work resumes.
    """

    index: int
    pts: Fraction
    raw: av.VideoFrame
    pixels: Pixels | None
    signature: FrameSignature


@dataclass(frozen=True)
class Shown:
    """A frame of the output: an original, or pixels that were made; with neither, the end of a piece.

    Attributes:
        piece: Number of the piece it belongs to.
        ticks: When it is shown, in the output's time base.
    """

    piece: int
    ticks: int
    original: av.VideoFrame | None = None
    made: Pixels | None = None


@dataclass(frozen=True)
class PairDone:
    """What is told about each finished pair.

    Attributes:
        decision: Score, route and time.
        made: The first frame made between the two, if any.
        routing: What the next choices rest on, see ``Pipeline.state``.
    """

    first: SourceFrame
    second: SourceFrame
    decision: Decision
    made: Pixels | None
    routing: str = ""


def read_source(
    frames: Iterator[PyavFrame], plan: Plan, converter: FrameConverter, *, skip: int = 0
) -> Iterator[SourceFrame]:
    """Yield the frames of a plan, converted from number ``skip`` on.

    Raises:
        VideoError: They end before the plan does.
    """
    number = -1
    for frame in frames:
        number = frame.index - plan.skip
        if number >= len(plan.pts):
            return
        if number < 0 or number in plan.dropped:
            continue
        is_needed = number >= skip or (plan.is_loop and number == 0)
        pixels = converter.pixels(frame.raw) if is_needed else None
        yield SourceFrame(number, plan.pts[number], frame.raw, pixels, signature(frame.luma()))
    if number + 1 < len(plan.pts) and not plan.is_open:
        raise VideoError(f"the clip ends after {number + 1} of {len(plan.pts)} frames; was it changed?")


class StreamInterpolator:
    """Puts frames between the frames of a stream; memory does not grow with its length."""

    def __init__(
        self,
        dynamic: Pipeline,
        timeline: Timeline,
        plan: Plan,
        *,
        time_base: Fraction,
        piece_frames: int,
        device: torch.device,
        cut_levels: float | None = CUT_LEVELS,
        on_pair: Callable[[PairDone], None] = lambda done: None,
    ) -> None:
        """Combine the networks with a timeline and the plan of an input.

        Args:
            time_base: Of the output, in seconds.
            piece_frames: Input frames per piece.
            cut_levels: Smallest change that is a cut (see ``is_scene_cut``), across which the nearer frame is repeated;
                ``None`` takes no step for a cut.
            on_pair: Called after every pair, in order.
        """
        self._dynamic, self._timeline, self._plan = dynamic, timeline, plan
        self._time_base, self._piece_frames = time_base, piece_frames
        self._device, self._on_pair = device, on_pair
        self._cuts = CutFinder(cut_levels)

    def run(self, frames: Iterator[SourceFrame]) -> Iterator[Shown]:
        """Yield the output in order; each piece ends with an empty ``Shown``."""
        waiting: list[_Pair] = []
        for first, second in _pairs(frames, self._plan):
            is_last = second is None or second.index >= len(self._plan.pts)
            ends_piece = is_last or (second is not None and self._piece(second) != self._piece(first))
            pair = None if second is None else self._pair(first, second)
            if pair is not None and pair.route in ("hold", "repeat"):
                yield from self._render(waiting)
                waiting = []
                yield from self._repeat(pair)
            elif pair is not None and first.pixels is not None:
                waiting.append(pair)
            if ends_piece or len(waiting) >= _batch_size(first):
                yield from self._render(waiting)
                waiting = []
            if first.pixels is None:
                continue
            if second is None:
                yield from self._hold(first)
            if ends_piece:
                yield Shown(self._piece(first), 0)

    @torch.inference_mode()
    def _make(
        self, pairs: Sequence["_Pair"], slots: list[list[Slot]]
    ) -> tuple[list[Decision], dict[tuple[int, Fraction], Pixels]]:
        """Return the decision per pair, and what was made for (pair, timestep)."""
        stack = [pairs[0].first, *(pair.second for pair in pairs)]
        everything = torch.cat([self._tensor(frame) for frame in stack])
        images, alphas = everything[:, :3], everything[:, 3:] if everything.shape[1] == 4 else None
        decisions = self._dynamic.decide(images[:-1], images[1:], cuts=[pair.route == "cut" for pair in pairs])
        made: dict[tuple[int, Fraction], Pixels] = {}
        for timestep in sorted({slot.timestep for row in slots for slot in row if 0 < slot.timestep < 1}):
            chosen = [
                i
                for i, row in enumerate(slots)
                if decisions[i].route not in ("repeat", "cut") and any(slot.timestep == timestep for slot in row)
            ]
            if not chosen:
                continue
            img0, img1 = images[:-1][chosen], images[1:][chosen]
            results, timed = self._dynamic.render(img0, img1, float(timestep), decisions=[decisions[i] for i in chosen])
            for i, result, decision in zip(chosen, results, timed, strict=True):
                decisions[i] = decision
                deep = stack[0].pixels is not None and stack[0].pixels.dtype != np.uint8
                if alphas is not None:
                    result = torch.cat([result, self._made_alpha(alphas, i, timestep)])
                made[i, timestep] = to_pixels(result, deep=deep)
        return decisions, made

    def _tensor(self, frame: SourceFrame) -> torch.Tensor:
        assert frame.pixels is not None
        return to_tensor(frame.pixels, self._device)

    def _made_alpha(self, alphas: torch.Tensor, pair: int, timestep: Fraction) -> torch.Tensor:
        """Return the transparency between two frames, (1, H, W): the fast network sees it as a grey picture."""
        img0, img1 = alphas[pair][None].expand(1, 3, -1, -1), alphas[pair + 1][None].expand(1, 3, -1, -1)
        if torch.equal(img0, img1):
            return alphas[pair]
        made: torch.Tensor = self._dynamic.fast.interpolate(img0, img1, float(timestep))
        return made[0].mean(0, keepdim=True)

    def _render(self, pairs: Sequence["_Pair"]) -> Iterator[Shown]:
        if not pairs:
            return
        slots = [self._slots(pair) for pair in pairs]
        decisions, made = self._make(pairs, slots)
        routing = self._dynamic.state()
        for i, pair in enumerate(pairs):
            for slot in slots[i]:
                pixels = made.get((i, slot.timestep))
                # across a cut the nearer one, of a run of repeats the last of which is nearest
                nearer = pair.first if slot.timestep <= 1 - Fraction(1, 2 * pair.span) else pair.second
                yield Shown(
                    self._piece(pair.first), self._ticks(slot.pts), None if pixels is not None else nearer.raw, pixels
                )
            between = [made[i, slot.timestep] for slot in slots[i] if (i, slot.timestep) in made]
            self._on_pair(PairDone(pair.first, pair.second, decisions[i], between[0] if between else None, routing))

    def _repeat(self, pair: "_Pair") -> Iterator[Shown]:
        """Yield the first frame of a pair until the second comes."""
        if pair.first.pixels is None or pair.route is None:
            return
        for slot in self._slots(pair):
            yield Shown(self._piece(pair.first), self._ticks(slot.pts), pair.first.raw)
        self._on_pair(PairDone(pair.first, pair.second, Decision(None, pair.route, 0.0), None, self._dynamic.state()))

    def _hold(self, last: SourceFrame) -> Iterator[Shown]:
        """Yield the last frame for as long as it was shown: nothing follows to interpolate to."""
        for slot in self._timeline.slots(last.pts, self._plan.end_behind(last.index), start=self._plan.pts[0]):
            yield Shown(self._piece(last), self._ticks(slot.pts), last.raw)

    def _slots(self, pair: "_Pair") -> list[Slot]:
        return self._timeline.slots(pair.first.pts, pair.second.pts, start=self._plan.pts[0], span=pair.span)

    def _pair(self, first: SourceFrame, second: SourceFrame) -> "_Pair":
        if second.index >= len(self._plan.pts):  # the first frame again, at the end of a loop
            return _Pair(first, second, 1, "cut" if self._cuts.is_cut(first.signature, second.signature) else None)
        span = self._plan.span(first.index, second.index)
        if self._plan.is_held(first.index, second.index):
            return _Pair(first, second, span, "hold")
        if second.index in self._plan.repeats:
            return _Pair(first, second, span, "repeat")
        return _Pair(first, second, span, "cut" if self._cuts.is_cut(first.signature, second.signature) else None)

    def _piece(self, first: SourceFrame) -> int:
        return first.index // self._piece_frames

    def _ticks(self, pts: Fraction) -> int:
        return round(pts / self._time_base)


@dataclass(frozen=True)
class _Pair:
    """Two frames in a row, how many steps of the input lie between, and what is decided before any network runs."""

    first: SourceFrame
    second: SourceFrame
    span: int
    route: Route | None


def _pairs(frames: Iterator[SourceFrame], plan: Plan) -> Iterator[tuple[SourceFrame, SourceFrame | None]]:
    """Yield each frame with the one behind it; the last one with ``None``, in a loop with the first one again."""
    opening: SourceFrame | None = None
    for first, second in itertools.pairwise(itertools.chain(frames, (None,))):
        assert first is not None
        opening = opening or first
        if second is None and plan.is_loop:
            yield first, replace(opening, index=len(plan.pts), pts=plan.end)
        else:
            yield first, second


def _batch_size(frame: SourceFrame) -> int:
    return max(1, min(_MOST_PAIRS, _BATCH_PIXELS // (frame.raw.width * frame.raw.height)))
