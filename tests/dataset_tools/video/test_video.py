"""The contract of both readers: on every tricky clip the right frames, or a refusal; never a wrong frame."""

from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type as SideDataType

from dataset_tools.errors import UsageError, VideoError
from dataset_tools.video import DECODERS, count_frames, open_video
from dataset_tools.video.pyav import display_matrix
from tests.dataset_tools.tricky_clips import TRICKY, VARIABLE_PTS, numbered_frame, read_number, write_clip


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tricky")
    for name, tricky in TRICKY.items():
        tricky.make(folder / name)
    return folder


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", TRICKY)
def test_every_clip_gives_its_frames_or_is_refused(clips, name, decoder):
    tricky = TRICKY[name]
    readable = tricky.numbers is not None and (decoder == "pyav" or tricky.decord)
    numbers: list[int] = []
    times: list[float] = []
    size, refusal = None, None
    try:
        with open_video(clips / name, decoder=decoder) as reader:
            size = (reader.info.width, reader.info.height)
            for frame in reader.frames():
                numbers.append(read_number(frame.rgb()))
                times.append(frame.pts_seconds)
                assert frame.rgb().shape == (size[1], size[0], 3)
                assert frame.luma().shape == (size[1], size[0])
                assert frame.index == len(numbers) - 1
    except VideoError as error:
        refusal = str(error)
    if readable:
        assert times == sorted(set(times))
        assert (refusal, tuple(numbers), size) == (None, tuple(tricky.numbers or ()), tricky.size)
    else:
        assert refusal is not None
        assert str(clips / name) in refusal
        assert numbers == list(range(len(numbers)))  # what came before the fault was right


def test_rgb_is_the_plain_conversion_of_pyav_on_real_clips(demo_clips):
    for path in sorted(demo_clips.glob("*.mp4")):
        with av.open(str(path)) as plain, open_video(path) as reader:
            for expected, frame in zip(plain.decode(video=0), reader.frames(), strict=True):
                assert frame.pts_seconds == pytest.approx(expected.time, abs=1e-9)
                if frame.index % 40 == 0:
                    np.testing.assert_array_equal(frame.rgb(), expected.to_ndarray(format="rgb24"))
                    np.testing.assert_array_equal(frame.luma(), expected.to_ndarray()[: expected.height])


def test_decord_shows_the_same_pictures_on_a_real_clip(demo_clips):
    path = demo_clips / "carphone_pristine.mp4"
    with open_video(path) as pyav, open_video(path, decoder="decord") as decord:
        for a, b in zip(pyav.frames(), decord.frames(), strict=True):
            assert a.pts_seconds == pytest.approx(b.pts_seconds, abs=1e-6)
            assert np.abs(a.rgb().astype(int) - b.rgb()).mean() < 1.0


