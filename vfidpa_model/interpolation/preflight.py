"""What can be told before any work: whether the files can be read and written."""

import os
import re
import tempfile
from fractions import Fraction
from pathlib import Path

from dataset_tools.errors import VfiError, VideoError
from vfidpa_model.interpolation.job import Job
from vfidpa_model.interpolation.plan import Plan
from vfidpa_model.interpolation.timeline import Timeline

_MILLISECOND = Fraction(1, 1000)
_COARSE = {"matroska": _MILLISECOND, "webm": _MILLISECOND}  # containers whose clock is coarser than frame rates can be


def check_files(job: Job, *, overwrite: bool) -> None:
    """Check names of input and outputs, and that the outputs can be written.

    Raises:
        VfiError: One of them is no plain file, is another one of them, exists, or its folder cannot be written.
    """
    if str(job.source) == "-" or not (job.source.is_file() or _is_missing_file(job.source)):
        raise VfiError(f"input {job.source} must be a file, no pipe, folder or address; it is read twice: save it")
    for name, path in (("output", job.target), ("preview", job.preview)):
        if path is None:
            continue
        if path.exists() and not path.is_file():
            raise VfiError(f"{name} {path} is no file that could be replaced; choose another name")
        if path.exists() and job.source.exists() and path.samefile(job.source):
            raise VfiError(f"{name} {path} is the input; choose another name")
        _check_folder(name, path)
    if job.preview is not None and job.preview.absolute() == job.target.absolute():
        raise VfiError(f"preview {job.preview} is the output; choose another name")
    if os.path.lexists(job.target) and not overwrite:
        raise VfiError(f"output {job.target} exists; give --overwrite to replace it")


def check_clock(plan: Plan, timeline: Timeline, container: str) -> None:
    """Check that the output's container can tell its frames apart.

    Raises:
        VideoError: Its clock is too coarse.
    """
    coarsest = _COARSE.get(container)
    if coarsest is None:
        return
    step = 1 / timeline.fps if timeline.fps is not None else plan.usual_step / timeline.factor
    if step < coarsest:
        raise VideoError(
            f"{float(1 / step):.6g} frames per second are finer than the clock of {container}, "
            f"{float(coarsest * 1000):g} ms; name OUT .mp4 or .mov, or take fewer frames"
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
