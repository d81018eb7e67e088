"""Finished work is never lost: a run that was killed or failed goes on where it was, to the same video stream."""

import errno
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.dataset_tools.tricky_clips import write_clip
from vfidpa_model.interpolate import main
from vfidpa_model.interpolation import run as interpolation_job
from vfidpa_model.interpolation.work_folder import WorkFolder

MEAN = "tests.vfidpa_model.simple_interpolators:Mean"


def test_killed_and_resumed_gives_the_same_video_stream(tmp_path):
    source = tmp_path / "in.mp4"
    write_clip(source, numbers=range(300), size=(96, 64), options={"preset": "ultrafast"})
    whole, resumed = tmp_path / "whole.mp4", tmp_path / "resumed.mp4"
    assert main([str(source), str(whole), "--fast", MEAN]) == 0
    command = [sys.executable, "-m", "vfidpa_model.interpolate", str(source), str(resumed), "--fast", MEAN]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        second = tmp_path / ".resumed.mp4.parts" / "000001.packets"
        deadline = time.monotonic() + 120
        while not second.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait(timeout=60)
    assert second.exists()
    assert not resumed.exists()
    assert main([str(source), str(resumed), "--fast", MEAN]) == 0
    assert video_stream(resumed) == video_stream(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "resumed.mp4", "whole.mp4"]


def video_stream(path: Path) -> list[tuple[int | None, int | None, int | None, bytes]]:
    with av.open(str(path)) as clip:
        return [(packet.pts, packet.dts, packet.duration, bytes(packet)) for packet in clip.demux(video=0)]


def no_space(*arguments, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.mp4")


def interrupted(*arguments, **options):
    raise KeyboardInterrupt


@pytest.fixture
def clip(tmp_path) -> Path:
    """A clip of two pieces."""
    write_clip(tmp_path / "in.mp4", numbers=range(60), size=(96, 64), options={"preset": "ultrafast"})
    return tmp_path / "in.mp4"


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [(no_space, 1, "No space left on device"), (interrupted, 130, "interrupted; the same command goes on")],
)
def test_finished_pieces_survive_every_end_and_the_same_command_goes_on(clip, capsys, monkeypatch, failure, code, said):
    command = [str(clip), str(clip.with_name("out.mp4")), "--fast", MEAN]
    pieces = [clip.with_name(".out.mp4.parts") / f"00000{index}.packets" for index in (0, 1)]
    with monkeypatch.context() as patch:
        patch.setattr(interpolation_job, "join", failure)
        assert main(command) == code
    printed = capsys.readouterr().err
    assert said in printed
    assert "2 finished pieces stay in" in printed
    before = [piece.stat().st_mtime_ns for piece in pieces]
    with monkeypatch.context() as patch:
        patch.setattr(interpolation_job, "join", failure)
        assert main(command) == code
    assert [piece.stat().st_mtime_ns for piece in pieces] == before
    assert main([*command, "--resume"]) == 0
    assert "2 of 2 pieces kept" in capsys.readouterr().out
    assert sum(bool(data) for *_, data in video_stream(clip.with_name("out.mp4"))) == 120
    assert sorted(path.name for path in clip.parent.iterdir()) == ["in.mp4", "out.mp4"]


def test_a_failure_before_the_first_piece_leaves_nothing(clip, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(interpolation_job, "write_piece", no_space)
        assert main([str(clip), str(clip.with_name("new") / "folder/out.mp4"), "--fast", MEAN]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert [path.name for path in clip.parent.iterdir()] == ["in.mp4"]


def test_other_options_are_named_and_remove_nothing(clip, capsys, monkeypatch):
    target = clip.with_name("out.mp4")
    with monkeypatch.context() as patch:
        patch.setattr(interpolation_job, "join", interrupted)
        assert main([str(clip), str(target), "--fast", MEAN]) == 130
    options = ["--fast", MEAN, "--factor", "3", "--crf", "20"]
    assert main([str(clip), str(target), *options]) == 1
    error = capsys.readouterr().err
    assert "--factor was 2 and is 3, --crf was not given and is 20; give the same options again, or --restart" in error
    assert (clip.with_name(".out.mp4.parts") / "000001.packets").exists()
    assert main([str(clip), str(target), *options, "--restart"]) == 0
    assert sum(bool(data) for *_, data in video_stream(target)) == 180


def test_two_runs_on_one_output_do_not_meet(clip, capsys):
    with WorkFolder(clip.with_name("out.mp4")) as folder:
        folder.piece(0).write_bytes(b"mine")
        assert main([str(clip), str(clip.with_name("out.mp4")), "--fast", MEAN]) == 1
        assert "another run is making this output" in capsys.readouterr().err
        assert folder.piece(0).read_bytes() == b"mine"
        assert main([str(clip), str(clip.with_name("other.mp4")), "--fast", MEAN]) == 0


def test_after_a_resume_the_page_and_the_closing_line_tell_of_the_whole_file(clip, capsys, monkeypatch):
    page = clip.with_name("page.html")
    command = [str(clip), str(clip.with_name("out.mp4")), "--fast", MEAN, "--preview", str(page)]
    with monkeypatch.context() as patch:
        patch.setattr(interpolation_job, "join", interrupted)
        assert main(command) == 130
    assert main(command) == 0
    assert "pairs: 88 % fast, 12 % cut" in capsys.readouterr().out
    assert "Fast interpolator: 52 pairs" in page.read_text()
    assert page.read_text().count("<figure>") == 8


def test_the_cascade_goes_on_with_what_it_had_seen(tmp_path, demo_clips, monkeypatch, capsys):
    """The second piece rests on the scores of the first: bits are equal only if those are known after the break."""
    source, whole, broken = (tmp_path / name for name in ("in.mp4", "whole.mkv", "broken.mkv"))
    with av.open(str(demo_clips / "bikes.mp4")) as clip, av.open(str(source), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "10", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        for index, frame in enumerate(itertools.islice(clip.decode(video=0), 56)):
            small = frame.reformat(width=128, height=128, format="yuv420p")
            small.pts, small.time_base, small.pict_type = index, Fraction(1, 25), 0
            output.mux(stream.encode(small))
        output.mux(stream.encode())
    page = tmp_path / "page.html"
    assert main([str(source), str(whole), "--effort", "0.3", "--preview", str(page)]) == 0
    assert re.search(r"refined \d+ % of the area", capsys.readouterr().out)
    assert "Refined in the framed parts" in page.read_text()

    def only_first(path, *arguments, **options):
        if path.name != "000000.packets":
            raise KeyboardInterrupt
        return write_piece(path, *arguments, **options)

    write_piece = interpolation_job.write_piece
    with monkeypatch.context() as patch:
        patch.setattr(interpolation_job, "write_piece", only_first)
        assert main([str(source), str(broken), "--effort", "0.3"]) == 130
    assert main([str(source), str(broken), "--effort", "0.3"]) == 0
    assert video_stream(broken) == video_stream(whole)
