"""Files are whole or absent, images lossless, sizes as the rules say, command lines answer in one line."""

import io
import platform
import threading
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.measure import block_reduce

from dataset_tools.common import batches, cli, files
from dataset_tools.common.device import describe_device, select_device
from dataset_tools.common.progress import track
from dataset_tools.errors import FrameError, ManifestError, UsageError, VfiError
from dataset_tools.frames import (
    fingerprint,
    fingerprint_difference,
    fit_height,
    pixels_sha256,
    read_image,
    to_rgb,
    to_tensor,
    write_image,
)
from dataset_tools.frames import writer as frame_writer
from dataset_tools.frames.area import resize_area
from dataset_tools.frames.png import encode_png
from dataset_tools.frames.writer import FrameWriter, StorageError
from dataset_tools.video import open_video


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"b": 1})
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="half way"):
        _write_half(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def _write_half(path):
    with files.atomic_writer(path) as file:
        file.write(b"half")
        raise RuntimeError("half way")


@pytest.mark.parametrize("release", [platform.release(), "4.18.0-553.el8", "unknown"])
def test_files_get_their_names_after_the_sync_of_all(tmp_path, monkeypatch, release):
    monkeypatch.setattr(platform, "release", lambda: release)  # older kernels do not tell what was lost: file by file
    paths = [tmp_path / folder / f"{number}.png" for folder in "ab" for number in range(3)]
    seen = []
    sync = batches._sync
    monkeypatch.setattr(batches, "_sync", lambda files: (seen.append(set(tmp_path.rglob("[0-9].png"))), sync(files)))
    batches.publish([])
    batches.publish([(batches.write_aside(path, path.name.encode()), path) for path in paths])
    assert seen == [set()]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == paths
    assert [path.read_bytes() for path in paths] == [path.name.encode() for path in paths]
    assert {path.stat().st_mode & 0o777 for path in paths} == {files.readable_mode()}


def test_one_sync_for_all_is_trusted_only_where_it_tells_what_was_lost():
    assert not batches._sync_file_system(Path("/proc"))  # it would be called, and say that all is well


def test_a_frame_writer_that_fails_leaves_nothing_half(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)

    def write(*names, error=None):
        with FrameWriter(lambda: None) as writer:
            hashes = [writer.write(tmp_path / name, rgb, width=24, height=16).result().sha256 for name in names]
            if error is not None:
                raise error
        return hashes

    (tmp_path / "2.png").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*run the same command again"):
        write("0.png", "1.png", "2.png")
    with pytest.raises(VfiError, match="damaged"):
        write("3.png", error=VfiError("damaged"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "1.png", "2.png"]
    assert write("3.png", "0.png") == 2 * [pixels_sha256(read_image(tmp_path / "3.png"))]


def test_a_slow_disk_is_no_silence(tmp_path, monkeypatch):
    alive = threading.Event()
    monkeypatch.setattr(frame_writer, "_ALIVE_SECONDS", 0.01)
    monkeypatch.setattr(frame_writer, "publish", lambda files: alive.wait(60) and batches.publish(files))
    with FrameWriter(alive.set) as writer:
        writer.write(tmp_path / "0.png", np.zeros((16, 24, 3), np.uint8), width=24, height=16)
    assert [path.name for path in tmp_path.iterdir()] == ["0.png"]


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../../b", "a\\b", "a\x00b"])
def test_inside_refuses(tmp_path, name):
    with pytest.raises(ManifestError, match="must stay inside"):
        files.inside(tmp_path, name)


@pytest.mark.parametrize("name", ["a", "a/b.png", "-a", "ä ö/..b"])
def test_inside_allows(tmp_path, name):
    assert files.inside(tmp_path, name).is_relative_to(tmp_path)


def test_links_may_not_lead_out_of_the_folder(tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    for name, target in (("round", "round"), ("out", tmp_path), ("home", "."), ("file", tmp_path / "x"), ("a", "b")):
        (root / name).symlink_to(target)
    for name in ("out/x.png", "out", "file", "home/out/x", "home/file", "a/../out"):
        with pytest.raises(ManifestError, match="must stay inside"):
            files.inside(root, name)
    for name in ("round", "round/x.png", "home/x.png", "home/home", "a", "a/x"):  # none is a way out
        assert files.inside(root, name) == root / name
    (tmp_path / "link").symlink_to(root)
    assert files.inside(tmp_path / "link", "x.png") == tmp_path / "link" / "x.png"


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_images_are_lossless(tmp_path_factory, width, height, seed):
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("image") / "a.png"
    write_image(path, rgb)
    assert np.array_equal(read_image(path), rgb)
    assert np.array_equal(cv2.imread(str(path))[..., ::-1], rgb)
    assert np.array_equal(to_rgb(to_tensor(rgb)), rgb)
    assert pixels_sha256(read_image(path)) == pixels_sha256(rgb)


def test_png_files_of_real_frames_are_about_as_small_as_before(demo_clips):
    with open_video(demo_clips / "bigbuckbunny.mp4") as reader:
        frame = next(reader.frames()).rgb()
    for rgb in (frame, resize_area(frame, width=456, height=256)):
        _, before = cv2.imencode(".png", rgb[..., ::-1], (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP))
        assert len(encode_png(rgb)) <= 1.1 * len(before)
        turned = np.rot90(rgb)  # not laid out row by row
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(turned)))), turned)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3)])
def test_only_8_bit_colour_becomes_png(shape):
    with pytest.raises(FrameError, match="must be uint8"):
        encode_png(np.zeros(shape, np.uint8))
    with pytest.raises(FrameError, match="uint16 pixels"):
        encode_png(np.zeros((4, 4, 3), np.uint16))


