"""Extraction end to end on real clips: rows, pixels, repeats, interruptions, options. Worker processes are real."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dataset_tools.frames import fingerprint, pixels_sha256, read_image
from dataset_tools.sources import Clip
from dataset_tools.workers.messages import ProbeJob
from dataset_tools.workers.pool import WorkerPool
from tests.dataset_tools import replicas
from tests.dataset_tools.extracting import NAMES, contents, extract, manifest_of, rejected_of


def test_rows_are_balanced_and_files_are_all_there(first):
    manifest = manifest_of(first)
    frame = manifest.to_pandas()
    assert len(frame) == 24
    assert dict(frame.groupby("resolution", observed=True).size()) == {"256p": 16, "720p": 8}
    assert dict(frame[frame.resolution == "256p"].groupby("clip").size()) == {
        "bunny.mov": 8,
        "day 2/street.mkv.mp4": 4,
        "street.mp4": 4,
    }
    assert set(frame.split) <= {"train", "val", "test"}
    assert frame.groupby("clip").split.nunique().max() == 1
    assert set(frame.interval) == {1, 2, 3, 4}
    high, low = (set(frame[frame.resolution == tier].triplet_id.str.partition("@")[0]) for tier in ("720p", "256p"))
    assert high < low  # the same triplets, so that labels can be compared across tiers
    named = {row[name] for row in manifest.rows() for name in NAMES}
    assert {path for path in contents(first) if path.endswith(".png")} == named
    assert json.loads(manifest.metadata["extraction"])["intervals"] == [1, 4]
    assert rejected_of(first) == []


def test_pixels_equal_a_forward_decode(first, clips):
    truth = {path: replicas.read_frames(clips / path) for path in {row["clip"] for row in manifest_of(first).rows()}}
    manifest = manifest_of(first)
    for row in manifest.rows():
        for name in NAMES:
            pixels = read_image(manifest.file(row, name))
            native = truth[row["clip"]][row[f"{name}_index"]]
            if row["height"] == row["native_height"]:
                assert np.array_equal(pixels, native)
            else:
                small = Image.fromarray(native).resize((row["width"], row["height"]), Image.Resampling.BOX)
                assert np.array_equal(pixels, np.asarray(small))
            assert pixels_sha256(pixels) == row[f"{name}_sha256"]
            assert fingerprint(pixels) == row[f"{name}_fingerprint"]
            assert (row["native_height"], row["native_width"]) == native.shape[:2]
            assert row[f"{name}_pts"] == pytest.approx(row[f"{name}_index"] / 25)


def test_two_workers_and_another_folder_give_the_same(first, clips, tmp_path, capsys):
    moved = shutil.copytree(clips, tmp_path / "elsewhere")
    assert extract(moved, tmp_path / "set") == 0
    assert contents(tmp_path / "set") == contents(first)
    assert capsys.readouterr().out.splitlines()[-1].endswith("24 rows done, 0 skipped, 0 rejected")


def test_killed_at_random_moments_it_ends_the_same(first, clips, tmp_path):
    out = tmp_path / "set"
    command = [sys.executable, "-m", "dataset_tools.extract", "--source", f"videos:{clips}", "--out", str(out)]
    command += ["--count", "24", "--seed", "7", "--intervals", "1-4", "--predictor", "none", "--workers", "2"]
    generator = random.Random()
    kills = 0
    deadline = time.monotonic() + 120
    while True:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if kills < 3:
            frames = len(list(out.rglob("*.png*")))  # those that have no name yet as well
            target = frames + generator.randrange(1, 12)
            while process.poll() is None and len(list(out.rglob("*.png*"))) < target and time.monotonic() < deadline:
                time.sleep(0.01)
            process.kill()
            kills += 1
        if process.wait(timeout=60) == 0:
            break
    assert contents(out) == contents(first)
    assert not list(out.rglob("*.tmp"))


def test_workers_end_when_their_parent_is_killed(tmp_path):
    os.mkfifo(tmp_path / "hangs.mp4")
    command = [sys.executable, "-m", "dataset_tools.extract", "--source", f"videos:{tmp_path}", "--count", "3"]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "set")], stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        found = _wait_for(
            lambda: [int(pid) for thread in children.parent.parent.glob("*/children") for pid in _pids(thread)]
        )
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    assert _wait_for(lambda: not any(_is_running(pid) for pid in found))


def _pids(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait_for(condition):
    deadline = time.monotonic() + 60
    while not (result := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return result


def test_a_dying_worker_is_replaced(clips):
    whole = Clip("videos", "street.mp4", clips / "street.mp4")
    jobs = [
        ("good", ProbeJob(whole, "pyav")),
        (
            "deadly",
            ProbeJob(replace(whole, frame_files=None), "pyav"),
        ),  # reading it ends the process
        ("again", ProbeJob(whole, "pyav")),
    ]
    with WorkerPool(1, silence_seconds=60) as pool:
        answers = dict(pool.run(jobs))
    assert answers["good"] == answers["again"]
    assert answers["good"].value["num_frames"] == 24
    assert "process died" in answers["deadly"].message


def test_a_worker_that_dies_in_the_middle_of_an_answer(tmp_path, monkeypatch):
    program = tmp_path / "worker"
    program.write_text("""#!/bin/sh\necho '{"beat": true}'\nread job\nprintf '{"done": [1, '\n""")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with WorkerPool(1, silence_seconds=float("inf")) as pool:
        ((_, answer),) = pool.run([("any", ProbeJob(Clip("videos", "any.mp4", tmp_path / "any.mp4"), "pyav"))])
    assert answer.outcome == "crash"
    assert "process died" in answer.message


