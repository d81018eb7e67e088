"""Inputs and outputs that are no video files: pictures, moving pictures, pipes, and several files in one call."""

import contextlib
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dataset_tools.video.pyav import PyavReader
from tests.dataset_tools.tricky_clips import numbered_frame, read_number, write_clip
from vfidpa_model.interpolate import main

SIMPLE = "tests.vfidpa_model.simple_interpolators"
MEAN = f"{SIMPLE}:Mean"
BASE = ["--fast", MEAN, "--no-scene-cuts"]


def write_pictures(folder: Path, names: str, numbers: range, *, shown: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.fromarray(numbered_frame(shown + number)).save(folder / (names % number))


@pytest.mark.parametrize(
    ("names", "numbers", "source", "options", "fps"),
    [
        ("%06d.png", range(1, 6), "in", [], 24),
        ("shot_%d.png", range(8, 13), "in", ["--input-fps", "30000/1001"], Fraction(30000, 1001)),
        ("f%04d.tif", range(100, 105), "in/f%04d.tif", ["--input-fps", "12"], 12),
    ],
)
def test_numbered_pictures_become_a_video(tmp_path, names, numbers, source, options, fps):
    write_pictures(tmp_path / "in", names, numbers)
    target = tmp_path / "out.mkv"
    assert main([str(tmp_path / source), str(target), *BASE, "--codec", "ffv1", *options]) == 0
    with PyavReader(target) as reader:
        frames = list(reader.frames())
    assert [read_number(frame.rgb()) for frame in frames[::2]] == list(numbers)
    np.testing.assert_array_equal(frames[0].rgb(), numbered_frame(numbers[0]))
    np.testing.assert_allclose([frame.pts_seconds for frame in frames], np.arange(10) / (2 * float(fps)), atol=0.001)


@pytest.mark.parametrize(
    ("output", "name"),
    [("new/%06d.png", "new/000003.png"), ("new", "new/000003.png"), ("new/a_%03d.tif", "new/a_003.tif")],
)
def test_a_video_or_pictures_become_numbered_pictures(tmp_path, capsys, output, name):
    write_pictures(tmp_path / "in", "%02d.png", range(4))
    assert main([str(tmp_path / "in"), str(tmp_path / output), *BASE]) == 0
    assert len(list((tmp_path / "new").iterdir())) == 8
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / name)), numbered_frame(1))
    assert main([str(tmp_path / "in"), str(tmp_path / output), *BASE]) == 1
    assert "is not empty; give --overwrite" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "new"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: write_pictures(folder, "%03d.png", range(0)), "no numbered pictures"),
        (lambda folder: (write_pictures(folder, "%03d.png", range(3)), (folder / "001.png").unlink()),
         "1 numbers are missing (1)"),
        (lambda folder: (write_pictures(folder, "a%03d.png", range(3)), write_pictures(folder, "b%03d.png", range(3))),
         "several series (a000.png, b000.png); name one by a pattern"),
    ],
)  # fmt: skip
def test_pictures_that_are_no_series_are_refused(tmp_path, capsys, make, message):
    make(tmp_path / "in")
    (tmp_path / "in").mkdir(exist_ok=True)
    (tmp_path / "in/words.txt").write_text("no picture")
    assert main([str(tmp_path / "in"), str(tmp_path / "out.mp4"), *BASE]) in (1, 2)
    assert message in capsys.readouterr().err or message == "no numbered pictures"


@pytest.mark.parametrize(("ending", "unit"), [("gif", 0.01), ("apng", 0.001), ("webp", 0.001)])
def test_moving_pictures_come_out(tmp_path, capsys, ending, unit):
    source, target = tmp_path / "in.mp4", tmp_path / f"out.{ending}"
    write_clip(source, numbers=range(12))
    assert main([str(source), str(target), *BASE, "--fps", "20"]) == 0
    with Image.open(target) as moving:
        assert moving.n_frames == 10
        assert moving.info["loop"] == 0
        lengths = []
        for number in range(10):
            moving.seek(number)
            moving.load()
            lengths.append(moving.info["duration"])
            if number == 0:
                shown = np.asarray(moving.convert("RGB")).astype(int)
                assert np.abs(shown - numbered_frame(0)).mean() < 12
        assert lengths[:-1] == pytest.approx([50] * 9, abs=1000 * unit)
    assert main([str(source), str(tmp_path / "fast.gif"), *BASE, "--factor", "4"]) == 1
    assert "96 frames per second are more than a GIF shows (50); give --fps 50, or name" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["gif", "apng", "webp", "png"])
def test_pictures_keep_their_transparency(tmp_path, ending):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        rgba = np.zeros((64, 96, 4), np.uint8)
        rgba[16:48, 8 * number : 32 + 8 * number] = (200, 90, 40, 255)
        Image.fromarray(rgba).save(folder / f"{number}.png")
    output = tmp_path / ("out/%02d.png" if ending == "png" else f"out.{ending}")
    assert main([str(folder), str(output), *BASE]) == 0
    first = tmp_path / "out/01.png" if ending == "png" else output
    with Image.open(first) as picture:
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    assert alpha[32, 16] == 255
    assert alpha[4, 4] == 0


