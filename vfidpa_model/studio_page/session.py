"""What the page works on: a clip, the settings, a try-out, the result; and what each button does."""

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import torch

from dataset_tools.common.device import select_device
from dataset_tools.common.progress import Progress
from dataset_tools.errors import UsageError
from vfidpa_model.inference.assessor import Assessor, load_checkpoint
from vfidpa_model.interpolation.batch import output_name
from vfidpa_model.interpolation.encoders import EncoderChoice
from vfidpa_model.interpolation.job import Job, Outcome, Routing, describe_routes
from vfidpa_model.interpolation.models import build_dynamic
from vfidpa_model.interpolation.options import parse_target
from vfidpa_model.interpolation.run import run_job
from vfidpa_model.interpolation.timeline import Timeline
from vfidpa_model.interpolation.tracks import DROP_CHOICES
from vfidpa_model.studio_page.analysis import Clip, KeptPair, analyse
from vfidpa_model.studio_page.pictures import draw_difficulty, draw_refined
from vfidpa_model.studio_page.tasks import Task, Worker

TRIAL_SECONDS = 5
_FOR_BROWSERS = EncoderChoice("libx264", crf=16, preset="veryfast", options={"pix_fmt": "yuv420p"})


@dataclass(frozen=True)
class Settings:
    """What can be set on the page, in the words of the command's options.

    Attributes:
        container: Ending of the output; empty for that of the input.
        codec: FFmpeg's encoder; empty for the usual one.
    """

    effort: float
    factor: int
    codec: str = ""
    container: str = ""


@dataclass(frozen=True)
class Trial:
    """Five seconds before and after, by the names under which the server gives them."""

    start: float
    before: str
    after: str
    samples: str
    summary: str


@dataclass(frozen=True)
class Result:
    """A finished output, by the name under which the server gives it."""

    path: Path
    token: str
    summary: str


@dataclass
class Shown:
    """What the page shows.

    Attributes:
        refined: Frames with a line around what would be refined at ``effort``: pair, share of the area, picture.
        version: Grows with every change.
    """

    clip: Clip | None = None
    plot: str = ""
    refined: list[tuple[KeptPair, float, str]] = field(default_factory=list)
    effort: float = 0.0
    trial: Trial | None = None
    result: Result | None = None
    version: int = 0

    def change(self, **values: object) -> None:
        """Take over new values."""
        for name, value in values.items():
            setattr(self, name, value)
        self.version += 1


