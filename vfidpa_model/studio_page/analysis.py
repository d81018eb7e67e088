"""A clip at a glance: its facts, where it is cut, and how hard its pairs are, from one pass through it."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from dataset_tools.errors import VideoError
from dataset_tools.frames import Rgb
from dataset_tools.levels import HARD_ABOVE
from dataset_tools.video.cuts import CutFinder, FrameSignature, signature
from dataset_tools.video.facts import HDR_TRANSFERS, clip_facts
from dataset_tools.video.past_damage import DamageLog
from dataset_tools.video.pyav import PyavFrame, PyavReader
from vfidpa_model.inference.assessor import Assessor
from vfidpa_model.interpolation.job import Job
from vfidpa_model.interpolation.look import shown_to
from vfidpa_model.interpolation.survey import survey

_MOST_SCORES = 120  # finer than scenes are; a pair takes the light model some 50 to 100 ms on a CPU core
_PARTS = 4  # of the clip: the hardest pair of each is kept
_LEAST_SIDE = 64  # of what VFI-DPA sees
_SHOWN_CUTS = 6

OnFrame = Callable[[float | None, int], None]  # the share that is read, where it can be told, and the frames


@dataclass(frozen=True)
class ScoredPair:
    """A pair of neighbouring frames.

    Attributes:
        seconds: When its first frame is shown, from the first frame of the clip.
        score: Its difficulty on the level scale.
    """

    seconds: float
    score: float


@dataclass(frozen=True)
class KeptPair(ScoredPair):
    """A pair with its pictures."""

    img0: Rgb
    img1: Rgb


@dataclass(frozen=True)
class Clip:
    """What is known of a clip.

    Attributes:
        facts: In words, by name.
        notes: What is wrong with it, a sentence at a time.
        seconds: How long it is.
        cuts: When the scenes begin, the first one left out, in seconds.
        scored: Pairs evenly spread over the clip; none for frames too small for VFI-DPA.
        hardest: The hardest pair of each quarter, in order.
    """

    path: Path
    facts: dict[str, str]
    notes: list[str]
    seconds: float
    cuts: list[float]
    scored: list[ScoredPair]
    hardest: list[KeptPair]


def analyse(job: Job, assessor: Assessor, on_frame: OnFrame) -> Clip:
    """Return what is to be seen of a job's input; it is decoded once.

    Args:
        on_frame: Told about every frame; what it raises ends the analysis.

    Raises:
        VideoError: The input cannot be read.
    """
    log = DamageLog()
    if not job.source.is_file():
        raise VideoError(f"clip {job.source}: there is no such file")
    with job.input.open(log) as reader:
        watcher = _Watcher(assessor, _told_seconds(reader), on_frame)
        found = survey(reader, log, shown_to(watcher.see, reader.frames()), damage=job.damage)
        times = [float(pts - found.plan.pts[0]) for pts in found.plan.pts]
        seconds = float(found.plan.end - found.plan.pts[0])
        cuts = [times[number] for number in watcher.cuts if number < len(times)]
        scored = [ScoredPair(times[n], score) for n, score in sorted(watcher.scores.items()) if n + 1 < len(times)]
        facts = _facts(job.source, reader, len(times), seconds, cuts) | _difficulty(scored)
        if found.plan.is_uneven:
            facts["Frame rate"] = f"varies, {len(times) / seconds:.3g} per second on average"
        if found.plan.repeats:
            facts["Repeated frames"] = f"{len(found.plan.repeats)}: smooth the motion over them where it is animation"
    return Clip(
        job.source, facts, found.notes, seconds, cuts, scored, [watcher.hardest[k] for k in sorted(watcher.hardest)]
    )


class _Watcher:
    """Looks at the frames of a clip as they go by."""

    def __init__(self, assessor: Assessor, told_seconds: Fraction | None, on_frame: OnFrame) -> None:
        self._assessor, self._told, self._on_frame = assessor, told_seconds, on_frame
        self._finder, self._every = CutFinder(), 1
        self._last: tuple[PyavFrame, FrameSignature] | None = None
        self._first: Fraction | None = None
        self.cuts: list[int] = []
        self.scores: dict[int, float] = {}
        self.hardest: dict[int, KeptPair] = {}

    def see(self, frame: PyavFrame) -> None:
        """Take the next frame."""
        seen = signature(frame.luma())
        if self._first is None:
            self._first = frame.pts
        if self._last is not None:
            before, picture = self._last
            if self._finder.is_cut(picture, seen):
                self.cuts.append(frame.index)
            elif before.index % self._every == 0 and min(frame.raw.width, frame.raw.height) >= _LEAST_SIDE:
                self._score(before, frame)
        self._last = frame, seen
        share = None if not self._told else min(1.0, float((frame.pts - self._first) / self._told))
        self._on_frame(share, frame.index + 1)

    def _score(self, before: PyavFrame, frame: PyavFrame) -> None:
        img0, img1 = before.rgb(), frame.rgb()
        score = float(self._assessor.predict(img0, img1)[0])
        self.scores[before.index] = score
        if len(self.scores) > 2 * _MOST_SCORES:  # nobody knows how many will come: every other one goes
            self._every *= 2
            self.scores = {index: kept for index, kept in self.scores.items() if index % self._every == 0}
        seconds = before.pts - (self._first or 0)
        part = 0 if not self._told else min(_PARTS - 1, int(_PARTS * seconds / self._told))
        if part not in self.hardest or score > self.hardest[part].score:
            self.hardest[part] = KeptPair(float(seconds), score, img0, img1)


def _told_seconds(reader: PyavReader) -> Fraction | None:
    """Return how long a clip says it is."""
    stream = reader.stream
    if stream.duration and stream.time_base:
        return Fraction(stream.duration * stream.time_base)
    return Fraction(reader.container.duration, av.time_base) if reader.container.duration else None


def _facts(path: Path, reader: PyavReader, frames: int, seconds: float, cuts: list[float]) -> dict[str, str]:
    told: dict[str, Any] = clip_facts(path, decoder="pyav")
    sound = [stream.codec_context.name for stream in reader.container.streams.audio if stream.codec_context]
    depth = f", {told['bit_depth']} bit" if told["bit_depth"] != 8 else ""
    depth += ", HDR" if told["transfer"] in HDR_TRANSFERS else ""
    return {
        "File": path.name,
        "Picture": f"{reader.info.width} x {reader.info.height}, {told['codec']}{depth}",
        "Length": f"{clock(seconds)}, {frames} frames",
        "Frame rate": f"{told['frame_rate']:.5g} per second",
        "Sound": ", ".join(sound) or "none",
        "Cuts": _places(cuts),
    }


def _places(cuts: list[float]) -> str:
    if not cuts:
        return "none found"
    more = ", ..." if len(cuts) > _SHOWN_CUTS else ""
    return f"{len(cuts)}, at {', '.join(clock(at) for at in cuts[:_SHOWN_CUTS])}{more}"


def _difficulty(scored: list[ScoredPair]) -> dict[str, str]:
    if not scored:
        return {"Difficulty": f"not judged: no pairs, or frames below {_LEAST_SIDE} pixels"}
    mean = sum(pair.score for pair in scored) / len(scored)
    hard = sum(pair.score > HARD_ABOVE for pair in scored) / len(scored)
    return {"Difficulty": f"{mean:.1f} on average, from 1 (easy) to 4 (failed); {100 * hard:.0f} % of pairs are hard"}


def clock(seconds: float) -> str:
    """Return a time as people read it, e.g. ``2:05.40``."""
    minutes, rest = divmod(round(seconds * 100), 6000)
    return f"{minutes}:{rest / 100:05.2f}"
