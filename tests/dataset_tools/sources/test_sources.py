"""Sources: official layouts and their quirks, names, and wrong usage."""

import os
import shutil
from pathlib import Path

import pytest

from dataset_tools.errors import UsageError
from dataset_tools.frames.paths import clip_folder
from dataset_tools.sources import list_sources
from tests.dataset_tools import replicas


@pytest.fixture(scope="module")
def sets(tmp_path_factory, demo_clips) -> Path:
    """Replicas of all archives in one folder."""
    root = tmp_path_factory.mktemp("sets")
    frames = replicas.read_frames(demo_clips / "bikes.mp4", count=24)
    replicas.make_vimeo_triplet(root, frames)
    replicas.make_vimeo_test_archive(root, frames)
    replicas.make_vimeo_septuplet(root, frames)
    folder = root / "adobe" / replicas.ADOBE_FOLDER
    folder.mkdir(parents=True)
    for name in replicas.ADOBE_FILES:
        (folder / name).write_bytes(b"not opened when listed")
    return root


TRIPLET = {
    "triplet/00001/0001": "train",
    "triplet/00001/0002": "train",
    "triplet/00002/0001": "train",
    "triplet/00001/0389": "test",
    "triplet/00078/0651": "test",
}
SEPTUPLET = {"septuplet/00001/0001": "train", "septuplet/00002/0003": "train", "septuplet/00001/0266": "test"}


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("vimeo_triplet", TRIPLET),
        ("vimeo_septuplet", SEPTUPLET),
        ("vimeo_interp_test", {name: split for name, split in TRIPLET.items() if split == "test"}),
        (".", {**TRIPLET, **SEPTUPLET}),  # all archives side by side; the test archive repeats clips of the full one
    ],
)
def test_vimeo90k_layouts(sets, folder, expected):
    listing = list_sources([f"vimeo90k:{sets / folder}"])
    assert {clip.name: clip.official_split for clip in listing.clips} == expected
    assert listing.rejected == []  # the empty last line of the test list is no clip
    for clip in listing.clips:
        assert len(clip.frame_files) == (3 if clip.name.startswith("triplet") else 7)
        assert clip.max_interval == (1 if clip.name.startswith("triplet") else 3)
        assert all((clip.path / name).is_file() for name in clip.frame_files)


def test_vimeo90k_wrong_entries_are_rejected_one_by_one(tmp_path, demo_clips):
    frames = replicas.read_frames(demo_clips / "bikes.mp4", count=15)
    folder = replicas.make_vimeo_triplet(tmp_path, frames)
    with (folder / "tri_trainlist.txt").open("a") as file:
        file.write("00099/0001\n../../etc/passwd\nsequences/00001/0001\n00001/0389\n")
    (folder / "sequences/00002/0001/im2.png").unlink()
    listing = list_sources([f"vimeo90k:{folder}"])
    found = {(item.reason, item.clip): item.message for item in listing.rejected}
    assert set(found) == {
        ("missing", "triplet/00099/0001"),
        ("missing", "triplet/00002/0001"),
        ("wrong entry", "triplet/../../etc/passwd"),
    }
    assert "im2.png is missing" in found["missing", "triplet/00002/0001"]
    splits = {clip.name: clip.official_split for clip in listing.clips}
    assert splits["triplet/00001/0389"] == "test"  # listed for both: never trained on
    assert len(splits) == 4


@pytest.mark.parametrize(
    "form", ["{}/", "sequences/{}", "{}/im1.png", "{} 448 256", "{},train", "./sequences/{}/im2.png"]
)
def test_vimeo90k_lists_in_other_forms(tmp_path, demo_clips, form):
    """As other tools write them: with the folder, a frame's file, further columns, or backslashes."""
    frames = replicas.read_frames(demo_clips / "bikes.mp4", count=15)
    folder = replicas.make_vimeo_triplet(tmp_path, frames)
    entries = ["00001/0001", "00001/0002", "00002/0001"]
    for text in ([form.format(entry) for entry in entries], [entry.replace("/", "\\") for entry in entries]):
        (folder / "tri_trainlist.txt").write_text("\r\n".join(text))
        listing = list_sources([f"vimeo90k:{folder}"])
        assert {clip.name for clip in listing.clips if clip.official_split == "train"} == {
            f"triplet/{entry}" for entry in entries
        }
        assert listing.rejected == []


