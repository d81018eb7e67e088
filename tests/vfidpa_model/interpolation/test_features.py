"""What users of such tools look for: smooth animation, slow motion, a part for a try-out, loops, deinterlacing."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dataset_tools.video.pyav import PyavFrame, PyavReader
from tests.dataset_tools.tricky_clips import numbered_frame, read_number, write_clip
from vfidpa_model.interpolate import main

SIMPLE = "tests.vfidpa_model.simple_interpolators"
MEAN, RED = f"{SIMPLE}:Mean", f"{SIMPLE}:Red"
BEEP_HERTZ = 880


def run(source: Path, target: Path, *options: str, network: str = RED) -> list[PyavFrame]:
    assert main([str(source), str(target), "--fast", network, "--codec", "ffv1", "--no-scene-cuts", *options]) == 0
    with PyavReader(target) as reader:
        return list(reader.frames())


def numbers(frames: list[PyavFrame]) -> list[int]:
    """Return the number on each frame, -1 for a made one (red)."""
    return [read_number(frame.rgb()) for frame in frames]


def with_sound(path: Path, *, seconds: int = 2) -> None:
    """Write numbered frames with a white flash, and a beep at the same time, at the second second."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=24, options={"qp": "10"})
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        audio = output.add_stream("aac", rate=48000, layout="mono")
        audio.bit_rate = 128_000
        for number in range(24 * seconds):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            output.mux(video.encode(frame))
        for block in range(48000 * seconds // 1024):
            times = (1024 * block + np.arange(1024)) / 48000
            wave = np.where((times >= 1) & (times < 1.5), 0.5 * np.sin(2 * np.pi * BEEP_HERTZ * times), 0)
            frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, 1024 * block, Fraction(1, 48000)
            output.mux(audio.encode(frame))
        output.mux(video.encode())
        output.mux(audio.encode())


def sound(path: Path) -> tuple[np.ndarray, float]:
    """Return the samples of a file's sound at 48 kHz, and when it starts."""
    with av.open(str(path)) as clip:
        frames = list(clip.decode(audio=0))
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]), float(
        frames[0].pts * frames[0].time_base
    )


def beep(path: Path) -> tuple[float, float, float]:
    """Return when the beep begins and ends in a file, in seconds, and its frequency."""
    samples, start = sound(path)
    loud = np.flatnonzero(np.convolve(np.abs(samples), np.ones(240) / 240, "same") > 0.1)
    inside = samples[loud[0] + 2400 : loud[-1] - 2400]
    spectrum = np.abs(np.fft.rfft(inside * np.hanning(len(inside))))
    return start + loud[0] / 48000, start + loud[-1] / 48000, float(spectrum.argmax()) * 48000 / len(inside)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([0, 0, 2, 2, 4, 4, 6, 6], [0, -1, -1, -1, 2, -1, -1, -1, 4, -1, -1, -1, 6, 6, 6, 6]),
        ([0, 0, 0, 3, 3, 3, 6], [0, -1, -1, -1, -1, -1, 3, -1, -1, -1, -1, -1, 6, 6]),
        ([0] * 9 + [1], [0] * 17 + [-1, 1, 1]),  # a still is no animation: only its last step moves
    ],
)
def test_the_motion_of_animation_on_twos_is_spread_evenly(tmp_path, shown, expected):
    write_clip(tmp_path / "in.mp4", numbers=shown)
    frames = run(tmp_path / "in.mp4", tmp_path / "out.mkv", "--duplicates", "smooth")
    assert numbers(frames) == expected
    np.testing.assert_allclose([frame.pts_seconds for frame in frames], np.arange(2 * len(shown)) / 48, atol=0.0011)
    kept = run(tmp_path / "in.mp4", tmp_path / "keep.mkv")
    assert numbers(kept)[::2] == shown


@pytest.mark.parametrize(
    ("factor", "output"), [("2", "out.mkv"), ("4", "out.mp4"), ("2.5", "out.mov"), ("2", "out.webm")]
)
def test_slow_motion_keeps_the_rate_and_the_pitch(tmp_path, factor, output):
    source, target = tmp_path / "in.mp4", tmp_path / output
    with_sound(source)
    assert main([str(source), str(target), "--fast", MEAN, "--no-scene-cuts", "--slow-motion", factor]) == 0
    with PyavReader(target) as reader:
        times = [frame.pts_seconds for frame in reader.frames()]
    assert np.diff(times) == pytest.approx(1 / 24, abs=0.0015)
    assert len(times) == pytest.approx(48 * float(factor), abs=1)
    before, after = beep(source), beep(target)
    assert after[0] == pytest.approx(before[0] * float(factor), abs=0.1)  # atempo smears the onset
    assert after[1] - after[0] == pytest.approx((before[1] - before[0]) * float(factor), abs=0.08)
    assert after[2] == pytest.approx(BEEP_HERTZ, abs=4)