def test_a_hanging_clip_is_given_up_and_the_others_go_on(first, clips, tmp_path):
    shutil.copytree(clips, tmp_path / "clips")
    os.mkfifo(tmp_path / "clips" / "hangs.mp4")
    assert extract(tmp_path / "clips", tmp_path / "set", "--clip-timeout", "6") == 0
    (only,) = rejected_of(tmp_path / "set")
    assert (only["clip"], only["reason"]) == ("hangs.mp4", "time limit")
    assert manifest_of(tmp_path / "set").table.equals(manifest_of(first).table)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seed", "8"], "was extracted with seed 7, not 8: only --count may grow; use another --out"),
        (["--resolutions", "256p"], "was extracted with resolutions"),
        (["--predictor", "rife"], "run dataset_tools.predict on the manifest"),
        (["--count", "20"], "--count 20 must be at least 24"),
        (["--intervals", "0-4"], "--intervals '0-4' must be like 1-16"),
        (["--resolutions", "480p"], "'480p' must be one of 256p, 720p, 1080p"),
        (["--split", "1,1,1"], "must be three shares"),
        (["--predictor", "film"], "must be one of rife, none"),
        (["--decoder", "vlc"], "must be one of pyav, decord"),
        (["--count", "0"], "must be at least 1"),
        (["--max-static", "2"], "must be between 0 and 1"),
        (["--clip-timeout", "0"], "must be more than 0"),
        (["--clip-timeout", "nan"], "must be more than 0"),
        (["--per-clip", "0"], "--per-clip"),
        (["--predictor", "rife", "--device", "tpu"], "device 'tpu' must be auto, cpu, cuda, cuda:N or mps"),
        (["--colour"], "No such option: --colour"),
    ],
)
def test_wrong_usage_ends_at_once_with_one_sentence(first, clips, capsys, more, message):
    before = contents(first)
    assert extract(clips, first, *more) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert contents(first) == before


def test_decord_where_it_does_not_exist_is_one_line(clips, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "decord", None)  # as on macOS and on ARM: nothing finds it
    assert extract(clips, tmp_path / "set", "--decoder", "decord") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "--decoder 'decord' is not installed: it exists for Linux and Windows on x86-64 only; take pyav"
    )
    assert not (tmp_path / "set").exists()


def test_two_runs_at_once_are_refused(first, clips, tmp_path, capsys):
    from dataset_tools.extraction.journal import open_journal

    with open_journal(tmp_path / "set"):
        assert extract(clips, tmp_path / "set") == 2
    assert "another extraction is writing to" in capsys.readouterr().err


def test_clip_names_cannot_lead_astray(tmp_path, clips):
    names = ["-rf.mp4", "a\nb.mp4", "..mp4", "x@256p.mp4", "über/страница 1.mp4", "n" * 200 + ".mp4", "con.mp4"]
    source = tmp_path / "clips"
    frames = replicas.read_frames(clips / "street.mp4")
    for number, name in enumerate(names):
        replicas.write_video(source / name, frames[number : number + 5])
    shown = [name for name in names if not name.startswith(".")]
    assert extract(source, tmp_path / "set", count=len(shown)) == 0
    manifest = manifest_of(tmp_path / "set")
    assert sorted(row["clip"] for row in manifest.rows()) == sorted(shown)
    assert all(manifest.file(row, name).is_file() for row in manifest.rows() for name in NAMES)


