"""Frames made again from a manifest and the clips."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from dataset_tools import extract, materialize, verify
from dataset_tools.frames import fingerprint, pixels_sha256, read_image, write_image
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
    assert capsys.readouterr().out == f"{tmp_path}: {number} frames equal, 0 accepted with differences, 0 faults\n"
    assert run(made, clips, "--out", str(tmp_path / "elsewhere")) == 0
    assert pictures(tmp_path / "elsewhere") == pictures(made)


def as_elsewhere(folder: Path, file: str, pixels: np.ndarray, known: bytes | None) -> None:
    """Make the manifest one from another machine, whose decoder gave these pixels for an image file."""
    manifest = read_manifest(folder / "data_manifest.parquet")
    rows = manifest.rows()
    columns = {}
    for name in ("img0", "gt", "img1"):
        for suffix, value in (("sha256", pixels_sha256(pixels)), ("fingerprint", known)):
            column = f"{name}_{suffix}"
            columns[column] = [value if row[name] == file else row[column] for row in rows]
    manifest.with_columns(columns).write()


@pytest.mark.parametrize(
    ("levels", "has_original", "known", "says"),
    [
        (1, True, "whole", "accepted: {}: differs by up to 1/255\n"),
        (2, True, "whole", "{}: differs by up to 2/255, at most 1/255 is accepted"),
        (2, True, None, "{}: differs by up to 2/255, at most 1/255 is accepted"),
        (1, False, "whole", "accepted: {}: differs by up to 1/255 in block means\n"),
        (2, False, "whole", "{}: differs by up to 2/255 in block means, at most 1/255 is accepted"),
        (1, False, None, "{}: differs, and neither original nor fingerprint is there to tell by how much"),
        (1, False, "cut", "a fingerprint of 90 bytes must have 96"),
    ],
)
def test_a_frame_that_differs_is_measured(made, clips, tmp_path, capsys, levels, has_original, known, says):
    folder = Path(shutil.copytree(made, tmp_path / "set"))
    file = read_manifest(folder / "data_manifest.parquet").rows()[0]["gt"]
    here = read_image(folder / file)
    there = here - np.minimum(here, levels)
    value = {"whole": fingerprint(there), "cut": fingerprint(there)[6:], None: None}[known]
    as_elsewhere(folder, file, there, value)
    write_image(folder / file, there)
    if not has_original:
        (folder / file).unlink()
    is_accepted = says.startswith("accepted")
    assert run(folder, clips, "--out", str(folder / ".." / folder.name)) == (0 if is_accepted else 1)
    out = capsys.readouterr().out
    assert says.format(file) in out
    assert f"{int(is_accepted)} accepted with differences, {int(not is_accepted)} faults" in out
    if known != "cut":
        assert np.array_equal(read_image(folder / file), there if has_original else here)  # an original stays


def test_what_cannot_be_made_is_listed_and_the_rest_is_made(made, clips, tmp_path, capsys):
    source = tmp_path / "clips"
    shutil.copytree(clips, source)
    (source / "a.mp4").write_bytes((source / "a.mp4").read_bytes() + b"x")
    shutil.copy(made / "data_manifest.parquet", tmp_path)
    assert run(tmp_path, source) == 1
    out = capsys.readouterr().out
    assert "clip a.mp4: not the file that the manifest was made from" in out
    assert set(pictures(tmp_path)) == {name for name in pictures(made) if "/b.mkv/" in name}
    manifest = read_manifest(tmp_path / "data_manifest.parquet")
    rows = manifest.rows()
    at = next(number for number, row in enumerate(rows) if row["clip"] == "sub/b.mkv")
    manifest.with_columns(
        {"width": [None if number == at else row["width"] for number, row in enumerate(rows)]}
    ).write()
    assert run(tmp_path, source) == 1
    assert f"triplet {rows[at]['triplet_id']}: width must not be null" in capsys.readouterr().out
    (source / "sub/b.mkv").unlink()
    assert run(tmp_path, source) == 1
    assert "clip sub/b.mkv: not found in any source of kind videos" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--decoder", "vlc"], "--decoder 'vlc' must be one of pyav, decord"),
        (["--predictions", "--device", "tpu"], "device 'tpu' must be auto, cpu, cuda, cuda:N or mps"),
        (["--predictions", "--predictor", "rief"], "did you mean 'rife'?"),
        (["--clip-timeout", "nan"], "must be more than 0 seconds"),
    ],
)
def test_wrong_usage_ends_before_any_frame_is_made(made, clips, tmp_path, capsys, more, says):
    shutil.copy(made / "data_manifest.parquet", tmp_path)
    assert run(tmp_path, clips, *more) == 2
    assert says in capsys.readouterr().err
    assert pictures(tmp_path) == {}


def test_verify_repairs_missing_and_damaged_frames(made, clips, tmp_path, capsys):
    folder = Path(shutil.copytree(made, tmp_path / "set"))
    manifest = folder / "data_manifest.parquet"
    before, names = manifest.read_bytes(), sorted(pictures(folder))
    (folder / names[0]).unlink()
    (folder / names[1]).write_bytes(b"no picture")
    write_image(folder / names[2], np.zeros((64, 64, 3), np.uint8))
    write_image(folder / names[3], 255 - read_image(folder / names[3]))
    untouched = {name: (folder / name).stat().st_mtime_ns for name in names[4:]}
    command = [str(manifest), "--repair", "--source", f"videos:{clips}"]
    assert verify.main(command) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{manifest}: 6 rows, {len(names)} files, 0 accepted with differences, 4 repaired, 0 faults"]
    assert pictures(folder) == pictures(made)
    assert untouched == {name: (folder / name).stat().st_mtime_ns for name in names[4:]}
    assert manifest.read_bytes() == before  # votes and levels, too
    (folder / names[-1]).unlink()
    assert verify.main([*command[:-1], f"videos:{clips / 'a.mp4'}"]) == 1  # the other clip is not there
    said = capsys.readouterr().out
    assert f"{names[-1]}: cannot read" in said
    assert "clip sub/b.mkv: not found in any source of kind videos" in said
    for wrong in (command[:2], [str(manifest), "--source", "demo"], [*command, "--rows-only"]):
        assert verify.main(wrong) == 2


def test_a_linked_frames_folder_is_named(made, tmp_path, capsys):
    folder = Path(shutil.copytree(made, tmp_path / "set"))
    (folder / "frames").rename(tmp_path / "elsewhere")
    (folder / "frames").symlink_to(tmp_path / "elsewhere")
    assert verify.main([str(folder / "data_manifest.parquet")]) == 1
    said = capsys.readouterr().out
    assert f"frames is a link to {tmp_path / 'elsewhere'}; copy what it leads to, or mount it there" in said