def test_an_apng_goes_in(tmp_path):
    write_pictures(tmp_path / "in", "%02d.png", range(4))
    once, twice = tmp_path / "once.apng", tmp_path / "twice.mkv"
    assert main([str(tmp_path / "in"), str(once), *BASE]) == 0
    assert main([str(once), str(twice), *BASE, "--codec", "ffv1"]) == 0
    with PyavReader(twice) as reader:
        assert [read_number(frame.rgb()) for frame in reader.frames()][::4] == list(range(4))


def process(data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "vfidpa_model.interpolate", *arguments, *BASE]
    return subprocess.run(command, input=data, capture_output=True, timeout=120, check=False)


@pytest.fixture
def pipe(monkeypatch):
    """A function that runs the command in this process between two real pipes: exit code and what came out."""

    def run(data: bytes, *arguments: str) -> tuple[int, bytes]:
        (stdin, source), (sink, stdout) = os.pipe(), os.pipe()

        def feed() -> None:
            with contextlib.suppress(BrokenPipeError), open(source, "wb") as file:
                file.write(data)

        def drain() -> bytes:
            with open(sink, "rb") as file:
                return file.read()

        with ThreadPoolExecutor(2) as pool:
            pool.submit(feed)
            drained = pool.submit(drain)
            with monkeypatch.context() as patch, open(stdin) as reading, open(stdout, "w") as writing:
                patch.setattr(sys, "stdin", reading)
                patch.setattr(sys, "stdout", writing)
                code = main([*arguments, *BASE])
            return code, drained.result()

    return run


def y4m(numbers: range) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="yuv4mpegpipe") as output:
        stream = output.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in numbers:
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()


def test_it_stands_between_two_pipes(tmp_path, pipe, capsys):
    data = y4m(range(5))
    both = process(data, "-", "-")
    assert both.returncode == 0, both.stderr
    assert b"10 frames" in both.stderr
    with av.open(io.BytesIO(both.stdout), format="yuv4mpegpipe") as clip:
        assert clip.streams.video[0].average_rate == 50
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    assert [read_number(frame) for frame in frames[::2]] == list(range(5))
    assert len(frames) == 10
    assert pipe(data, "-", str(tmp_path / "out.mkv"))[0] == 0
    with PyavReader(tmp_path / "out.mkv") as reader:
        assert [read_number(frame.rgb()) for frame in reader.frames()][::2] == list(range(5))
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]
    bare = b"".join(data.split(b"FRAME\n")[1:])
    code, raw = pipe(bare, "-", "-", "--raw", "160x96:yuv420p", "--input-fps", "25", "--container", "rawvideo")
    assert code == 0
    assert len(raw) == 2 * len(bare)
    assert raw[: len(bare) // 5] == bare[: len(bare) // 5]
    capsys.readouterr()
    assert pipe(b"no video", "-", "-") == (1, b"")
    assert "standard input is no yuv4mpegpipe video" in capsys.readouterr().err


def test_a_varying_rate_is_said_where_it_is_lost(tmp_path, capsys):
    write_clip(tmp_path / "in.mp4", numbers=range(4), pts=[0, 1, 2, 5])
    assert main([str(tmp_path / "in.mp4"), str(tmp_path / "out/%03d.png"), *BASE]) == 0
    assert "the frame rate varies, which pictures and pipes cannot tell: give --fps" in capsys.readouterr().err
    assert main([str(tmp_path / "in.mp4"), str(tmp_path / "even/%03d.png"), *BASE, "--fps", "24"]) == 0
    assert "varies" not in capsys.readouterr().err
    assert len(list((tmp_path / "even").iterdir())) == 6


def test_what_a_pipe_cannot_do_is_wrong_usage(tmp_path, capsys):
    for options, message in [
        (["-", "out.mp4", "--loop"], "--loop cannot be had of standard input"),
        (["-", "-", "--preview", "page.html"], "--preview cannot be had with standard output"),
        (["in.mp4", "-", "--container", "mkv"], "container 'mkv' cannot go to standard output"),
        (["in.mp4", "out.mp4", "--raw", "4x4:gray"], "--raw is about standard input"),
        (["in.mp4"], "IN and OUT are needed"),
    ]:
        assert main([*options, *BASE]) == 2
        assert message in capsys.readouterr().err


def test_several_files_and_a_folder_in_one_call(tmp_path, capsys):
    folder, target = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a.mp4", "b.mkv", "c.avi"):
        write_clip(folder / name, numbers=range(4))
    (folder / "broken.mp4").write_text("no video")
    (folder / "words.txt").write_text("no video")
    assert main([str(folder), str(target), *BASE]) == 1
    printed = capsys.readouterr()
    assert "3 done, 0 there already, 1 failed" in printed.out
    assert "broken.mp4" in printed.err
    assert sorted(path.name for path in target.iterdir()) == ["a.mp4", "b.mkv", "c.mkv"]
    (folder / "broken.mp4").unlink()
    (target / "b.mkv").unlink()
    assert main([str(folder / "a.mp4"), str(folder / "b.mkv"), str(target), *BASE]) == 0
    assert "1 done, 1 there already, 0 failed" in capsys.readouterr().out
    assert (
        main([str(folder / "a.mp4"), str(folder / "b.mkv"), str(tmp_path / "webm"), *BASE, "--container", "webm"]) == 0
    )
    assert sorted(path.name for path in (tmp_path / "webm").iterdir()) == ["a.webm", "b.webm"]
    write_clip(folder / "a.mov", numbers=range(2))
    assert main([str(folder), str(tmp_path / "x"), *BASE, "--container", "mkv"]) == 2
    assert "would both become" in capsys.readouterr().err
