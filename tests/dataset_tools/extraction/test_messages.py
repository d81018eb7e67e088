"""Jobs and answers go through a pipe: what comes out is what went in, of the same types."""

from pathlib import Path

import pytest

from dataset_tools.sources import Clip
from dataset_tools.sources.clip_frames import Treatment
from dataset_tools.workers.messages import (
    HEARTBEAT,
    Answer,
    ExtractJob,
    ProbeJob,
    RebuildJob,
    WantedFrame,
    answer_from_json,
    job_from_json,
    to_json,
)

VIDEO = Clip("videos", "a/ü \n.mp4", Path("clips") / "a" / "ü \n.mp4", official_split="val", max_interval=4)
IMAGES = Clip("frames", "b", Path("b"), frame_files=("1.png", "2.png"), frame_rate=23.976)
EXTRACT = ExtractJob(
    clip=VIDEO,
    sha256=None,
    origin="0" * 64,
    out=Path("set"),
    num_frames=24,
    moving=3,
    statics=((0, 1, 2), (4, 6, 8)),
    tiers=("256p", "720p"),
    intervals=(1, 4),
    seed=2**63,
    decoder="pyav",
    facts={"field_order": "tt", "pixel_aspect": 16 / 11, "transfer": None},
    interlaced="deinterlace",
)
REBUILD = RebuildJob(
    clip=IMAGES,
    wanted=(WantedFrame(7, "frames/b/256p/7.png", 454, 256, "1" * 64, None),),
    sha256="2" * 64,
    originals=Path("here"),
    out=Path("there"),
    decoder="decord",
    treatment=Treatment(deinterlace=True, hdr_transfer="smpte2084"),
)


@pytest.mark.parametrize("job", [ProbeJob(VIDEO, "pyav"), ProbeJob(IMAGES, "decord"), EXTRACT, REBUILD], ids=repr)
def test_a_job_is_read_as_it_was_written(job):
    line = to_json(job)
    assert line.index("\n") == len(line) - 1
    found = job_from_json(line)
    assert found == job
    assert repr(found) == repr(job)  # tuples and paths, not lists and text


@pytest.mark.parametrize(
    "answer",
    [
        Answer("done", value={"stored": {"256p": {"3": ["0" * 64, "ff"]}}, "sha256": None}),
        Answer("done", value=[]),
        Answer("unfit", message="clip a: interlaced\nsee --interlaced", reason="interlaced"),
        Answer("crash", message="the decoder's process died (status -9)"),
    ],
    ids=repr,
)
def test_an_answer_is_read_as_it_was_written_and_is_no_heartbeat(answer):
    line = to_json(answer)
    assert line.index("\n") == len(line) - 1
    assert line != HEARTBEAT
    assert answer_from_json(line) == answer
