"""One recording stays in one split, in whatever form it comes: remuxed, cut, split into scenes, encoded again."""

import shutil
from fractions import Fraction
from pathlib import Path

import av
import pytest

from dataset_tools import resplit, verify
from dataset_tools.checks.leaks import find_recordings, leaks
from dataset_tools.errors import ManifestError
from dataset_tools.manifest import read_manifest
from tests.dataset_tools import replicas
from tests.dataset_tools.extracting import extract, manifest_of, rejected_of
from tests.dataset_tools.tricky_clips import copy_packets
from vfidpa_model.pairs.labels import check_no_leaks

SPLIT = ["--split", "0.4,0.3,0.3"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory, demo_clips) -> Path:
    """Forty frames of a street with a cut in the middle, at 272 lines, a key picture every 10 frames."""
    frames = replicas.read_frames(demo_clips / "bikes.mp4", start=56, count=40)
    path = tmp_path_factory.mktemp("recording") / "street.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "10", "bf": "0", "crf": "20"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def encode_again(source: Path, target: Path, *, codec: str, options: dict, scale: Fraction = Fraction(1)) -> None:
    with av.open(str(source)) as clip, av.open(str(target), "w") as output:
        stream = output.add_stream(codec, rate=25, options=options)
        video = clip.streams.video[0]
        stream.height, stream.width = (int(side * scale) // 2 * 2 for side in (video.height, video.width))
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(clip.decode(video)):
            smaller = frame.reformat(width=stream.width, height=stream.height, format="yuv420p")
            smaller.pts, smaller.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(smaller))
        output.mux(stream.encode())


@pytest.fixture(scope="module")
def copies(tmp_path_factory, recording, demo_clips) -> Path:
    """The recording, five copies of it in other forms, and another film."""
    folder = tmp_path_factory.mktemp("copies")
    shutil.copy(recording, folder / "street.mp4")
    copy_packets(recording, folder / "remuxed.mkv")
    copy_packets(recording, folder / "cut.mp4", skip=10)
    copy_packets(recording, folder / "scene_2.mp4", skip=20)
    encode_again(recording, folder / "small.webm", codec="libvpx-vp9", options={"crf": "40", "b": "0", "cpu-used": "8"})
    encode_again(recording, folder / "again.avi", codec="mpeg4", options={"qscale": "8"})
    film = replicas.read_frames(demo_clips / "bigbuckbunny.mp4", start=57, count=20)
    replicas.write_video(folder / "film.mov", film)
    return folder


@pytest.fixture(scope="module")
def leaky(tmp_path_factory, copies) -> Path:
    """A data set of all of them."""
    out = tmp_path_factory.mktemp("leaky") / "set"
    assert extract(copies, out, "--resolutions", "256p", *SPLIT, count=42) == 0
    return out


COPIES = {"street.mp4", "remuxed.mkv", "cut.mp4", "scene_2.mp4", "small.webm", "again.avi"}


def splits_of(out: Path) -> dict[str, set[str]]:
    rows = manifest_of(out).rows()
    return {clip: {row["split"] for row in rows if row["clip"] == clip} for clip in {row["clip"] for row in rows}}


def test_copies_of_a_recording_are_one_group(leaky):
    groups = {row["clip"]: row["clip_group"] for row in manifest_of(leaky).rows()}
    assert set(groups) == COPIES | {"film.mov"}
    assert {groups[clip] for clip in groups if clip != "film.mov"} == {"videos/again.avi"}
    assert groups["film.mov"] == "videos/film.mov"
    assert all(len(splits) == 1 for splits in splits_of(leaky).values())
    assert list(leaks(find_recordings(manifest_of(leaky)))) == []