def test_files_of_any_extension_are_tried_and_others_counted(tmp_path):
    for name in ("a.gif", "b.dv", "c.obu", "d.ogg", "e.3g2", "f.f4v", "g.qt", "no_extension", "h.MP4", "h.mkv"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("cover.jpg", "notes.txt", "more.txt", "song.mp3", ".hidden.mp4"):
        (tmp_path / name).write_bytes(b"x")
    listing = list_sources([f"videos:{tmp_path}"])
    assert len(listing.clips) == 10
    assert f"{tmp_path}: left out as no video: 2 .txt, 1 hidden, 1 .jpg, 1 .mp3" in listing.notes
    assert any("h.MP4 and h.mkv have one name" in note for note in listing.notes)


def test_one_file_and_the_home_folder_are_sources(tmp_path, monkeypatch):
    (tmp_path / "film.mp4").write_bytes(b"x")
    monkeypatch.setenv("HOME", str(tmp_path))
    for spec in (f"videos:{tmp_path}/film.mp4", "videos:~/film.mp4", "videos:~"):
        assert [clip.name for clip in list_sources([spec]).clips] == ["film.mp4"]


def test_image_sequences(tmp_path):
    """The layouts of GoPro and SNU-FILM, X4K1000FPS, and several series in one folder."""
    layouts = {
        "GOPR0384_11_00": [f"{number:06d}.png" for number in range(1, 6)],
        "002/occ008.320": [f"{number:04d}.png" for number in range(5)],
        "mixed": ["a-1.png", "a-2.png", "a-10.png", "b_01.jpg", "b_02.jpg", "b_03.jpg", "notes.txt", "cover.png"],
        "gap": ["1.png", "2.png", "4.png"],
    }
    for folder, names in layouts.items():
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / folder / name).write_bytes(b"x")
    listing = list_sources([f"frames:{tmp_path}"], frame_rate=240.0)
    found = {clip.name: clip.frame_files for clip in listing.clips}
    assert found["GOPR0384_11_00"] == tuple(layouts["GOPR0384_11_00"])
    assert found["002/occ008.320"] == tuple(layouts["002/occ008.320"])
    assert found["mixed/b"] == ("b_01.jpg", "b_02.jpg", "b_03.jpg")
    assert {clip.frame_rate for clip in listing.clips} == {240.0}
    assert {item.clip: item.reason for item in listing.rejected} == {"gap": "missing", "mixed/a": "missing"}
    assert "2.png is followed by 4.png" in next(item.message for item in listing.rejected if item.clip == "gap")


@pytest.mark.parametrize(
    ("lists", "expected", "rejected"),
    [
        ({}, dict.fromkeys(replicas.ADOBE_FILES), []),
        (
            {"superslomo_bin_test_list.txt": "720p_240fps_1.mov\nIMG_0183.MOV\nIMG_9999.mov\n"},
            {"720p_240fps_1.mov": "test", "IMG_0183.MOV": "test"},
            ["IMG_9999.mov"],
        ),
        (
            {
                "videoinr_train_list.txt": "720p_240fps_1\nIMG_0179\n",
                "videoinr_valid_list.txt": "\ufeffGOPR9635\r\n",  # saved on Windows
                "superslomo_train_list.txt": "720p_240fps_1.mov\n",  # the same, with its extension
            },
            {"720p_240fps_1.mov": "train", "IMG_0179.m4v": "train", "GOPR9635.mp4": "val"},
            [],
        ),
    ],
)
@pytest.mark.parametrize("inner", ["", replicas.ADOBE_FOLDER])
def test_adobe240_lists(sets, tmp_path, lists, expected, rejected, inner):
    folder = tmp_path / "adobe"
    shutil.copytree(sets / "adobe", folder)
    for name, text in lists.items():
        (folder / inner / name).write_text(text)
    listing = list_sources([f"adobe240:{folder}"])
    assert {clip.name: clip.official_split for clip in listing.clips} == expected
    assert [item.clip for item in listing.rejected] == rejected


def test_adobe240_contradicting_lists_are_refused(tmp_path):
    (tmp_path / "IMG_0015.mov").write_bytes(b"x")
    (tmp_path / "superslomo_bin_test_list.txt").write_text("IMG_0015.mov\n")
    (tmp_path / "videoinr_train_list.txt").write_text("IMG_0015\n")
    with pytest.raises(UsageError, match="published splits contradict each other"):
        list_sources([f"adobe240:{tmp_path}"])


def test_videos_are_searched_and_named_by_their_place(tmp_path):
    for name in ("b.MP4", "a/x.mkv", "a/b/c/y.webm", ".hidden.mp4", ".git/z.mp4", "notes.txt", "a/x.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))).write_bytes(b"x")
    listing = list_sources([f"videos:{tmp_path}", f"videos:{tmp_path}"])
    assert [clip.name for clip in listing.clips] == ["a/b/c/y.webm", "a/x.mkv", "b.MP4"]
    assert [(item.reason, item.clip) for item in listing.rejected] == [("wrong name", "\\udcff.mp4")]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("clips", "must be demo or KIND:PATH"),
        ("film:clips", "must be demo or KIND:PATH"),
        ("videos:", "must be demo or KIND:PATH"),
        ("videos:nowhere", "must be a folder"),
        ("videos:{empty}", "holds no video file"),
        ("adobe240:{empty}", "holds no Adobe240 video"),
        ("vimeo90k:{empty}", "holds no Vimeo90K list file"),
    ],
)
def test_wrong_sources_are_wrong_usage(tmp_path, spec, message):
    with pytest.raises(UsageError, match=message):
        list_sources([spec.format(empty=tmp_path)])


def test_one_name_from_two_folders_is_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.mp4").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"clip 'x.mp4' is in .* and in"):
        list_sources([f"videos:{tmp_path / 'a'}", f"videos:{tmp_path / 'b'}"])


@pytest.mark.parametrize(
    ("clip", "folder"),
    [
        ("park/dog.mp4", "frames/videos/park/dog.mp4"),
        ("../../etc/x.mp4", "frames/videos/etc_x_mp4~"),
        ("-rf.mp4", "frames/videos/rf_mp4~"),
        ("a\nb.mp4", "frames/videos/a_b_mp4~"),
        ("nul.mp4", "frames/videos/nul_mp4~"),
        ("é" * 100, "frames/videos/clip~"),
        ("x" * 300, f"frames/videos/{'x' * 60}~"),
    ],
)
def test_frame_folders_are_safe_and_unique(clip, folder):
    found = clip_folder("videos", clip)
    assert found.startswith(folder)
    assert ".." not in found
    assert len(found) < 120
    assert found == folder or found != clip_folder("videos", clip + " ")
