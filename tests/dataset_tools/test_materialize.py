"""Frames made again from a manifest and the clips."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from dataset_tools import extract, materialize
from dataset_tools.frames import pixels_sha256, read_image, write_image
from dataset_tools.manifest import read_manifest
from tests.dataset_tools import replicas


@pytest.fixture(scope="module")
def clips(tmp_path_factory, demo_clips) -> Path:
    """Two short clips."""
    folder = tmp_path_factory.mktemp("clips")
    frames = replicas.read_frames(demo_clips / "bikes.mp4", count=24)
    replicas.write_video(folder / "a.mp4", frames[:12])
    replicas.write_video(folder / "sub/b.mkv", frames[12:])
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory, clips) -> Path:
    """A data set of six rows; not to be changed."""
    out = tmp_path_factory.mktemp("made") / "set"
    options = ["--count", "6", "--intervals", "1-3", "--predictor", "none", "--workers", "1"]
    assert extract.main(["--source", f"videos:{clips}", "--out", str(out), *options]) == 0
    return out


def run(folder: Path, clips: Path, *more: str) -> int:
    return materialize.main(
        [str(folder / "data_manifest.parquet"), "--source", f"videos:{clips}", "--workers", "1", *more]
    )


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


def test_the_manifest_alone_brings_all_frames_back(made, clips, tmp_path, capsys):
    shutil.copy(made / "data_manifest.parquet", tmp_path)
    assert run(tmp_path, clips) == 0
    assert pictures(tmp_path) == pictures(made)
    number = len(pictures(made))
    assert capsys.readouterr().out == f"{tmp_path}: {number} frames equal, 0 within tolerance, 0 faults\n"
    assert run(made, clips, "--out", str(tmp_path / "elsewhere")) == 0
    assert pictures(tmp_path / "elsewhere") == pictures(made)


@pytest.mark.parametrize(
    ("change", "expected", "code"),
    [(1, "1 within tolerance, 0 faults", 0), (2, "differs by up to 2/255", 1), (None, "its original is not there", 1)],
)
def test_a_frame_that_differs_is_measured(made, clips, tmp_path, capsys, change, expected, code):
    """As if the manifest came from another machine: hash and original are those of slightly other pixels."""
    folder = Path(shutil.copytree(made, tmp_path / "set"))
    manifest = read_manifest(folder / "data_manifest.parquet")
    row = manifest.rows()[0]
    pixels = read_image(folder / row["gt"]).copy()
    pixels[5, 7, 1] = pixels[5, 7, 1] - (change or 1) if pixels[5, 7, 1] > 100 else pixels[5, 7, 1] + (change or 1)
    write_image(folder / row["gt"], pixels)
    columns = {}
    for name in ("img0", "gt", "img1"):
        files, hashes = (manifest.table.column(column).to_pylist() for column in (name, f"{name}_sha256"))
        new = pixels_sha256(pixels)
        columns[f"{name}_sha256"] = [new if file == row["gt"] else old for file, old in zip(files, hashes, strict=True)]
    manifest.with_columns(columns).write()
    if change is None:
        (folder / row["gt"]).unlink()
    assert run(folder, clips) == code
    assert expected in capsys.readouterr().out
    assert np.array_equal(read_image(folder / row["gt"]), pixels) == (change is not None)  # an original stays


def test_what_cannot_be_made_is_listed_and_the_rest_is_made(made, clips, tmp_path, capsys):
    source = tmp_path / "clips"
    shutil.copytree(clips, source)
    (source / "a.mp4").write_bytes((source / "a.mp4").read_bytes() + b"x")
    shutil.copy(made / "data_manifest.parquet", tmp_path)
    assert run(tmp_path, source) == 1
    out = capsys.readouterr().out
    assert "clip a.mp4: not the file that the manifest was made from" in out
    assert set(pictures(tmp_path)) == {name for name in pictures(made) if "/b.mkv/" in name}
    (source / "sub/b.mkv").unlink()
    assert run(tmp_path, source) == 1
    assert "clip sub/b.mkv: not found in any source of kind videos" in capsys.readouterr().out
