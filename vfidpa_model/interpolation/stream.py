"""Frames in, more frames out: the stage between decoding and encoding of ``vfidpa_model.interpolate``."""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import torch

from dataset_tools.errors import VideoError
from dataset_tools.video.cuts import FrameSignature, is_scene_cut, signature, unexplained_change
from dataset_tools.video.pyav import PyavReader
from vfidpa_model.interpolation.colours import FrameConverter, Pixels
from vfidpa_model.interpolation.timeline import Slot, Timeline
from vfidpa_model.routing.dynamic import Decision, DynamicInterpolator

_CUT_MEMORY = 8  # steps that tell what is usual in a scene
_BATCH_PIXELS = 500_000  # smaller frames go in batches: measured gain up to 4 pairs of 448x256, none at 720p
_MOST_PAIRS = 4


@dataclass(frozen=True)
class SourceFrame:
    """A decoded frame of the input.

    Attributes:
        pts, end: When it is shown and until when, in seconds; ``end`` counts only for the last frame.
        pixels: RGB, or ``None`` for a frame that is only passed on the way to where the work resumes.
    """

    index: int
    pts: Fraction
    end: Fraction
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
    """

    first: SourceFrame
    second: SourceFrame
    decision: Decision
    made: Pixels | None


def read_source(reader: PyavReader, converter: FrameConverter, *, skip: int = 0) -> Iterator[SourceFrame]:
    """Yield the frames of a clip, converted from frame ``skip`` on.

    Raises:
        VideoError: The stream is damaged, or its time stamps do not rise.
    """
    previous: SourceFrame | None = None
    for frame in reader.frames():
        raw = frame.raw
        length = raw.duration * raw.time_base if raw.duration and raw.time_base else 1 / reader.usual_fps
        pixels = converter.pixels(raw) if frame.index >= skip else None
        current = SourceFrame(frame.index, frame.pts, frame.pts + length, raw, pixels, signature(frame.luma()))
        if previous is not None and current.pts <= previous.pts:
            raise VideoError(
                f"clip {reader.path}: time stamps must rise: frames {previous.index} and {current.index} are shown at "
                f"{float(previous.pts):.3f} and {float(current.pts):.3f} s"
            )
        yield current
        previous = current


class StreamInterpolator:
    """Puts frames between the frames of a stream; memory does not grow with its length.

    Attributes:
        end: When the last frame ends, in seconds; known after ``run``.
    """

    def __init__(
        self,
        dynamic: DynamicInterpolator,
        timeline: Timeline,
        *,
        time_base: Fraction,
        piece_frames: int,
        device: torch.device,
        scene_cuts: bool = True,
        on_pair: Callable[[PairDone], None] = lambda done: None,
    ) -> None:
        """Combine the networks with a timeline.

        Args:
            time_base: Of the output, in seconds.
            piece_frames: Input frames per piece.
            scene_cuts: Repeat the nearer frame across a cut.
            on_pair: Called after every pair, in order.
        """
        self._dynamic, self._timeline = dynamic, timeline
        self._time_base, self._piece_frames = time_base, piece_frames
        self._device, self._scene_cuts, self._on_pair = device, scene_cuts, on_pair
        self._recent: deque[float] = deque(maxlen=_CUT_MEMORY)
        self._start = self.end = Fraction(0)

    def run(self, frames: Iterator[SourceFrame]) -> Iterator[Shown]:
        """Yield the output in order; each piece ends with an empty ``Shown``."""
        waiting: list[tuple[SourceFrame, SourceFrame, bool]] = []
        last: SourceFrame | None = None
        for first, second in itertools.pairwise(itertools.chain(frames, (None,))):
            assert first is not None
            if last is None:
                self._start = first.pts
            last = first
            ends_piece = (first.index + 1) % self._piece_frames == 0 or second is None
            if second is not None:
                cut = self._is_cut(first, second)
                if first.pixels is not None:
                    waiting.append((first, second, cut))
            if waiting and (ends_piece or len(waiting) >= _batch_size(waiting[0][0])):
                yield from self._render(waiting)
                waiting = []
            if first.pixels is not None:
                if second is None:
                    yield from self._hold(first)
                if ends_piece:
                    yield Shown(self._piece(first), 0)
        if last is not None:
            self.end = last.end

    @torch.inference_mode()
    def _make(
        self, pairs: Sequence[tuple[SourceFrame, SourceFrame, bool]], slots: list[list[Slot]]
    ) -> tuple[list[Decision], dict[tuple[int, Fraction], Pixels]]:
        """Return the decision per pair, and what was made for (pair, timestep)."""
        stack = [pairs[0][0], *(second for _, second, _ in pairs)]
        images = torch.cat([_to_tensor(frame.pixels, self._device) for frame in stack])
        decisions = self._dynamic.decide(images[:-1], images[1:], cuts=[cut for _, _, cut in pairs])
        made: dict[tuple[int, Fraction], Pixels] = {}
        for timestep in sorted({slot.timestep for row in slots for slot in row if 0 < slot.timestep < 1}):
            chosen = [
                i
                for i, row in enumerate(slots)
                if decisions[i].route in ("fast", "accurate") and any(slot.timestep == timestep for slot in row)
            ]
            if not chosen:
                continue
            img0, img1 = images[:-1][chosen], images[1:][chosen]
            results, timed = self._dynamic.render(img0, img1, float(timestep), decisions=[decisions[i] for i in chosen])
            for i, result, decision in zip(chosen, results, timed, strict=True):
                decisions[i] = decision
                made[i, timestep] = _to_pixels(
                    result, deep=stack[0].pixels is not None and stack[0].pixels.dtype != np.uint8
                )
        return decisions, made

    def _render(self, pairs: Sequence[tuple[SourceFrame, SourceFrame, bool]]) -> Iterator[Shown]:
        slots = [self._timeline.slots(first.pts, second.pts, start=self._start) for first, second, _ in pairs]
        decisions, made = self._make(pairs, slots)
        for i, (first, second, _) in enumerate(pairs):
            for slot in slots[i]:
                pixels = made.get((i, slot.timestep))
                nearer = first if slot.timestep <= Fraction(1, 2) else second
                yield Shown(
                    self._piece(first), self._ticks(slot.pts), None if pixels is not None else nearer.raw, pixels
                )
            between = [made[i, slot.timestep] for slot in slots[i] if (i, slot.timestep) in made]
            self._on_pair(PairDone(first, second, decisions[i], between[0] if between else None))

    def _hold(self, last: SourceFrame) -> Iterator[Shown]:
        """Yield the last frame for as long as it was shown: nothing follows to interpolate to."""
        for slot in self._timeline.slots(last.pts, last.end, start=self._start):
            yield Shown(self._piece(last), self._ticks(slot.pts), last.raw)

    def _is_cut(self, first: SourceFrame, second: SourceFrame) -> bool:
        if not self._scene_cuts:
            return False
        if is_scene_cut(first.signature, second.signature, recent=self._recent):
            self._recent.clear()
            return True
        self._recent.append(unexplained_change(first.signature, second.signature))
        return False

    def _piece(self, first: SourceFrame) -> int:
        return first.index // self._piece_frames

    def _ticks(self, pts: Fraction) -> int:
        return round(pts / self._time_base)


def _batch_size(frame: SourceFrame) -> int:
    return max(1, min(_MOST_PAIRS, _BATCH_PIXELS // (frame.raw.width * frame.raw.height)))


def _to_tensor(pixels: Pixels | None, device: torch.device) -> torch.Tensor:
    assert pixels is not None
    if pixels.dtype == np.uint8:
        return torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None].float().div_(255)
    return torch.from_numpy(pixels.astype(np.float32)).to(device).permute(2, 0, 1)[None].div_(65535)


def _to_pixels(frame: torch.Tensor, *, deep: bool) -> Pixels:
    levels = frame.float().clamp(0, 1).mul(65535 if deep else 255).round().permute(1, 2, 0)
    if deep:
        return levels.cpu().numpy().astype(np.uint16)
    return levels.to(torch.uint8).contiguous().cpu().numpy()
