"""Containers and codecs: sound within a millisecond of the picture, pixel shape and length as they were."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dataset_tools.video.pyav import PyavReader
from vfidpa_model.interpolate import main

MEAN = "tests.vfidpa_model.simple_interpolators:Mean"
SHAPE = Fraction(64, 45)
FLASH_SECONDS = 0.5


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, Path]:
    """The clip with the sound that a container holds, by its ending."""
    folder = tmp_path_factory.mktemp("pairs")
    plain, packed = folder / "plain.mkv", folder / "packed.mkv"
    flash_and_beep(plain, "pcm_s16le", "s16")
    flash_and_beep(packed, "libopus", "fltp")
    return {"mov": plain, "mkv": plain, "mp4": packed, "webm": packed}


def flash_and_beep(path: Path, codec: str, sample: str) -> None:
    """Write a second of grey with a white flash and a beep at the same time; pixels wider than high."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=24, options={"qp": "12"})
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        video.codec_context.sample_aspect_ratio = SHAPE
        audio = output.add_stream(codec, rate=48000, layout="mono")
        audio.bit_rate = 128_000
        for number in range(24):
            level = 235 if number == 24 * FLASH_SECONDS else 60 + number
            picture = np.full((96, 160, 3), level, np.uint8)
            picture[:, : 4 * number] += 12
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            output.mux(video.encode(frame))
        for block in range(50):
            times = np.arange(960 * block, 960 * (block + 1)) / 48000
            wave = np.where(np.abs(times - FLASH_SECONDS - 0.02) < 0.02, 0.7 * np.sin(2 * np.pi * 1000 * times), 0)
            whole = (wave * 32767).astype(np.int16) if sample == "s16" else wave.astype(np.float32)
            sound = av.AudioFrame.from_ndarray(whole[None], format=sample, layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = 48000, 960 * block, Fraction(1, 48000)
            output.mux(audio.encode(sound))
        output.mux(video.encode())
        output.mux(audio.encode())


def lead_seconds(path: Path) -> float:
    """Return how long after the flash the beep begins."""
    with PyavReader(path) as reader:
        shown = [(float(frame.luma().mean()), frame.pts_seconds) for frame in reader.frames()]
    brightest = max(level for level, _ in shown)
    flash = next(seconds for level, seconds in shown if level > brightest - 10)
    with av.open(str(path)) as clip:
        frames = list(clip.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
    loud = int(np.flatnonzero(np.abs(samples) > 0.2 * np.abs(samples.astype(float)).max())[0])
    assert frames[0].pts is not None
    return float(frames[0].pts * frames[0].time_base) + loud / 48000 - flash


@pytest.mark.parametrize(
    ("ending", "codec"),
    [
        *(("mp4", codec) for codec in ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "mpeg4")),
        *(("mov", codec) for codec in ("libx264", "prores_ks", "png", "mjpeg")),
        *(("mkv", codec) for codec in ("libx264", "libx265", "libvpx-vp9", "libsvtav1", "ffv1")),
        *(("webm", codec) for codec in ("libvpx-vp9", "libsvtav1")),
    ],
)
def test_sound_stays_with_the_picture_and_the_picture_keeps_its_shape(tmp_path, sources, ending, codec):
    source, target = sources[ending], tmp_path / f"out.{ending}"
    quick = {"libx265": "ultrafast", "libsvtav1": "12"}.get(codec)
    options = ["--preset", quick] if quick else []
    assert main([str(source), str(target), "--fast", MEAN, "--codec", codec, "--no-scene-cuts", *options]) == 0
    assert lead_seconds(target) == pytest.approx(lead_seconds(source), abs=0.001)
    with av.open(str(target)) as clip:
        video = clip.streams.video[0]
        assert float(video.sample_aspect_ratio or 1) == pytest.approx(float(SHAPE), rel=0.005)
        assert len([packet for packet in clip.demux(video) if packet.size]) == 48
        clip.seek(0)  # the header's places are right
        assert next(clip.decode(video=0)).pts is not None
