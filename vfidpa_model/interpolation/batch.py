"""Several inputs in one call: each becomes a file in the output's folder; one that fails does not end the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dataset_tools.errors import UsageError, VfiError, VideoError
from vfidpa_model.interpolation.job import Job, Outcome
from vfidpa_model.interpolation.options import CONTAINERS, MOVING_SUFFIXES
from vfidpa_model.interpolation.sources import PICTURES

VIDEOS = (
    "mp4", "m4v", "mov", "mkv", "webm", "avi", "mts", "m2ts", "ts", "mpg", "mpeg", "vob", "wmv", "asf", "flv", "3gp",
    "3g2", "ogv", "ogg", "mxf", "nut", "gif", "y4m", "dv", "rm", "wtv",
)  # fmt: skip
_FALLBACK = "mkv"  # holds whatever the input has


@dataclass
class Summary:
    """What became of several inputs."""

    done: int = 0
    skipped: int = 0
    failed: int = 0

    def __str__(self) -> str:
        return f"{self.done} done, {self.skipped} there already, {self.failed} failed"


def is_batch(sources: Sequence[Path], target: Path) -> bool:
    """Return whether inputs and output are to be taken as several."""
    if len(sources) > 1 or (target.is_dir() and target.suffix.lower().removeprefix(".") not in CONTAINERS):
        return not (len(sources) == 1 and _holds_pictures(sources[0]))
    return sources[0].is_dir() and not _holds_pictures(sources[0])


def pairs(sources: Sequence[Path], target: Path, *, container: str | None) -> list[tuple[Path, Path]]:
    """Return each input with its output.

    Args:
        sources: Files, and folders of which the videos are taken.
        target: Folder of the outputs, which keep the inputs' names; it need not be there.

    Raises:
        VideoError: Nothing is there.
        UsageError: The target is a file, or two outputs would have one name.
    """
    if target.exists() and not target.is_dir():
        raise UsageError(f"output {target} must be a folder: there are several inputs")
    files = [file for source in sources for file in (_videos(source) if source.is_dir() else [source])]
    if not files:
        raise VideoError(f"no video is in {', '.join(map(str, sources))}")
    found: dict[Path, Path] = {}
    for file in files:
        output = target / output_name(file, container)
        if output in found:
            raise UsageError(f"inputs {found[output]} and {file} would both become {output}; do one of them by itself")
        found[output] = file
    return [(file, output) for output, file in found.items()]


def output_name(source: Path, container: str | None) -> str:
    """Return the name of an input's output: with the ending ``container``, else its own, if outputs can have it."""
    suffix = source.suffix.lower().removeprefix(".")
    ending = container or (suffix if suffix in (*CONTAINERS, *MOVING_SUFFIXES) else _FALLBACK)
    return f"{source.stem}.{ending}"


def run_batch(
    jobs: Sequence[Job],
    run: Callable[[Job], Outcome],
    *,
    overwrite: bool,
    on_done: Callable[[Job, Outcome], None],
    on_failed: Callable[[Job, Exception], None],
) -> Summary:
    """Do one job after the other, and return what became of them; outputs that are there are left alone."""
    summary = Summary()
    for job in jobs:
        if job.target.exists() and not overwrite:
            summary.skipped += 1
            continue
        try:
            outcome = run(job)
        except (VfiError, OSError) as error:
            summary.failed += 1
            on_failed(job, error)
            continue
        summary.done += 1
        on_done(job, outcome)
    return summary


def with_files(job: Job, source: Path, target: Path, container: str) -> Job:
    """Return a job like another one for other files."""
    preview = None if job.preview is None else job.preview / f"{target.stem}.html"
    return replace(job, source=source, target=target, container=container, preview=preview)


def _videos(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower().removeprefix(".") in VIDEOS)


def _holds_pictures(path: Path) -> bool:
    if not path.is_dir():
        return "%" in path.name
    endings = {file.suffix.lower().removeprefix(".") for file in path.iterdir()}
    return not endings & set(VIDEOS) and bool(endings & set(PICTURES))
