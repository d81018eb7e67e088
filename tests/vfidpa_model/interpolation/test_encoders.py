"""Encoders: sane quality by default, what players show, and bits that do not depend on threads."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.codec import UnknownCodecError

from dataset_tools.video.pyav import PyavReader
from tests.dataset_tools.tricky_clips import numbered_frame, write_clip
from vfidpa_model.interpolate import main
from vfidpa_model.interpolation import encoders
from vfidpa_model.interpolation.writer import Encoding, write_piece

MEAN = "tests.vfidpa_model.simple_interpolators:Mean"


def run(source: Path, target: Path, *options: str) -> int:
    return main([str(source), str(target), "--fast", MEAN, *options])


def video(path: Path) -> tuple[str, str, int, int]:
    """Return codec, picture format, width and height."""
    with av.open(str(path)) as clip:
        context = clip.streams.video[0].codec_context
        return context.codec.canonical_name, context.pix_fmt or "", context.width, context.height


@pytest.mark.parametrize("codec", encoders._THREADED)
def test_bits_do_not_depend_on_threads_where_there_are_several(tmp_path, codec):
    pix_fmt = {"png": "rgb24", "prores_ks": "yuv422p10le", "dnxhd": "yuv422p"}.get(codec, "yuv420p")
    pieces = []
    for threads in ("2", "3", "5"):
        options = encoders.encoder_options(codec, encoders.EncoderChoice()) | {"threads": threads}
        encoding = Encoding(codec, options, pix_fmt, 320, 192, Fraction(1, 24), Fraction(24))
        frames = (
            (
                av.VideoFrame.from_ndarray(numbered_frame(number, 320, 192), format="rgb24").reformat(format=pix_fmt),
                number,
            )
            for number in range(9)
        )
        pieces.append(tmp_path / threads)
        assert write_piece(pieces[-1], encoding, frames) == 9
    assert len({piece.read_bytes() for piece in pieces}) == 1


@pytest.mark.parametrize("codec", [*encoders._OPTIONS, "prores_ks", "mpeg4"])
def test_every_default_is_an_option_of_its_encoder(codec):
    try:
        encoder = av.CodecContext.create(codec, "w")
    except UnknownCodecError:
        return  # of other systems
    known = {option.name for options in (encoder.supported_options.generic, encoder.supported_options.private)
             for option in options}  # fmt: skip
    assert set(encoders.encoder_options(codec, encoders.EncoderChoice())) <= known


@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg", "libx264", "libx265", "libvpx-vp9", "dnxhd"])
def test_originals_come_through_well_by_default(tmp_path, demo_clips, codec):
    source = tmp_path / "in.mkv"
    with PyavReader(demo_clips / "bikes.mp4") as reader, av.open(str(source), "w") as output:
        stream = output.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 640, 272, "yuv420p"
        for frame, _ in zip(reader.frames(), range(8), strict=False):
            frame.raw.pts, frame.raw.time_base = frame.index, Fraction(1, 24)
            output.mux(stream.encode(frame.raw))
        output.mux(stream.encode())
    target = tmp_path / ("out.mov" if codec == "dnxhd" else "out.mkv")
    assert run(source, target, "--codec", codec) == 0
    with PyavReader(source) as a, PyavReader(target) as b:
        before, after = ([frame.luma().astype(float) for frame in reader.frames()] for reader in (a, b))
    errors = [float(((x - y) ** 2).mean()) for x, y in zip(before, after[::2], strict=True)]
    assert 10 * np.log10(255**2 / np.mean(errors)) > 38


@pytest.mark.parametrize(
    ("pix_fmt", "size", "output", "expected", "note"),
    [
        ("yuv420p", (160, 96), "out.mp4", ("h264", "yuv420p", 160, 96), ""),
        ("yuv444p", (160, 96), "out.mp4", ("h264", "yuv420p", 160, 96), "colours (yuv444p) are halved to 4:2:0"),
        ("yuv444p", (161, 97), "out.mov", ("h264", "yuv420p", 162, 98), "161x97 becomes 162x98: yuv420p needs even"),
        ("yuv420p", (161, 97), "out.mkv", ("h264", "yuv420p", 162, 98), "161x97 becomes 162x98"),
        ("yuv420p", (161, 97), "out.webm", ("vp9", "yuv420p", 161, 97), ""),
        ("yuv420p10le", (160, 96), "out.mp4", ("hevc", "yuv420p10le", 160, 96), ""),
        ("yuv422p10le", (160, 96), "out.mkv", ("hevc", "yuv420p10le", 160, 96), "are halved to 4:2:0"),
        ("yuv420p10le", (160, 96), "out.webm", ("av1", "yuv420p10le", 160, 96), ""),
        ("bgr0", (160, 96), "out.mp4", ("h264", "yuv420p", 160, 96), ""),
        ("gray", (160, 96), "out.mp4", ("h264", "yuv420p", 160, 96), ""),
    ],
)
def test_what_comes_out_by_default_plays_everywhere(tmp_path, capsys, pix_fmt, size, output, expected, note):
    source, target = tmp_path / "in.mkv", tmp_path / output
    write_clip(source, codec="ffv1", options={}, numbers=range(3), size=size, pix_fmt=pix_fmt)
    assert run(source, target) == 0
    said = capsys.readouterr().err
    assert video(target) == expected
    assert note in said
    assert ("note" in said) == bool(note)
    data = target.read_bytes()
    if target.suffix in (".mp4", ".mov"):
        assert data.index(b"moov") < data.index(b"mdat")
        assert (b"hvc1" in data) == (expected[0] == "hevc")


def test_a_repeated_column_and_row_change_nothing_else(tmp_path):
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    write_clip(source, codec="ffv1", options={}, numbers=range(3), size=(161, 97))
    assert run(source, target, "--codec", "libx264", "--encoder-option", "crf=0") == 0
    with PyavReader(source) as a, PyavReader(target) as b:
        for before, after in zip(a.frames(), list(b.frames())[::2], strict=True):
            np.testing.assert_array_equal(before.luma(), after.luma()[:97, :161])
            np.testing.assert_array_equal(after.luma()[97], after.luma()[96])
            np.testing.assert_array_equal(after.luma()[:, 161], after.luma()[:, 160])
            for plane in (1, 2):
                x, y = (
                    np.frombuffer(memoryview(frame.raw.planes[plane]), np.uint8).reshape(49, -1)[:, :81]
                    for frame in (before, after)
                )
                np.testing.assert_array_equal(x, y)


def test_options_reach_the_encoder(tmp_path):
    source = tmp_path / "in.mp4"
    write_clip(source, numbers=range(12))
    sizes = {}
    for name, options in {
        "default": [],
        "crf": ["--crf", "35"],
        "bitrate": ["--bitrate", "100k"],
        "preset": ["--preset", "slower"],
        "option": ["--encoder-option", "tune=animation", "--encoder-option", "crf=48"],
        "format": ["--encoder-option", "pix_fmt=yuv444p"],
    }.items():
        assert run(source, tmp_path / f"{name}.mp4", *options) == 0
        sizes[name] = (tmp_path / f"{name}.mp4").stat().st_size
    assert sizes["option"] < sizes["crf"] < sizes["default"]
    assert sizes["bitrate"] < 0.7 * sizes["default"]
    assert sizes["preset"] != sizes["default"]
    assert video(tmp_path / "format.mp4")[1] == "yuv444p"


def test_colours_that_cannot_be_converted_are_one_clear_line(tmp_path, capsys):
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as output:
        stream = output.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv444p"
        stream.codec_context.colorspace = 8
        for number in range(2):
            frame = av.VideoFrame(64, 64, "yuv444p")
            frame.pts, frame.time_base, frame.colorspace = number, Fraction(1, 24), 8
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    assert run(source, tmp_path / "out.mp4") == 1
    error = capsys.readouterr().err
    assert "pictures in yuv444p with colour matrix 8 cannot be converted" in error
    assert "convert the file to BT.709 first" in error