def _damage(path, kind):
    write_image(path, np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:1500])
    elif kind == "text":
        path.write_text("not an image")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "16 bit":
        Image.fromarray(np.zeros((4, 4), np.uint16)).save(path)
    elif kind == "16 bit colour":
        cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint16))
    elif kind == "missing":
        path.unlink()


@pytest.mark.parametrize("kind", ["truncated", "text", "empty", "16 bit", "16 bit colour", "missing"])
def test_damaged_images_are_refused(tmp_path, kind):
    _damage(tmp_path / "a.png", kind)
    with pytest.raises(FrameError, match=r"cannot read .*a\.png"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_images_are_turned_as_their_camera_says(tmp_path, name):
    rgb = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held a quarter turn to the left
    Image.fromarray(rgb).save(tmp_path / name, exif=exif, lossless=True)
    assert (read_image(tmp_path / name) == np.rot90(rgb, -1)).all()


@pytest.mark.parametrize(
    ("size", "target_height", "expected"),
    [
        ((1920, 1080), 720, (1280, 720)),
        ((1920, 1080), 256, (456, 256)),  # 455.1 goes to the even 456
        ((853, 479), 256, (456, 256)),
        ((448, 256), 256, (448, 256)),
        ((447, 256), 256, (447, 256)),  # native size is kept, odd or not
        ((3, 1080), 256, (2, 256)),
    ],
)
def test_fit_height(size, target_height, expected):
    assert fit_height(*size, target_height=target_height) == expected


def test_frames_are_never_enlarged():
    with pytest.raises(ValueError, match="never enlarged"):
        fit_height(448, 256, target_height=720)


def test_area_resize_is_the_mean_of_each_block():
    rgb = np.random.default_rng(1).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    expected = block_reduce(rgb.astype(float), (4, 4, 1), np.mean)
    assert np.abs(resize_area(rgb, width=24, height=16) - expected).max() <= 1.0


@pytest.mark.parametrize(("height", "width"), [(256, 456), (1080, 64), (7, 9), (5, 4), (3, 2), (1, 1)])
def test_a_fingerprint_holds_the_exact_means_of_16_blocks(height, width):
    rgb = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = []
    for i, j, channel in np.ndindex(4, 4, 3):
        (top, bottom), (left, right) = ((k * n // 4, (k + 1) * n // 4) for k, n in ((i, height), (j, width)))
        cell = rgb[top : max(bottom, top + 1), left : max(right, left + 1), channel].ravel().tolist()
        expected.append(int(Fraction(256 * sum(cell), len(cell)) + Fraction(1, 2)))
    assert fingerprint(rgb) == np.array(expected, "<u2").tobytes()
    assert fingerprint(np.asfortranarray(rgb)) == fingerprint(rgb)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda rgb: rgb, 0),
        (lambda rgb: rgb + 1, 1),
        (lambda rgb: 255 - rgb, 55),
        (lambda rgb: np.where(np.indices(rgb.shape)[1] % 2, rgb + 1, rgb), 0.5),
        (lambda rgb: np.where(np.indices(rgb.shape)[2] == 2, rgb - 100, rgb), 100),  # one channel
        (lambda rgb: rgb + 100 * (np.indices(rgb.shape)[:2] == 0).all(axis=0), 100 / 256),  # one pixel of 16x16
        (lambda rgb: np.resize(rgb, (99, 50, 3)), 0),  # the size does not matter
    ],
)
def test_fingerprint_difference(change, difference):
    rgb = np.full((64, 64, 3), 100, np.uint8)
    other = fingerprint(change(rgb).astype(np.uint8))
    assert fingerprint_difference(fingerprint(rgb), other) == fingerprint_difference(other, fingerprint(rgb))
    assert fingerprint_difference(other, fingerprint(rgb)) == pytest.approx(difference, abs=1 / 512)
    with pytest.raises(FrameError, match="of 95 bytes must have 96"):
        fingerprint_difference(other, other[1:])