def test_a_part_for_a_try_out_keeps_sound_in_step(tmp_path, capsys):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mkv"
    with_sound(source, seconds=4)
    frames = run(source, target, "--start", "0.5", "--duration", "1.5")
    assert numbers(frames)[::2] == list(range(12, 48))
    assert frames[0].pts_seconds == 0
    assert beep(target)[0] == pytest.approx(beep(source)[0] - 0.5, abs=0.002)
    samples, start = sound(target)
    assert start + len(samples) / 48000 == pytest.approx(1.5, abs=0.05)
    assert main([str(source), str(tmp_path / "x.mkv"), "--fast", MEAN, "--start", "9"]) == 1
    assert "no frame begins between 9.000 and 4.000 s; give another --start" in capsys.readouterr().err
    assert main([str(source), str(tmp_path / "x.mkv"), "--fast", MEAN, "--start", "-1"]) == 2
    assert len(run(source, target, "--start", "0", "--duration", "0.5", "--overwrite")) == 24


def test_a_loop_closes(tmp_path):
    write_clip(tmp_path / "in.mp4", numbers=range(6))
    frames = run(tmp_path / "in.mp4", tmp_path / "out.mkv", "--loop", network=MEAN)
    assert len(frames) == 12
    first, last, closing = (frames[k].rgb().astype(float) for k in (0, 10, 11))
    assert np.abs(closing - (first + last) / 2).mean() < 2


def test_the_smallest_cut_is_a_choice(tmp_path, capsys):
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as output:
        stream = output.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(12):
            shade = np.full((96, 160, 3), 60, np.uint8)
            bright = np.s_[:, :80] if number < 9 else np.s_[:48]
            shade[bright] = 100 + 4 * number
            frame = av.VideoFrame.from_ndarray(shade, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    for options, is_cut in [(["--scene-threshold", "5"], True), (["--scene-threshold", "500"], False)]:
        assert main([str(source), str(tmp_path / "out.mkv"), "--fast", MEAN, "--overwrite", *options]) == 0
        assert ("% cut" in capsys.readouterr().out) == is_cut


def test_motion_can_be_looked_for_at_half_size(tmp_path, capsys):
    source = tmp_path / "in.mp4"
    write_clip(source, numbers=range(3), size=(256, 128))
    whole = run(source, tmp_path / "whole.mkv", network="rife")
    half = run(source, tmp_path / "half.mkv", "--flow-scale", "0.5", network="rife")
    assert (whole[1].rgb() != half[1].rgb()).any()
    for network, value, message in [
        (MEAN, "0.5", "takes no option scale"),
        ("rife", "0", "must be above 0"),
        ("rife-v4", "0.3", "scale (0.3) must be one of"),
    ]:
        assert main([str(source), str(tmp_path / "x.mkv"), "--fast", network, "--flow-scale", value]) == 2
        assert message in capsys.readouterr().err


def test_interlaced_video_is_made_whole(tmp_path, capsys):
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as output:
        stream = output.add_stream("mpeg2video", rate=25, options={"flags": "+ilme+ildct", "b": "8M"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(6):
            woven = np.full((96, 160, 3), 60, np.uint8)
            for field in (0, 1):  # the second one is half a frame later
                left = 20 + 16 * number + 8 * field
                woven[field::2, left : left + 40] = 200
            frame = av.VideoFrame.from_ndarray(woven, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())

    def combing(frame: PyavFrame) -> float:
        luma = frame.luma().astype(float)
        return float(np.abs(luma[1:-1:2] - (luma[:-2:2] + luma[2::2]) / 2).mean())

    woven = run(source, tmp_path / "woven.mkv", network=MEAN)
    assert "the video is interlaced and taken as it is: --deinterlace" in capsys.readouterr().err
    whole = run(source, tmp_path / "whole.mkv", "--deinterlace", network=MEAN)
    assert "interlaced" not in capsys.readouterr().err
    assert len(whole) == len(woven) == 12
    assert combing(whole[4]) < 0.3 * combing(woven[4])