def test_decord_paints_over_flipped_bits_and_is_refused(tmp_path):
    import decord

    decord.logging.set_level(decord.logging.FATAL)
    write_clip(tmp_path / "whole.mp4")
    whole = (tmp_path / "whole.mp4").read_bytes()
    with open_video(tmp_path / "whole.mp4") as reader:
        truth = [frame.rgb().astype(int) for frame in reader.frames()]
    path, start = tmp_path / "flipped.mp4", whole.index(b"mdat") + 8
    refused = painted = 0
    for part in range(1, 12):
        damaged = bytearray(whole)
        damaged[start + (len(whole) - start) * part // 13] ^= 0x10
        path.write_bytes(damaged)
        plain = decord.VideoReader(str(path))  # says nothing of it
        painted += any(np.abs(plain.next().asnumpy() - right).max() > 40 for right in truth)
        try:
            with open_video(path, decoder="decord") as reader:
                assert len(list(reader.frames())) == len(truth)
            with open_video(path) as reader:  # another valid picture: no decoder sees that
                assert len(list(reader.frames())) == len(truth)
        except VideoError:
            refused += 1
    assert painted == 11
    assert refused >= 9


# ITU-R BT.601 and BT.709, luma weights of red and blue; FFmpeg's tag for each.
@pytest.mark.parametrize(("kr", "kb", "tag"), [(0.299, 0.114, 6), (0.2126, 0.0722, 1), (0.299, 0.114, 2)])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("bits", [8, 10])
def test_matrix_and_range_are_honoured(tmp_path, kr, kb, tag, full, bits):
    rgb = np.array([200.0, 60.0, 90.0])
    y = np.dot(rgb, [kr, 1 - kr - kb, kb])
    cb, cr = (rgb[2] - y) / (2 * (1 - kb)), (rgb[0] - y) / (2 * (1 - kr))
    yuv = (y, cb + 128, cr + 128) if full else (16 + y * 219 / 255, 128 + cb * 224 / 255, 128 + cr * 224 / 255)
    levels = [round(value * 2 ** (bits - 8)) for value in yuv]
    pix_fmt = "yuv444p" if bits == 8 else "yuv444p10le"
    path = tmp_path / "tagged.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pix_fmt
        stream.codec_context.colorspace, stream.codec_context.color_range = tag, 2 if full else 1
        frame = av.VideoFrame(64, 64, pix_fmt)
        for plane, level in zip(frame.planes, levels, strict=True):
            row = plane.line_size // (1 if bits == 8 else 2)
            plane.update(np.full((64, row), level, np.uint8 if bits == 8 else np.uint16).tobytes())
        frame.colorspace, frame.color_range = tag, 2 if full else 1
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    with open_video(path) as reader:
        (shown,) = list(reader.frames())
    assert np.abs(shown.rgb() - rgb).max() <= 2
    assert np.abs(shown.luma() - yuv[0]).max() <= 1


def test_time_stamps_of_variable_rate_are_kept(clips):
    with open_video(clips / "variable_rate.mp4") as reader:
        times = [frame.pts_seconds for frame in reader.frames()]
    np.testing.assert_allclose(times, np.array(VARIABLE_PTS) / 24, atol=1e-4)


@pytest.mark.parametrize("name", ["raw_stream.h264", "b_frames.avi"])
def test_without_time_stamps_the_stream_s_own_rate_counts(clips, name):
    with open_video(clips / name) as reader:
        times = [frame.pts_seconds for frame in reader.frames()]
    np.testing.assert_allclose(times, np.arange(24) / 24, atol=1e-9)


def test_steps_without_a_picture_in_an_avi_take_time(tmp_path):
    path = tmp_path / "gaps.avi"
    write_clip(path, codec="mpeg4", options={"g": "8", "qscale": "2", "bf": "0"}, pts=VARIABLE_PTS)
    with open_video(path) as reader:
        times = [frame.pts_seconds for frame in reader.frames()]
    np.testing.assert_allclose(times, np.array(VARIABLE_PTS) / 24, atol=1e-4)


def test_frames_outlive_the_reader_and_iteration_goes_on(clips):
    with open_video(clips / "open_gop.mp4") as reader:
        first = next(iter(reader.frames()))
        rest = list(reader.frames())
    assert [read_number(frame.rgb()) for frame in (first, *rest)] == list(range(24))


def test_counting_does_not_trust_the_header(clips):
    path = clips / "wrong_count.avi"
    with open_video(path) as reader:
        assert reader.info.num_frames_from_header == 9
    assert count_frames(path) == 24


def test_a_file_name_is_never_taken_for_an_address(tmp_path):
    path = tmp_path / "http:x %03d.mp4"
    write_clip(path, numbers=(3,))
    with open_video(path) as reader:
        assert [read_number(frame.rgb()) for frame in reader.frames()] == [3]


def test_a_folder_and_an_unknown_decoder_are_refused(tmp_path):
    with pytest.raises(VideoError, match="cannot be opened"):
        open_video(tmp_path)
    with pytest.raises(UsageError, match="decoder 'ffmpeg' must be one of pyav, decord"):
        open_video(tmp_path, decoder="ffmpeg")


def test_marks_do_not_read_when_turned_or_mirrored():
    picture = numbered_frame(37)
    assert read_number(picture) == 37
    for wrong in (np.rot90(picture), np.rot90(picture, 2), picture[:, ::-1], picture[::-1], picture // 2 + 64):
        assert read_number(wrong) == -1


@pytest.mark.parametrize(("factor", "turn"), [(1.0, 0), (2.0, 0), (0.5, 90), (3.0, 180), (1.5, 270)])
def test_a_scaled_display_matrix_turns_all_the_same(factor, turn):
    """Some cameras and editors write a matrix that also scales."""
    turns = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
    a, b, c, d = (round(value * factor * 65536) for value in turns[turn])
    data = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], np.int32)

    class Frame:
        side_data: ClassVar = {SideDataType.DISPLAYMATRIX: data.tobytes()}

    assert display_matrix(Frame(), Path("clip")) == turns[turn]