def _fails(error):
    def command() -> None:
        """Fail."""
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("count (0) must be positive"), 2),
        (VfiError("cannot read a.mp4"), 1),
        (FileNotFoundError(2, "No such file or directory", "a.mp4"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_are_one_line_and_an_exit_code(capsys, error, code):
    assert cli.run(_fails(error), [], prog="tool") == code
    shown = capsys.readouterr().err
    assert shown.startswith("tool: ")
    assert shown.count("\n") == 1


def test_wrong_options_exit_2_with_one_sentence(capsys):
    def command(count: int) -> int:
        """Count."""
        return 0 if count else 3

    assert cli.run(command, ["many"], prog="tool") == 2
    assert cli.run(command, ["--what"], prog="tool") == 2
    assert capsys.readouterr().err.count("\n") == 2
    assert cli.run(command, ["0"], prog="tool") == 3
    assert cli.run(command, ["--help"], prog="tool") == 0


@pytest.mark.parametrize("name", ["tpu", "cuda:99", "meta"])
def test_unknown_devices_are_usage_errors(name):
    with pytest.raises(UsageError, match=name):
        select_device(name)
    assert select_device("cpu") == torch.device("cpu")


def test_reports_name_the_device():
    assert describe_device(torch.device("mps")) == "mps (Apple GPU)"  # not as a CPU
    assert describe_device(torch.device("cpu")) == f"cpu ({torch.get_num_threads()} threads)"


def test_progress_off_a_terminal_is_plain_lines(capsys):
    seconds = iter([0.0, 2.0, 6.0, 8.0])
    with track("frames", 4, clock=lambda: next(seconds)) as progress:
        progress.advance()  # after 2 s: too early for a line
        progress.advance(2, note="1 rejected")
    assert capsys.readouterr().err.splitlines() == [
        "frames: 3 of 4, 0.5/s, 2 s left, 1 rejected",
        "frames: 3 of 4, 0.4/s, 3 s left, 1 rejected",
    ]


def test_after_a_resume_rate_and_time_left_are_those_of_this_run(capsys):
    seconds = iter([0.0, 10.0, 20.0])
    with track("frames", 100, done=60, clock=lambda: next(seconds)) as progress:
        progress.advance(20)
    assert capsys.readouterr().err.splitlines() == [
        "frames: 80 of 100, 2.0/s, 10 s left",
        "frames: 80 of 100, 1.0/s, 20 s left",
    ]


@pytest.mark.parametrize(
    ("path", "is_there"),
    [
        ("a.png", True),
        ("one/two/a.png", True),
        ("one//two/a.png", True),
        ("one/./two/a.png", True),
        ("one/two/../two/a.png", True),
        ("inside/two/a.png", True),  # a link to one/
        ("deep/in/two/a.png", True),  # deep/in is one to ../one
        ("one/two/linked.png", True),
        ("one/two/b.png", False),
        ("none/a.png", False),
        ("outside/a.png", False),  # a link to a folder beside the root
        ("outside/more/a.png", False),
        ("one/../../elsewhere/a.png", False),
        ("one/two/stolen.png", False),  # a link to a file there
        ("round/a.png", False),  # a link to itself
        ("one/two", False),
        ("one/" * 2000 + "a.png", False),
        ("./" * 500 + "one/two/a.png", True),
    ],
    ids=lambda value: str(value)[-30:],
)
def test_files_of_a_folder_are_seen_through_links_that_stay_inside(tmp_path, path, is_there):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for file in (root / "a.png", root / "one/two/a.png", elsewhere / "a.png", elsewhere / "more/a.png"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (root / "deep").mkdir()
    for link, target in {
        "inside": "one",
        "deep/in": "../one",
        "outside": elsewhere,
        "round": "round",
        "one/two/linked.png": "a.png",
        "one/two/stolen.png": elsewhere / "a.png",
    }.items():
        (root / link).symlink_to(target)
    contents = files.FolderContents(root)
    assert [contents.has(path), contents.has(path)] == [is_there, is_there]
    (tmp_path / "link").symlink_to(root)
    assert files.FolderContents(tmp_path / "link").has(path) == is_there