@pytest.mark.parametrize("has_groups", [True, False])
def test_a_torn_recording_is_seen_and_repaired(leaky, tmp_path, capsys, has_groups):
    """As a data set was before clips were grouped: dealt by name; the manifest alone tells, with groups or without."""
    out = Path(shutil.copytree(leaky, tmp_path / "set"))
    manifest = manifest_of(out)
    torn = {"remuxed.mkv": "test", "again.avi": "val", "film.mov": "val"}
    columns = {
        "split": [torn.get(row["clip"], "train") for row in manifest.rows()],
        "level": [2.0] * len(manifest),
        "level_source": ["human"] * len(manifest),
    }
    if not has_groups:
        columns["clip_group"] = [None] * len(manifest)
    manifest.with_columns(columns).write()
    assert verify.main([str(manifest.path), "--rows-only"]) == 1
    said = capsys.readouterr().out
    assert "in two splits" in said
    if not has_groups:
        assert "one frame in two splits" in said or "near frames in two splits" in said
        assert "again.avi" in said  # encoded again: no frame is equal
    with pytest.raises(ManifestError, match=r"in two splits.*dataset_tools\.resplit repairs it"):
        check_no_leaks(read_manifest(manifest.path))
    assert resplit.main([str(manifest.path)]) == 0
    assert "7 clips in 2 groups" in capsys.readouterr().out
    assert verify.main([str(manifest.path), "--rows-only"]) == 0
    check_no_leaks(read_manifest(manifest.path))
    after = read_manifest(manifest.path)
    assert after.table.column("level").to_pylist() == columns["level"]  # labels stay
    assert splits_of(out)["film.mov"] == {"val"}  # was in one split, and stays
    assert len(set.union(*(splits for clip, splits in splits_of(out).items() if clip != "film.mov"))) == 1


def test_a_split_does_not_depend_on_what_else_is_there(leaky, copies, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(copies / "film.mov", alone)
    assert extract(alone, tmp_path / "set", "--resolutions", "256p", *SPLIT, count=6) == 0
    assert splits_of(tmp_path / "set")["film.mov"] == splits_of(leaky)["film.mov"]


def test_a_copy_that_comes_later_joins_its_recording(copies, tmp_path):
    folder, out = tmp_path / "clips", tmp_path / "set"
    folder.mkdir()
    shutil.copy(copies / "street.mp4", folder)
    assert extract(folder, out, "--resolutions", "256p", *SPLIT, count=4) == 0
    (before,) = splits_of(out)["street.mp4"]
    shutil.copy(copies / "again.avi", folder)
    assert extract(folder, out, "--resolutions", "256p", *SPLIT, count=9) == 0
    assert splits_of(out) == {"street.mp4": {before}, "again.avi": {before}}
    assert len({row["clip_group"] for row in manifest_of(out).rows()}) == 1


def test_clips_are_grouped_by_name(tmp_path, demo_clips):
    frames = [replicas.vimeo_crop(frame) for frame in replicas.read_frames(demo_clips / "bikes.mp4", count=70)]
    names = ["day1_cam1.mp4", "day1_cam2.mp4", "day2_cam1.mp4", "day2_cam2.mp4"]
    for name, start in zip(names, (0, 20, 31, 55), strict=True):
        replicas.write_video(tmp_path / "clips" / name, frames[start : start + 9])
    out = tmp_path / "set"
    options = ["--resolutions", "256p", "--group-by", r"^(day\d)"]
    assert extract(tmp_path / "clips", out, *options, count=8) == 0
    groups = {row["clip"]: row["clip_group"] for row in manifest_of(out).rows()}
    assert {groups["day1_cam1.mp4"], groups["day1_cam2.mp4"]} == {"videos/~day1"}
    assert {groups["day2_cam1.mp4"], groups["day2_cam2.mp4"]} == {"videos/~day2"}
    assert extract(tmp_path / "clips", tmp_path / "other", "--group-by", "(", count=8) == 2


def test_equal_folders_of_vimeo90k(tmp_path, demo_clips):
    """A training clip that shows what a test clip shows is for testing."""
    bikes = demo_clips / "bikes.mp4"
    folder = replicas.make_vimeo_triplet(
        tmp_path, replicas.read_frames(bikes, count=9) + replicas.read_frames(bikes, start=80, count=6)
    )
    for number in (1, 2, 3):
        shutil.copy(folder / f"sequences/00001/0389/im{number}.png", folder / f"sequences/00002/0001/im{number}.png")
    out = tmp_path / "set"
    assert extract(f"vimeo90k:{folder}", out, "--intervals", "1", "--resolutions", "256p", count=5) == 0
    rows = {row["clip"]: row for row in manifest_of(out).rows()}
    assert rows["triplet/00002/0001"]["split"] == rows["triplet/00001/0389"]["split"] == "test"
    assert rows["triplet/00002/0001"]["clip_group"] == rows["triplet/00001/0389"]["clip_group"]
    assert rows["triplet/00001/0001"]["split"] != "test"
    assert rejected_of(out) == []
