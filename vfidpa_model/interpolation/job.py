"""What is asked of an interpolation, and what came of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from dataset_tools.errors import UsageError
from dataset_tools.interpolators.backend import check_backend
from dataset_tools.interpolators.precision import PRECISIONS
from dataset_tools.video.cuts import CUT_LEVELS
from vfidpa_model.interpolation.encoders import EncoderChoice
from vfidpa_model.interpolation.sources import Input
from vfidpa_model.interpolation.timeline import Timeline
from vfidpa_model.routing.shares import lopsided, lopsided_area

WITHOUT_CLOCK = ("image2", "yuv4mpegpipe", "rawvideo")  # FFmpeg's names of what has no time stamps
WITHOUT_TRACKS = ("image2", "gif", "apng", "webp", "yuv4mpegpipe", "rawvideo")  # FFmpeg's names of such containers


@dataclass(frozen=True)
class Routing:
    """Who interpolates what.

    Attributes:
        fast, accurate: Names of the interpolators, with ``fast_weights`` and ``accurate_weights``. ``accurate`` None
            is what goes on from ``fast`` in a cascade, and ``rife-full`` for whole pairs.
        assessor: RUN folder or checkpoint of VFI-DPA, or ``None``.
        threshold, budget, quality: How the threshold is set; at most one.
        effort: For the cascade: share of the accurate model's extra cost that may be spent.
        calibration: File that ``budget`` and ``quality`` are looked up in.
        flow_scale: At which share of the size both look for motion.
        precision: Of both interpolators, see ``dataset_tools.interpolators.precision.PRECISIONS``.
        backend: Of both interpolators, see ``dataset_tools.interpolators.backend.BACKENDS``.
    """

    fast: str
    accurate: str | None = None
    fast_weights: Path | None = None
    accurate_weights: Path | None = None
    assessor: Path | None = None
    threshold: float | None = None
    budget: float | None = None
    quality: float | None = None
    calibration: Path | None = None
    precision: str = "auto"
    flow_scale: float = 1.0
    effort: float | None = None
    backend: str = "auto"

    def __post_init__(self) -> None:
        """Check what can be told before anything is loaded.

        Raises:
            UsageError: Options exclude each other or lack what they need.
        """
        if sum(goal is not None for goal in (self.threshold, self.budget, self.quality)) > 1:
            raise UsageError("--threshold, --budget and --quality exclude each other; give one of them")
        if self.effort is not None and (self.routes_pairs or not 0 <= self.effort <= 1):
            if self.routes_pairs:
                raise UsageError("--effort refines parts of frames; leave out --assessor, --threshold and the like")
            raise UsageError(f"--effort ({self.effort:g}) must be from 0 (all fast) to 1 (all accurate)")
        if self.assessor is None and (self.budget is not None or self.quality is not None):
            raise UsageError("--budget and --quality need --assessor, the model they were calibrated with")
        if not 0 < self.flow_scale <= 1:
            raise UsageError(f"--flow-scale {self.flow_scale} must be above 0 and up to 1")
        if self.precision not in PRECISIONS:
            raise UsageError(f"--precision {self.precision!r} must be one of {', '.join(PRECISIONS)}")
        check_backend(self.backend)

    @property
    def routes_pairs(self) -> bool:
        """Is each pair sent to one of the interpolators, as the paper does it?"""
        return any(given is not None for given in (self.assessor, self.threshold, self.budget, self.quality))


@dataclass(frozen=True)
class Job:
    """What is to be done with a file.

    Attributes:
        container: FFmpeg's name of the output's container.
        timeline: When frames are shown; ``None`` keeps the input's rate.
        cut_levels: Smallest change that is a scene cut, across which the nearer frame is repeated; ``None``: none is.
        damage: ``stop`` before any work or ``hold`` the last good picture, where some inside cannot be decoded.
        drop: Kinds of tracks that are left out, see ``tracks.DROP_CHOICES``.
        stretch: How many seconds each one becomes.
        start, duration: The part of the input that is used, in seconds from its first frame.
        duplicates: ``keep`` repeated frames, or ``smooth`` the motion over them.
        is_loop: Put frames between the last and the first one, too.
        input_fps, raw: Of pictures and raw video, see ``sources.Input``.
        deinterlaces: Fill in the lines of interlaced pictures.
        max_gap: Longest distance that is bridged, in seconds; ``None`` takes a few of the usual steps.
    """

    source: Path
    target: Path
    timeline: Timeline | None
    routing: Routing
    container: str
    encoder: EncoderChoice = field(default_factory=EncoderChoice)
    cut_levels: float | None = CUT_LEVELS
    preview: Path | None = None
    damage: str = "stop"
    max_gap: Fraction | None = None
    drop: tuple[str, ...] = ()
    stretch: Fraction = Fraction(1)
    start: Fraction | None = None
    duration: Fraction | None = None
    duplicates: str = "keep"
    is_loop: bool = False
    deinterlaces: bool = False
    input_fps: Fraction = Fraction(24)
    raw: str | None = None

    @property
    def input(self) -> Input:
        """The input, opened by what it is."""
        return Input(self.source, self.input_fps, self.raw)

    @property
    def is_to_pipe(self) -> bool:
        """Whether the output goes to standard output."""
        return str(self.target) == "-"

    @property
    def has_tracks(self) -> bool:
        """Whether the output can hold more than pictures."""
        return self.container not in WITHOUT_TRACKS

    @property
    def whole(self) -> Path:
        """What appears when all is done: the output, or the folder of its pictures."""
        return self.target.parent if self.container == "image2" else self.target


@dataclass
class Outcome:
    """What was done.

    Attributes:
        routes: Pairs of the whole output by route.
        area: Sum over these pairs of the share of the area that was refined.
        unscored: Pairs whose score was no finite number.
        warnings: What is wrong with the routing, a sentence each.
        frames: Frames in the output.
        network_seconds: Time in routers and interpolators, in this run.
        stream_seconds: Time from the first frame decoded to the last one encoded, networks included, in this run.
        piece_count: Pieces of the whole output.
        resumed_pieces: Of them, those that an earlier run had finished.
    """

    routes: Counter[str] = field(default_factory=Counter)
    area: float = 0.0
    unscored: int = 0
    warnings: list[str] = field(default_factory=list)
    frames: int = 0
    network_seconds: float = 0.0
    stream_seconds: float = 0.0
    piece_count: int = 0
    resumed_pieces: int = 0


def describe_routes(routes: Counter[str], area: float = 0.0) -> str:
    """Return the share of each route in words, e.g. ``"pairs: 90 % refined, 10 % cut; refined 24 % of the area"``.

    Args:
        area: Sum over all pairs of the share of the area that was refined.
    """
    total = sum(routes.values())
    if not total:
        return "no pairs"
    shares = ", ".join(f"{100 * count / total:.0f} % {route}" for route, count in routes.most_common())
    made = routes["refined"] + routes["fast"]
    refined = f"; refined {100 * area / made:.0f} % of the area" if routes["refined"] else ""
    return f"pairs: {shares}{refined}"


def routing_warnings(outcome: Outcome, routing: Routing, setting: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each thing that makes a choice none: one route for nearly all, scores that are no numbers.

    Args:
        setting: Of the pipeline, see ``vfidpa_model.routing.dynamic.Pipeline``.
    """
    found = []
    routes = outcome.routes
    if routing.routes_pairs:
        judged, threshold = routes["fast"] + routes["accurate"], setting["--threshold"]
        remedy = "take a threshold from vfidpa_model.calibration" if routing.assessor else "choose another --threshold"
        found.append(lopsided(routes["accurate"] / max(judged, 1), pairs=judged, threshold=threshold, remedy=remedy))
        if outcome.unscored:
            found.append(f"{outcome.unscored} of {judged} pairs had a score that is no number; they went to accurate")
    elif setting["--effort"] is not None:
        made = routes["fast"] + routes["refined"]
        found.append(lopsided_area(outcome.area / max(made, 1), pairs=made, effort=setting["--effort"][0]))
    return [warning for warning in found if warning]
