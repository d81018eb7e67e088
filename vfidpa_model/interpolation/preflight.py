"""What can be told before any work: whether the files can be read and written."""

import os
import re
import tempfile
from fractions import Fraction
from pathlib import Path

from dataset_tools.errors import UsageError, VfiError, VideoError
from vfidpa_model.interpolation.job import Job
from vfidpa_model.interpolation.pictures import MOVING, check_moving
from vfidpa_model.interpolation.plan import Plan
from vfidpa_model.interpolation.timeline import Timeline

_MILLISECOND = Fraction(1, 1000)
_COARSE = {"matroska": _MILLISECOND, "webm": _MILLISECOND}  # containers whose clock is coarser than frame rates can be


def check_files(job: Job, *, overwrite: bool) -> None:
    """Check names of input and outputs, and that the outputs can be written.

    Raises:
        VfiError: One of them is no plain file, is another one of them, exists, or its folder cannot be written.
    """
    _check_input(job)
    outputs = [("preview", job.preview)] if job.is_to_pipe else [("output", job.target), ("preview", job.preview)]
    for name, path in outputs:
        if path is None:
            continue
        if path.exists() and not path.is_file():
            raise VfiError(f"{name} {path} is no file that could be replaced; choose another name")
        if path.exists() and job.source.exists() and path.samefile(job.source):
            raise VfiError(f"{name} {path} is the input; choose another name")
        _check_folder(name, path)
    if job.preview is not None and job.preview.absolute() == job.target.absolute():
        raise VfiError(f"preview {job.preview} is the output; choose another name")
    if job.container == "image2" and not overwrite and job.whole.exists() and any(job.whole.iterdir()):
        raise VfiError(f"output folder {job.whole} is not empty; give --overwrite to write into it")
    if not job.is_to_pipe and os.path.lexists(job.target) and not overwrite:
        raise VfiError(f"output {job.target} exists; give --overwrite to replace it")


def check_pipe(job: Job) -> None:
    """Check that a job does not ask of standard input what takes more than one look.

    Raises:
        UsageError: It does.
    """
    if job.raw is not None and not job.input.is_pipe:
        raise UsageError("--raw is about standard input; name IN -")
    asked = {
        "--start": job.start,
        "--duration": job.duration,
        "--loop": job.is_loop,
        "--duplicates smooth": job.duplicates == "smooth",
    }
    names = [name for name, value in asked.items() if value]
    if job.input.is_pipe and names:
        raise UsageError(f"{', '.join(names)} cannot be had of standard input, which is read once; save it to a file")
    if job.is_to_pipe and job.preview is not None:
        raise UsageError("--preview cannot be had with standard output; name OUT a file")


def check_clock(plan: Plan, timeline: Timeline, job: Job) -> None:
    """Check that the output can tell its frames apart.

    Raises:
        VideoError: Its clock is too coarse.
    """
    step = 1 / timeline.fps if timeline.fps is not None else plan.usual_step / timeline.factor
    if job.container in MOVING:
        check_moving(job.container, step, job.target)
    coarsest = _COARSE.get(job.container)
    if coarsest is not None and step < coarsest:
        raise VideoError(
            f"{float(1 / step):.6g} frames per second are finer than the clock of {job.container}, "
            f"{float(coarsest * 1000):g} ms; name OUT .mp4 or .mov, or take fewer frames"
        )


def _check_input(job: Job) -> None:
    if job.input.is_pipe or job.input.is_pictures:
        return
    if not (job.source.is_file() or _is_missing_file(job.source)):
        raise VfiError(
            f"input {job.source} must be a file, no pipe, folder or address; it is read twice: save it, or name IN -"
        )


def _check_folder(name: str, path: Path) -> None:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise VfiError(f"{name} {path} cannot be written: {folder}: {error.strerror}") from error


def _is_missing_file(path: Path) -> bool:
    return not path.exists() and not re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path))
