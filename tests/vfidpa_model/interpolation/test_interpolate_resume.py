"""A killed interpolation goes on where it was: the same video stream, and no piece of another job."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import av

from tests.dataset_tools.tricky_clips import write_clip
from vfidpa_model.interpolate import main
from vfidpa_model.interpolation import run as interpolation_job

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
    assert main([str(source), str(resumed), "--fast", MEAN, "--resume"]) == 0
    assert video_stream(resumed) == video_stream(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "resumed.mp4", "whole.mp4"]


def video_stream(path: Path) -> list[tuple[int | None, int | None, int | None, bytes]]:
    with av.open(str(path)) as clip:
        return [(packet.pts, packet.dts, packet.duration, bytes(packet)) for packet in clip.demux(video=0)]


def test_resuming_another_job_is_refused(tmp_path, capsys, monkeypatch):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source)

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(interpolation_job, "join", interrupted)
        assert main([str(source), str(target), "--fast", MEAN]) == 130
    assert "interrupted; the same command with --resume goes on" in capsys.readouterr().err
    assert (tmp_path / ".out.mp4.parts" / "000000.packets").exists()
    assert main([str(source), str(target), "--fast", MEAN, "--factor", "3", "--resume"]) == 1
    assert "run without --resume" in capsys.readouterr().err
    assert (tmp_path / ".out.mp4.parts" / "000000.packets").exists()
    assert main([str(source), str(target), "--fast", MEAN, "--resume"]) == 0
    assert sum(bool(data) for *_, data in video_stream(target)) == 48
