"""Decoding an input once before any work: what can be shown and when, what repeats, and what is damaged."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.format import Flags
from av.video.reformatter import VideoReformatter

from dataset_tools.errors import VideoError
from dataset_tools.video.cuts import is_repeat
from dataset_tools.video.past_damage import DamageLog
from dataset_tools.video.pyav import PyavFrame, PyavReader
from dataset_tools.video.reader import Luma
from vfidpa_model.interpolation.colours import has_alpha
from vfidpa_model.interpolation.plan import Plan, Rising, long_gap, lost_frames, rising, usual_step

DAMAGE_CHOICES = ("stop", "hold")
_FEW_GAPS = 2
_OPAQUE = 255
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d\.\d+)")


@dataclass
class _Seen:
    """What a pass through the input has shown."""

    pts: list[Fraction] = field(default_factory=list)
    ticks: list[int | None] = field(default_factory=list)
    lengths: list[Fraction] = field(default_factory=list)
    repeats: set[int] = field(default_factory=set)
    is_clear: bool = False
    is_partial: bool = False


@dataclass(frozen=True)
class Survey:
    """The plan for an input, and what there is to say about it, a sentence at a time.

    Attributes:
        has_alpha: Whether any pixel is transparent.
        seams: Where the clock was set anew: the time there, and how much later what follows is shown, in seconds.
    """

    plan: Plan
    notes: list[str]
    seams: list[tuple[Fraction, Fraction]]
    has_alpha: bool


def survey(
    reader: PyavReader,
    log: DamageLog,
    frames: Iterator[PyavFrame],
    *,
    damage: str = "stop",
    max_gap: Fraction | None = None,
    until: Fraction | None = None,
    origin: Fraction | None = None,
) -> Survey:
    """Take all frames of a reader and return the plan for a second one.

    Args:
        reader: Opened with ``log``.
        frames: Of ``reader``.
        until: How many seconds of the input are needed.
        origin: When the first frame of the input is shown, where ``frames`` begin later.
        damage: ``"hold"`` takes an input with a hole inside.
        max_gap: See ``Plan``; ``None`` takes five usual steps.

    Raises:
        VideoError: The size changes, or pictures inside cannot be decoded and ``damage`` is ``"stop"``.
    """
    seen = _look(frames, until, origin)
    origin = seen.pts[0] if origin is None else origin
    flags, anywhere = int(reader.container.format.flags), cast(int, Flags.ts_discont.value)
    step = usual_step(seen.pts, 1 / reader.usual_fps)
    ticks = [value for value in seen.ticks if value is not None]
    is_clear = len(ticks) == len(seen.ticks) and ticks == sorted(set(ticks))
    before, lost, behind = lost_frames(ticks, log.packet_pts) if is_clear else (0, {}, 0)
    behind = 0 if seen.is_partial else behind
    kept = len(seen.pts)
    if log.ends_broken and is_clear:
        kept = _tail(ticks, lost, log)
        behind += kept_behind(lost, kept) + len(seen.pts) - kept
        lost = {number: count for number, count in lost.items() if number < kept - 1}
    times = rising(seen.pts[:kept], step, has_seams=bool(flags & anywhere))
    if lost and damage == "stop":
        raise VideoError(
            f"clip {reader.path}: {sum(lost.values())} pictures cannot be decoded, the first behind "
            f"{float(times.pts[min(lost)] - origin):.2f} s ({log.errors[0] if log.errors else 'damaged'}); give "
            "--damage hold to hold the last good picture there"
        )
    plan = Plan(
        pts=times.pts,
        end=_end(reader, log, seen, times.pts, step),
        usual_step=step,
        max_gap=long_gap(step) if max_gap is None else max_gap,
        repeats=frozenset(number for number in seen.repeats if number < kept),
        lost=lost,
    )
    notes = _damage_notes(plan, before, behind, log, origin) + _time_notes(plan, times, seen.lengths[:kept], origin)
    notes += [] if seen.is_partial else _early_end(reader, log, plan, times)
    return Survey(plan, notes, [(seen.pts[number], shift) for number, shift in times.seams.items()], seen.is_clear)


def kept_behind(lost: dict[int, int], kept: int) -> int:
    """Return how many of the lost frames lie behind the first ``kept`` ones."""
    return sum(count for number, count in lost.items() if number >= kept - 1)


def _look(frames: Iterator[PyavFrame], until: Fraction | None, origin: Fraction | None) -> _Seen:
    seen = _Seen()
    picture: Luma | None = None  # the first of a run of equal ones: small changes add up
    clearness: Luma | None = None
    reformatter = VideoReformatter()
    lengths: dict[int, Fraction] = {}  # nearly all are equal: one object for all, in films of many hours
    for frame in frames:
        raw = frame.raw
        seen.pts.append(frame.pts)
        seen.ticks.append(raw.pts)
        length = raw.duration * raw.time_base if raw.duration and raw.time_base else Fraction(0)
        seen.lengths.append(lengths.setdefault(raw.duration or 0, length))
        luma = frame.luma()
        alpha = _alpha(raw, reformatter) if has_alpha(raw.format) else luma[:0]
        seen.is_clear |= bool((alpha != _OPAQUE).any())
        is_same = picture is not None and is_repeat(picture, luma)
        if is_same and clearness is not None and np.array_equal(alpha, clearness):
            seen.repeats.add(len(seen.pts) - 1)
        else:
            picture, clearness = luma, alpha
        if until is not None and seen.pts[-1] - (seen.pts[0] if origin is None else origin) > until:
            seen.is_partial = True
            break
    return seen


def _alpha(raw: av.VideoFrame, reformatter: VideoReformatter) -> Luma:
    rgba: Any = reformatter.reformat(raw, format="rgba").to_ndarray()
    alpha: Luma = rgba[..., 3]
    return alpha


def noticing_repeats(frames: Iterator[PyavFrame], plan: Plan) -> Iterator[PyavFrame]:
    """Yield frames, and write those that repeat the picture before them into an open plan on the way."""
    picture: Luma | None = None
    for frame in frames:
        luma = frame.luma()
        if picture is not None and not has_alpha(frame.raw.format) and is_repeat(picture, luma):
            assert isinstance(plan.repeats, set)
            plan.repeats.add(frame.index)
        else:
            picture = luma
        yield frame


def _tail(ticks: Sequence[int], lost: dict[int, int], log: DamageLog) -> int:
    """Return how many frames there are before the first that was lost at the end.

    What is shown behind it was stored before it, and would jump.
    """
    restarts = [value for value in log.restarts if value is not None]
    last_restart = restarts[-1] if restarts else ticks[0]
    return next((number + 1 for number in sorted(lost) if ticks[number] >= last_restart), len(ticks))


def _end(reader: PyavReader, log: DamageLog, seen: _Seen, pts: Sequence[Fraction], step: Fraction) -> Fraction:
    """Return when the last frame ends.

    MP4 stores how long the pictures last in the order they are decoded: with B-frames, that of the last one shown
    belongs to another one. There the stream's own end counts, where it can be right.
    """
    stream, last, length = reader.stream, pts[-1], seen.lengths[len(pts) - 1]
    if len(pts) < len(seen.pts) or log.ends_broken or seen.is_partial:
        return last + step
    if not reader.container.format.name.startswith("mov"):
        return last + (length or step)
    if stream.duration and stream.time_base:
        told = (stream.duration + (stream.start_time or 0)) * stream.time_base
        if last < told <= last + max(seen.lengths):
            return Fraction(told)
    return last + step


def _damage_notes(plan: Plan, before: int, behind: int, log: DamageLog, origin: Fraction) -> list[str]:
    found = []
    if before:
        found.append(f"{_pictures(before)} before the first whole one cannot be decoded: left out")
    if plan.lost:
        place, count = float(plan.pts[min(plan.lost)] - origin), sum(plan.lost.values())
        found.append(f"{_pictures(count)} behind {place:.2f} s cannot be decoded: the last good one is held there")
    if behind:
        found.append(f"{_pictures(behind)} at the end cannot be decoded: left out; the file is cut off or damaged")
    elif log.ends_broken:
        found.append("the end of the file cannot be decoded: it is cut off or damaged")
    if log.num_marked and not (plan.lost or behind or log.ends_broken):
        found.append(f"packets marked as damaged: {log.num_marked}; their pictures decode without an error")
    return found


def _early_end(reader: PyavReader, log: DamageLog, plan: Plan, times: Rising) -> list[str]:
    """Return a sentence when the video ends well before the file says, by its own length where that is told."""
    stream = reader.stream
    is_mov = reader.container.format.name.startswith("mov")
    if times.seams or (is_mov and stream.frames and len(log.packet_pts) >= stream.frames):
        return []
    told, tolerance = _CLOCK.fullmatch(stream.metadata.get("DURATION", "")), plan.usual_step * Fraction(3, 2)
    if stream.duration and stream.time_base:
        ends = float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    elif told:  # in Matroska
        ends = 3600 * int(told[1]) + 60 * int(told[2]) + float(told[3])
    else:
        ends = (reader.container.duration or 0) / av.time_base
        tolerance = max(Fraction(1), Fraction(ends) / 100)  # sound may be longer
    missing = ends - float(plan.end)
    if missing <= tolerance:
        return []
    count = _pictures(round(missing / float(plan.usual_step)))
    return [f"the video ends {missing:.1f} s ({count}) before the file says ({ends:.1f} s): it may be cut off"]


def _time_notes(plan: Plan, times: Rising, lengths: Sequence[Fraction], origin: Fraction) -> list[str]:
    found = []
    if times.num_spread:
        found.append(
            f"time stamps that do not rise: {times.num_spread}; such frames are spread evenly up to the next one"
        )
    for number in times.seams:
        place = float(times.pts[number] - origin)
        found.append(f"the clock is set anew at {place:.2f} s (joined files?): what follows is put right behind")
    gaps = _gaps(plan, lengths)
    if gaps:
        place, count = float(plan.pts[min(gaps)] - origin), sum(gaps.values())
        found.append(f"{_pictures(count)} missing behind {place:.2f} s: bytes of the file may be lost there")
    return found


def _gaps(plan: Plan, lengths: Sequence[Fraction]) -> dict[int, int]:
    """Return how many frames fit between a frame's end and the next one, where that is rare: else the rate varies."""
    usual = lengths[0] if lengths and len(set(lengths)) == 1 and lengths[0] else plan.usual_step
    if max(lengths, default=usual) > usual:
        return {}  # the container knows of longer frames
    steps = (b - a for a, b in itertools.pairwise(plan.pts))
    gaps = {
        number: round(step / usual) - 1
        for number, step in enumerate(steps)
        if step > usual * Fraction(3, 2) and number not in plan.lost
    }
    return gaps if len(gaps) <= max(_FEW_GAPS, len(plan.pts) // 50) else {}


def _pictures(count: int) -> str:
    return f"{count} picture" if count == 1 else f"{count} pictures"
