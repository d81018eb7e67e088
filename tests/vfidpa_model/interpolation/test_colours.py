"""Made frames have the brightness and the colours of the originals around them: else the video flickers."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation, VideoReformatter

from dataset_tools.video.pyav import PyavFrame, PyavReader
from vfidpa_model.interpolate import main

MEAN = "tests.vfidpa_model.simple_interpolators:Mean"
ROUNDED = Interpolation.BILINEAR | Interpolation.ACCURATE_RND
FULL, LIMITED = 2, 1


def samples(frame: PyavFrame) -> list[np.ndarray]:
    """Return the planes of a stored frame in levels of 255, without the padding of their rows."""
    depth = frame.raw.format.components[0].bits
    sample = np.uint8 if depth == 8 else np.uint16
    return [
        np.frombuffer(memoryview(plane), sample).reshape(plane.height, -1)[:, : plane.width] / 2 ** (depth - 8)
        for plane in frame.raw.planes
    ]


def write_frames(path: Path, pictures: list[av.VideoFrame], pix_fmt: str, colour_range: int) -> None:
    """Write pictures without loss, in BT.709."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = pictures[0].width, pictures[0].height, pix_fmt
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, colour_range
        for index, picture in enumerate(pictures):
            frame = VideoReformatter().reformat(
                picture, format=pix_fmt, dst_colorspace=1, dst_color_range=colour_range, interpolation=ROUNDED
            )
            frame.pts, frame.time_base, frame.pict_type = index, Fraction(1, 24), 0
            frame.colorspace, frame.color_range = 1, colour_range
            output.mux(stream.encode(frame))
        output.mux(stream.encode())


@pytest.fixture(scope="module")
def pictures(demo_clips) -> list[av.VideoFrame]:
    """Three frames of a clip with motion and colour."""
    with PyavReader(demo_clips / "bikes.mp4") as reader:
        return [frame.raw for frame, _ in zip(reader.frames(), range(3), strict=False)]


@pytest.mark.parametrize(
    ("pix_fmt", "colour_range", "options", "kept_as"),
    [
        *(
            (pix_fmt, colour_range, ["--codec", "ffv1"], pix_fmt)
            for pix_fmt in ("yuv420p", "yuv422p", "yuv444p", "yuv411p", "gray")
            for colour_range in (LIMITED, FULL)
        ),
        ("yuv420p10le", LIMITED, ["--codec", "ffv1"], "yuv420p10le"),
        ("yuv420p10le", FULL, ["--codec", "ffv1"], "yuv420p10le"),
        ("yuv422p10le", FULL, ["--codec", "ffv1"], "yuv422p10le"),
        ("yuv422p10le", LIMITED, ["--codec", "ffv1"], "yuv422p10le"),
        ("yuv420p10le", LIMITED, ["--codec", "libvpx-vp9", "--crf", "2"], "yuv420p"),  # a codec without 10 bits
    ],
)
def test_made_frames_are_as_bright_and_as_coloured_as_the_originals(
    tmp_path, pictures, pix_fmt, colour_range, options, kept_as
):
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    write_frames(source, pictures, pix_fmt, colour_range)
    assert main([str(source), str(target), "--fast", MEAN, *options]) == 0
    with PyavReader(target) as reader:
        shown = list(reader.frames())
    assert {frame.raw.format.name for frame in shown} == {kept_as}
    for before, made, after in zip(shown[::2], shown[1::2], shown[2::2], strict=False):
        planes = zip(samples(before), samples(made), samples(after), strict=True)
        shifts = [float((b - (a + c) / 2).mean()) for a, b, c in planes]
        assert max(map(abs, shifts)) < 0.1, shifts


@pytest.mark.parametrize("colour_range", [LIMITED, FULL])
def test_grey_stays_grey_to_the_level(tmp_path, colour_range):
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    levels = np.repeat(np.repeat(np.arange(16, 236, 2, dtype=np.uint8).reshape(10, 11), 16, 0), 16, 1)
    height, width = levels.shape
    with av.open(str(source), "w") as output:
        stream = output.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, colour_range
        for index in range(2):
            frame = av.VideoFrame(width, height, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([128]) * plane.buffer_size)
            rows = np.zeros((height, frame.planes[0].line_size), np.uint8)
            rows[:, :width] = levels + 2 * index
            frame.planes[0].update(rows.tobytes())
            frame.pts, frame.time_base, frame.colorspace, frame.color_range = index, Fraction(1, 24), 1, colour_range
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    assert main([str(source), str(target), "--fast", MEAN, "--codec", "ffv1", "--no-scene-cuts"]) == 0
    with PyavReader(target) as reader:
        y, u, v = samples(list(reader.frames())[1])
    assert np.abs(y - (levels + 1)).max() <= (0 if colour_range == FULL else 1)  # 219 steps hold no 255
    np.testing.assert_array_equal(u, 128)
    np.testing.assert_array_equal(v, 128)