def test_cuts_are_turned_down_and_replaced(tmp_path, demo_clips):
    bikes = replicas.read_frames(demo_clips / "bikes.mp4", count=14)
    bunny = [replicas.vimeo_crop(frame) for frame in replicas.read_frames(demo_clips / "bigbuckbunny.mp4", count=14)]
    replicas.write_video(tmp_path / "clips" / "cut.mp4", [*map(replicas.vimeo_crop, bikes), *bunny])
    assert extract(tmp_path / "clips", tmp_path / "set", count=20) == 0
    rows = manifest_of(tmp_path / "set").rows()
    assert len(rows) == 20
    assert all(row["img1_index"] < 14 or row["img0_index"] >= 14 for row in rows)
    rejected = rejected_of(tmp_path / "set")
    assert {item["reason"] for item in rejected} == {"scene cut"}
    assert all(item["img0_index"] < 14 <= item["img1_index"] for item in rejected)
    assert all(json.loads(item["numbers"])["after_frame"] == 13 for item in rejected)
    tried = {(item["img0_index"], item["gt_index"]) for item in rejected}
    assert not tried & {(row["img0_index"], row["gt_index"]) for row in rows}


@pytest.mark.parametrize(("share", "expected"), [("0", 0), ("0.25", 4)])
def test_still_pictures_are_capped(tmp_path, demo_clips, share, expected):
    frames = [replicas.vimeo_crop(frame) for frame in replicas.read_frames(demo_clips / "bikes.mp4", count=30)]
    replicas.write_video(tmp_path / "clips" / "still.mp4", frames[:1] * 20)
    replicas.write_video(tmp_path / "clips" / "lively.mp4", frames)
    out = tmp_path / "set"
    assert extract(tmp_path / "clips", out, "--max-static", share, count=16) == 0
    clips = [row["clip"] for row in manifest_of(out).rows()]
    assert (clips.count("still.mp4"), clips.count("lively.mp4")) == (expected, 16 - expected)
    before = contents(out)
    assert extract(tmp_path / "clips", out, "--max-static", share, count=16) == 0
    assert contents(out) == before


def test_a_header_that_lies_about_the_number_of_frames(tmp_path, demo_clips):
    """Cut at the front without re-encoding: the edit list hides frames that the header counts."""
    frames = [replicas.vimeo_crop(frame) for frame in replicas.read_frames(demo_clips / "bikes.mp4", count=90)]
    whole = replicas.write_video(tmp_path / "whole.mp4", frames)
    (tmp_path / "clips").mkdir()
    with av.open(str(whole)) as source, av.open(str(tmp_path / "clips" / "cut.ts"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    truth = replicas.read_frames(tmp_path / "clips" / "cut.ts")
    assert extract(tmp_path / "clips", tmp_path / "set", count=12) == 0
    manifest = manifest_of(tmp_path / "set")
    assert len(manifest) == 12
    for row in manifest.rows():
        assert row["img1_index"] < len(truth)
        assert np.array_equal(read_image(manifest.file(row, "gt")), truth[row["gt_index"]])


def test_replicas_of_the_official_sets(tmp_path, demo_clips):
    scenes = [replicas.read_frames(demo_clips / "bikes.mp4", start=at, count=14) for at in (0, 80, 140, 190)]
    triplet = replicas.make_vimeo_triplet(tmp_path, scenes[0][:9] + scenes[1][:6])
    septuplet = replicas.make_vimeo_septuplet(tmp_path, scenes[2] + scenes[3][:7])
    adobe = replicas.make_adobe240(tmp_path, replicas.read_frames(demo_clips / "bigbuckbunny.mp4", start=57, count=20))
    sources = ["--source", f"vimeo90k:{septuplet}", "--source", f"adobe240:{adobe}"]
    out = tmp_path / "set"
    assert extract(f"vimeo90k:{triplet}", out, *sources, "--intervals", "1-16", "--per-clip", "3", count=60) == 0
    manifest = manifest_of(out)
    frame = manifest.to_pandas()
    number = dict(frame.groupby(["source", "resolution"], observed=True).size())
    assert number == {("vimeo90k", "256p"): 5 + 9, ("adobe240", "256p"): 18, ("adobe240", "720p"): 18}
    by_clip = frame.set_index("clip")
    assert set(by_clip.loc[["triplet/00001/0389", "triplet/00078/0651", "septuplet/00001/0266"]].split) == {"test"}
    official_train = frame[frame["clip"].isin(["triplet/00001/0001", "septuplet/00002/0003"])]
    assert not (official_train.split == "test").any()
    assert set(frame[frame["clip"].str.startswith("triplet")].interval) == {1}
    assert set(frame[frame["clip"].str.startswith("septuplet")].interval) <= {1, 2, 3}
    for row in manifest.rows():
        if row["source"] == "vimeo90k":
            folder = {"triplet": triplet, "septuplet": septuplet}[row["clip"].partition("/")[0]]
            for name in NAMES:
                file = folder / "sequences" / row["clip"].partition("/")[2] / f"im{row[f'{name}_index'] + 1}.png"
                assert np.array_equal(read_image(manifest.file(row, name)), np.asarray(Image.open(file)))
            assert row["gt_pts"] is None
    assert (out / "frames/adobe240/IMG_0183.MOV/720p").is_dir()
