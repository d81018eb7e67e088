"""A part of a file is decoded from the keyframe before it, and its frames are those of decoding from the beginning."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dataset_tools.video.past_damage import DamageLog
from tests.dataset_tools.tricky_clips import COUNT, FPS, read_number, write_clip
from vfidpa_model.interpolation.job import Job, Routing
from vfidpa_model.interpolation.look import frames_of, look
from vfidpa_model.interpolation.timeline import Timeline

OPEN = {"x264-params": "open-gop=1:keyint=8:min-keyint=8:scenecut=0:bframes=3:b-adapt=0:threads=1", "qp": "20"}
STRIPES = {"x264-params": "intra-refresh=1:keyint=8:scenecut=0:threads=1", "qp": "20"}
INTERLACED = {"x264-params": "tff=1:keyint=8:min-keyint=8:scenecut=0:threads=1", "qp": "20"}
FRAMES = 4
KEYFRAMES = 8  # one in so many frames; the first one is where a file begins anyway
STARTS = (0, 6, 7, 8, 9, 14, 15, 16, 21)


def part(path: Path, start: Fraction) -> tuple[list[int], list[Fraction], int | None]:
    """Return the numbers on the frames of a part, when they are shown, and where decoding began."""
    job = Job(
        path,
        path.with_suffix(".out"),
        Timeline(2),
        Routing("none"),
        "matroska",
        start=start,
        duration=Fraction(FRAMES, FPS),
    )
    work = look(job, lambda note: None)
    with job.input.open(DamageLog(), work.entry) as reader:
        first = work.plan.skip
        frames = [frame for frame in frames_of(job, reader) if 0 <= frame.index - first < len(work.plan.pts)]
        numbers = [read_number(frame.rgb()) for frame in frames]
    return numbers, list(work.plan.pts), work.entry and work.entry.ticks


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv", "in.mov", "in.ts"])
@pytest.mark.parametrize(
    ("options", "seeks"), [(None, True), (OPEN, False), (STRIPES, False)], ids=["closed", "open", "stripes"]
)
def test_a_part_has_the_frames_of_the_whole(tmp_path, name, options, seeks):
    path = tmp_path / name
    write_clip(path, options=options)
    begun = []
    for before in STARTS:  # halfway to the next frame: no container's rounding matters
        start = (before + Fraction(1, 2)) / FPS
        numbers, times, ticks = part(path, start)
        assert numbers == list(range(before + 1, min(COUNT, before + 1 + FRAMES)))
        shown = [float(number / Fraction(FPS) - start) for number in numbers]
        assert [float(value) for value in times] == pytest.approx(shown, abs=0.001)  # Matroska rounds
        begun.append(ticks is not None)
    assert begun == [seeks and name != "in.ts" and before >= KEYFRAMES for before in STARTS]


def test_a_part_begins_with_the_lines_that_the_whole_has_filled_in_there(tmp_path):
    """They rest on the picture before, which decoding from the keyframe would not have."""
    path = tmp_path / "in.mp4"
    write_clip(path, options=INTERLACED)
    job = Job(path, tmp_path / "out.mkv", Timeline(2), Routing("none"), "matroska", deinterlaces=True)
    pictures = []
    for each in (job, replace(job, start=Fraction(KEYFRAMES, FPS))):
        work = look(each, lambda note: None)
        with each.input.open(DamageLog(), work.entry) as reader:
            frames = list(frames_of(each, reader))
        pictures.append(frames[work.plan.skip if each.start else KEYFRAMES].rgb())
    np.testing.assert_array_equal(*pictures)
