"""Transparency is kept where codec and container can, said to be lost where not, and never claimed falsely."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dataset_tools.video.pyav import PyavReader
from vfidpa_model.interpolate import main

MEAN = "tests.vfidpa_model.simple_interpolators:Mean"
HEIGHT, WIDTH = 64, 96
COUNT = 4


def picture(number: int, *, opaque: bool = False) -> np.ndarray:
    """Return a coloured square that moves over nothing, RGBA."""
    rgba = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    rgba[..., :3] = (40, 90, 160)
    rgba[16:48, 8 + 8 * number : 40 + 8 * number, :3] = (200, 120, 60)
    rgba[..., 3] = 255 if opaque else 0
    rgba[16:48, 8 + 8 * number : 40 + 8 * number, 3] = 255
    return rgba


def write(path: Path, codec: str, pix_fmt: str, *, opaque: bool = False) -> None:
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        if codec == "libvpx-vp9":
            stream.options = {"crf": "4", "b": "0", "auto-alt-ref": "0", "cpu-used": "8"}
            stream.metadata["alpha_mode"] = "1"
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(picture(number, opaque=opaque), format="rgba").reformat(format=pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, 24)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())


def alphas(path: Path) -> list[np.ndarray]:
    with PyavReader(path, with_alpha=True) as reader:
        return [frame.raw.reformat(format="rgba").to_ndarray()[..., 3].astype(int) for frame in reader.frames()]


@pytest.mark.parametrize(
    ("source", "output", "options"),
    [
        (("in.webm", "libvpx-vp9", "yuva420p"), "out.webm", []),
        (("in.webm", "libvpx-vp9", "yuva420p"), "out.mov", []),
        (("in.mov", "prores_ks", "yuva444p10le"), "out.mov", []),
        (("in.mov", "png", "rgba"), "out.mov", ["--codec", "png"]),
        (("in.mov", "png", "rgba"), "out.webm", []),
        (("in.mov", "qtrle", "argb"), "out.mov", ["--codec", "qtrle"]),
        (("in.mkv", "ffv1", "bgra"), "out.mkv", ["--codec", "ffv1"]),
        (("in.mkv", "ffv1", "yuva420p"), "out.mkv", ["--codec", "libvpx-vp9"]),
    ],
)
def test_transparency_is_kept_and_made_between_the_frames(tmp_path, capsys, source, output, options):
    name, codec, pix_fmt = source
    write(tmp_path / name, codec, pix_fmt)
    assert main([str(tmp_path / name), str(tmp_path / output), "--fast", MEAN, *options]) == 0
    assert "transparency" not in capsys.readouterr().err
    before, after = alphas(tmp_path / name), alphas(tmp_path / output)
    assert len(after) == 2 * COUNT
    for a, b in zip(before, after[::2], strict=True):
        assert np.abs(a - b).mean() < 2
    for a, made, b in zip(before, after[1::2], before[1:], strict=False):
        assert np.abs(made - (a + b) / 2).mean() < 2.5
    inside = after[1][20:44, 20:36]
    assert inside.min() >= 253  # opaque in both


@pytest.mark.parametrize(
    ("opaque", "output", "options", "note"),
    [
        (False, "out.mp4", [], "transparency is left out; .webm, .mov, .gif"),
        (False, "out.mkv", [], "transparency is left out"),
        (True, "out.mp4", [], ""),
        (True, "out.webm", [], ""),
        (True, "out.mov", [], ""),
    ],
)
def test_what_is_lost_is_said_and_nothing_is_claimed(tmp_path, capsys, opaque, output, options, note):
    write(tmp_path / "in.mov", "png", "rgba", opaque=opaque)
    assert main([str(tmp_path / "in.mov"), str(tmp_path / output), "--fast", MEAN, *options]) == 0
    said = capsys.readouterr().err
    assert note in said
    assert ("note" in said) == bool(note)
    with av.open(str(tmp_path / output)) as clip:
        video = clip.streams.video[0]
        assert "alpha_mode" not in {key.lower() for key in video.metadata}
        assert video.codec_context.pix_fmt == "yuv420p"


def test_vp9_without_its_transparency_is_not_marked_as_if_it_had_one(tmp_path, capsys):
    write(tmp_path / "in.webm", "libvpx-vp9", "yuva420p")
    options = ["--encoder-option", "pix_fmt=yuv420p"]
    assert main([str(tmp_path / "in.webm"), str(tmp_path / "out.webm"), "--fast", MEAN, *options]) == 0
    assert "transparency is left out" in capsys.readouterr().err
    with av.open(str(tmp_path / "out.webm")) as clip:
        assert "alpha_mode" not in {key.lower() for key in clip.streams.video[0].metadata}