class Session:
    """The one session of a server.

    Attributes:
        worker: Runs what the buttons start.
        shown: What the page shows.
    """

    def __init__(self, folder: Path, *, device: str = "auto") -> None:
        """Work in ``folder``, which its owner removes."""
        self.folder, self.worker, self.shown = folder, Worker(), Shown()
        self._device = device
        self._media: dict[str, Path | bytes] = {}
        self._assessor: Assessor | None = None

    def media(self, token: str) -> Path | bytes | None:
        """Return what the page was told to load under a name; nothing else can be had."""
        return self._media.get(token)

    def look(self, path: Path, settings: Settings) -> None:
        """Begin to look at a file.

        Raises:
            UsageError: Something else runs.
        """
        self.worker.start(f"looking at {path.name}", partial(self._look, path.expanduser(), settings))

    def draw(self, settings: Settings) -> None:
        """Begin to draw where the accurate interpolator would work.

        Raises:
            UsageError: Something else runs, or there is no clip.
        """
        clip = self._clip()
        self.worker.start("drawing", lambda task: self._draw(clip, settings, task))

    def try_out(self, start: float, settings: Settings) -> None:
        """Begin a try-out of five seconds.

        Raises:
            UsageError: Something else runs, or there is no clip.
        """
        job = self._job(settings)
        part = Fraction(max(0.0, min(start, self._clip().seconds - 0.1))).limit_denominator(1000)
        length = Fraction(TRIAL_SECONDS)
        job = replace(job, start=part, duration=length, encoder=_FOR_BROWSERS, container="mp4", drop=DROP_CHOICES)
        self.worker.start(f"trying {TRIAL_SECONDS} seconds", partial(self._try, job))

    def interpolate(self, settings: Settings) -> None:
        """Begin the whole clip; what a cancelled run with the same settings has finished is kept.

        Raises:
            UsageError: Something else runs, or there is no clip.
        """
        job = self._job(settings)
        self.worker.start(f"interpolating {job.source.name}", partial(self._interpolate, job))

    def _clip(self) -> Clip:
        if self.shown.clip is None:
            raise UsageError("choose a video first")
        return self.shown.clip

    def _job(self, settings: Settings) -> Job:
        """Return the whole clip as a job; each set of settings has a folder of its own."""
        source = self._clip().path
        digest = hashlib.sha256(f"{source.resolve()} {settings}".encode()).hexdigest()[:12]
        name = output_name(source, settings.container or None)
        target, container = parse_target(source, self.folder / digest / name, None)
        return Job(
            source,
            target,
            Timeline(factor=settings.factor),
            Routing("rife", effort=settings.effort),
            container,
            EncoderChoice(settings.codec or None),
            damage="hold",
        )

    def _look(self, path: Path, settings: Settings, task: Task) -> None:
        job = Job(path, self.folder / "none.mkv", None, Routing("rife"), "matroska", damage="hold")
        self._assessor = self._assessor or load_checkpoint("light", device=self._chosen_device())
        clip = analyse(job, self._assessor, lambda share, count: task.report(share, f"{count} frames"))
        self._media.clear()
        plot = self._offer(draw_difficulty(clip)) if clip.scored else ""
        self.shown.change(clip=clip, plot=plot, refined=[], trial=None, result=None)
        self._draw(clip, settings, task)

    def _draw(self, clip: Clip, settings: Settings, task: Task) -> None:
        device = self._chosen_device()
        task.report(None, "finding where the accurate interpolator would work")
        dynamic = build_dynamic(Routing("rife", effort=settings.effort), device)
        drawn = draw_refined(clip.hardest, dynamic, device)
        refined = [(pair, area, self._offer(picture)) for pair, area, picture in drawn]
        self.shown.change(refined=refined, effort=settings.effort)

    def _try(self, job: Job, task: Task) -> None:
        device = self._chosen_device()
        dynamic = build_dynamic(job.routing, device)
        folder = self.folder / "trial"
        before, after, samples = folder / "before.mp4", folder / "after.mp4", folder / "samples.html"
        run = partial(run_job, device=self._device, overwrite=True, restart=True, dynamic=dynamic)
        plain = replace(job, target=before, timeline=Timeline(factor=1))
        run(plain, on_progress=partial(_report, task, "before"))
        made = replace(job, target=after, preview=samples)
        outcome = run(made, on_progress=partial(_report, task, "after"), on_note=task.notes.append)
        names = self._offer(before), self._offer(after), self._offer(samples)
        self.shown.change(trial=Trial(float(job.start or 0), *names, summary=_summary(outcome)))

    def _interpolate(self, job: Job, task: Task) -> None:
        job.target.parent.mkdir(exist_ok=True)
        progress = partial(_report, task, "")
        outcome = run_job(job, device=self._device, overwrite=True, on_note=task.notes.append, on_progress=progress)
        self.shown.change(result=Result(job.target, self._offer(job.target), _summary(outcome)))

    def _chosen_device(self) -> torch.device:
        return select_device(self._device)

    def _offer(self, thing: Path | bytes) -> str:
        token = secrets.token_urlsafe(16)
        self._media[token] = thing
        return token


def _report(task: Task, part: str, progress: Progress) -> None:
    words = f"{progress.done} of {progress.total} pairs" if progress.total else f"reading, {progress.done} frames"
    share = progress.done / progress.total if progress.total else None
    task.report(share, f"{part}: {words}" if part else words)


def _summary(outcome: Outcome) -> str:
    return f"{outcome.frames} frames; {describe_routes(outcome.routes, outcome.area)}; {outcome.stream_seconds:.1f} s"
