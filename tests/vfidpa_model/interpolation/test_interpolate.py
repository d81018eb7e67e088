"""Whole files through the command: frames, time stamps, other tracks, tags, errors, kill and resume."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from dataset_tools.frames import to_rgb, to_tensor
from dataset_tools.interpolators import create_interpolator
from dataset_tools.video.pyav import PyavFrame, PyavReader
from tests.dataset_tools.tricky_clips import TRICKY, write_clip
from vfidpa_model.interpolate import main

SIMPLE = "tests.vfidpa_model.simple_interpolators"
MEAN, RED, HALF = f"{SIMPLE}:Mean", f"{SIMPLE}:Red", f"{SIMPLE}:HalfMean"


def read(path: Path) -> list[PyavFrame]:
    with PyavReader(path) as reader:
        return list(reader.frames())


def planes(frame: PyavFrame) -> np.ndarray:
    """Return the stored samples of a frame, without the padding of its rows."""
    return np.concatenate([
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height,
        : plane.width * (2 if frame.raw.format.components[0].bits > 8 else 1)].ravel()
        for plane in frame.raw.planes
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("name", "output", "codec"),
    [
        ("plain.mp4", "out.mp4", ["libx264", "--crf", "0"]),
        ("plain.mp4", "out.mov", ["libx264", "--crf", "0"]),
        ("open_gop_hevc.mkv", "out.mkv", ["ffv1"]),
        ("open_gop.ts", "out.mkv", ["ffv1"]),
        ("variable_rate.mp4", "out.mp4", ["libx264", "--crf", "0"]),
        ("edit_list.mp4", "out.mp4", ["libx264", "--crf", "0"]),
        ("no_first_keyframe.mkv", "out.mkv", ["ffv1"]),
        ("rotated_90.mp4", "out.mp4", ["libx264", "--crf", "0"]),
        ("mirrored.mp4", "out.mp4", ["libx264", "--crf", "0"]),
        ("ten_bit_hevc.mp4", "out.mkv", ["ffv1"]),
        ("odd_size_vp9.webm", "out.mkv", ["ffv1"]),
        ("b_frames.avi", "out.mkv", ["ffv1"]),
        ("one_frame.mp4", "out.mp4", ["libx264", "--crf", "0"]),
    ],
)
def test_every_original_is_kept_in_place_and_one_is_put_behind_it(tmp_path, name, output, codec):
    source, target = tmp_path / name, tmp_path / output
    TRICKY[name].make(source)
    assert main([str(source), str(target), "--fast", MEAN, "--codec", *codec]) == 0
    before, after = read(source), read(target)
    assert len(after) == 2 * len(before)
    start = before[0].pts_seconds if name.endswith(".ts") else 0.0  # its clock starts anywhere, the output's at 0
    for a, b in zip(before, after[::2], strict=True):
        assert a.raw.format.name == b.raw.format.name
        np.testing.assert_array_equal(planes(a), planes(b))
        assert b.pts_seconds == pytest.approx(a.pts_seconds - start, abs=0.0011)  # Matroska rounds to 1 ms
    for a, b, between in zip(before, before[1:], after[1::2], strict=False):
        assert between.pts_seconds == pytest.approx((a.pts_seconds + b.pts_seconds) / 2 - start, abs=0.0011)
    with PyavReader(source) as x, PyavReader(target) as y:
        assert (x.info.width, x.info.height, x.matrix) == (y.info.width, y.info.height, y.matrix)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("options", "name"),
    [(["--effort", "0"], "rife"), (["--effort", "1"], "rife-refined"), (["--prefer", "lpips"], "rife-v4")],
)
def test_made_frames_are_those_of_the_network(tmp_path, demo_clips, options, name):
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    with PyavReader(demo_clips / "carphone_pristine.mp4") as reader, av.open(str(source), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = reader.info.width, reader.info.height, "yuv420p"
        for frame in list(reader.frames())[:4]:
            frame.raw.pts, frame.raw.time_base, frame.raw.pict_type = frame.index, Fraction(1, 25), 0
            output.mux(stream.encode(frame.raw))
        output.mux(stream.encode())
    assert main([str(source), str(target), "--codec", "ffv1", *options]) == 0
    before, after = read(source), read(target)
    errors = {}
    for other in ("rife", "rife-refined", "rife-v4"):
        network = create_interpolator(other)
        expected = [to_rgb(network.interpolate(to_tensor(a.rgb()), to_tensor(b.rgb()))) for a, b in pairwise(before)]
        found = zip(after[1::2], expected, strict=False)
        errors[other] = max(np.abs(made.rgb().astype(int) - frame).mean() for made, frame in found)
    assert min(errors, key=errors.get) == name
    assert errors[name] < 2.0  # the way through YUV 4:2:0 costs some colour, nothing else
    np.testing.assert_array_equal(planes(after[-1]), planes(before[-1]))  # nothing follows: the last one stays


@pytest.mark.parametrize(
    ("options", "count", "fps"),
    [
        (["--factor", "3"], 72, 72),
        (["--factor", "4", "--fast", HALF], 96, 96),
        (["--fps", "60"], 60, 60),
        (["--fps", "30000/1001"], 30, Fraction(30000, 1001)),
        (["--fps", "10"], 10, 10),
        (["--fps", "29.97002997002997"], 30, Fraction(30000, 1001)),
    ],
)
def test_any_frame_rate_keeps_the_duration(tmp_path, options, count, fps):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source)
    assert main([str(source), str(target), "--fast", MEAN, *options]) == 0
    times = [frame.pts_seconds for frame in read(target)]
    np.testing.assert_allclose(times, np.arange(count) / float(fps), atol=1e-3)
    with av.open(str(target)) as output:
        stream = output.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(1.0, abs=1 / float(fps))


@pytest.mark.parametrize(("matrix", "full"), [(1, False), (1, True), (9, False)])
def test_colour_tags_are_kept_and_made_frames_have_the_same_colours(tmp_path, matrix, full):
    source, target = tmp_path / "in.mkv", tmp_path / "out.mp4"
    with av.open(str(source), "w") as output:
        stream = output.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_range = matrix, 2 if full else 1
        context.color_primaries, context.color_trc = matrix, matrix if matrix == 1 else 14
        for level in (100, 101, 102):
            frame = av.VideoFrame(64, 64, "yuv420p")
            for plane, value in zip(frame.planes, (level, 90, 180), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            frame.colorspace, frame.color_range = matrix, 2 if full else 1
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    assert main([str(source), str(target), "--fast", MEAN, "--crf", "0"]) == 0
    with PyavReader(target) as reader:
        tags = [reader.stream.codec_context, reader.peek()]
        for tagged in tags:
            assert (tagged.colorspace, tagged.color_range) == (matrix, 2 if full else 1)
            assert tagged.color_primaries == matrix
        for frame in reader.frames():
            for plane, value in zip(frame.raw.planes, (100 + frame.index / 2, 90, 180), strict=True):
                assert abs(np.frombuffer(memoryview(plane), np.uint8)[:32].astype(float) - value).max() <= 1.5


def is_red(frame: PyavFrame) -> bool:
    mean = frame.rgb().reshape(-1, 3).mean(0)
    return bool(mean[0] > 200 and mean[1] < 60)


def scenes(path: Path, demo_clips: Path) -> None:
    """Write frames of two real clips, one behind the other, with one frame twice."""
    pictures = []
    for name, chosen in (("bikes.mp4", (0, 1, 1, 2, 3)), ("bigbuckbunny.mp4", (40, 41, 42))):
        frames = read(demo_clips / name)[:43]
        pictures += [frames[index].raw.reformat(width=160, height=96, format="yuv420p") for index in chosen]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for index, picture in enumerate(pictures):
            copy = av.VideoFrame.from_ndarray(picture.to_ndarray(), format="yuv420p")
            copy.pts, copy.time_base = index, Fraction(1, 24)
            output.mux(stream.encode(copy))
        output.mux(stream.encode())


@pytest.mark.parametrize(
    ("options", "made", "report"),
    [
        ([], [0, 2, 3, 5, 6], "71 % fast"),
        (["--no-scene-cuts"], [0, 2, 3, 4, 5, 6], "86 % fast"),
        (["--threshold", "-1", "--accurate", RED, "--fast", MEAN], [0, 2, 3, 5, 6], "71 % accurate"),
        (["--threshold", "999", "--accurate", MEAN], [0, 2, 3, 5, 6], "71 % fast"),
    ],
)
def test_cuts_and_repeated_frames_are_not_interpolated(tmp_path, demo_clips, capsys, options, made, report):
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    scenes(source, demo_clips)
    page = tmp_path / "page.html"
    rest = [] if "--fast" in options else ["--fast", RED]
    assert main([str(source), str(target), "--codec", "ffv1", "--preview", str(page), *options, *rest]) == 0
    after = read(target)
    assert [index for index, frame in enumerate(after[1::2]) if is_red(frame)] == made
    for index in set(range(8)) - set(made):
        np.testing.assert_array_equal(planes(after[2 * index + 1]), planes(after[2 * index]))
    assert report in capsys.readouterr().out
    text = page.read_text()
    assert "data:image/jpeg;base64," in text
    assert ("Scene cuts" in text) == ("--no-scene-cuts" not in options)


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        (["--threshold", "999"], "only 0.0% of 23 pairs go to the accurate model at threshold 999: the assessment"),
        (["--threshold", "-1"], "only 0.0% of 23 pairs go to the fast model at threshold -1"),
        ([], None),  # nothing to choose between
    ],
)
def test_a_route_that_nothing_takes_is_said_at_the_end_and_on_the_page(tmp_path, capsys, options, warning):
    source, page = tmp_path / "in.mp4", tmp_path / "page.html"
    write_clip(source)
    rest = ["--fast", MEAN, "--no-scene-cuts", "--preview", str(page)]
    rest += ["--accurate", RED] if options else []
    assert main([str(source), str(tmp_path / "out.mp4"), *options, *rest]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "warning: " in line]
    assert len(said) == bool(warning)
    assert "Warning: " in page.read_text() if warning else "Warning: " not in page.read_text()
    if warning:
        assert warning in said[0]
        assert "choose another --threshold" in said[0]
        assert warning in page.read_text()


def test_a_vfi_dpa_checkpoint_routes(tmp_path, capsys):
    from vfidpa_model.inference.checkpoint import save_checkpoint
    from vfidpa_model.networks.config import ModelConfig
    from vfidpa_model.networks.vfidpa import VFIDPA

    source, target, run = tmp_path / "in.mp4", tmp_path / "out.mp4", tmp_path / "run"
    write_clip(source, numbers=range(4))
    save_checkpoint(run, VFIDPA(ModelConfig(backbone="efficientnet_lite0")), meta={})
    options = ["--assessor", str(run), "--fast", MEAN, "--accurate", MEAN, "--threshold", "-1000", "--no-scene-cuts"]
    assert main([str(source), str(target), *options]) == 0
    assert "100 % accurate" in capsys.readouterr().out


def test_a_budget_is_looked_up_in_a_calibration(tmp_path, capsys):
    from vfidpa_model.inference.checkpoint import save_checkpoint
    from vfidpa_model.networks.config import ModelConfig
    from vfidpa_model.networks.vfidpa import VFIDPA
    from vfidpa_model.routing.calibrated import Calibration
    from vfidpa_model.routing.quality_cost import Point

    source, run, file = tmp_path / "in.mp4", tmp_path / "run", tmp_path / "calibration.json"
    write_clip(source, numbers=range(4))
    save_checkpoint(run, VFIDPA(ModelConfig(backbone="efficientnet_lite0")), meta={})
    points = [Point(-1000.0, 1.0, 1.1, 32.0), Point(1000.0, 0.0, 0.3, 31.0)]
    Calibration("mean", "red", 0.2, 1.0, 32.0, points, 2, "cpu").write(file)
    for goal, accurate, code, message in [
        (["--budget", "0.5"], RED, 0, "100 % fast"),
        (["--quality", "0.1"], RED, 0, "100 % accurate"),
        (["--budget", "0.1"], RED, 2, "budget (0.1) must be at least 0.30"),
        (["--budget", "0.5"], MEAN, 2, "is for mean and red, not for mean and mean"),
    ]:
        options = ["--assessor", str(run), "--calibration", str(file), "--no-scene-cuts", *goal]
        models = ["--fast", MEAN, "--accurate", accurate]
        assert main([str(source), str(tmp_path / "out.mp4"), *options, *models, "--overwrite"]) == code
        printed = capsys.readouterr()
        assert message in printed.out + printed.err
    assert main([str(source), str(tmp_path / "b.mp4"), "--assessor", str(run), "--budget", "1", "--fast", MEAN]) == 2
    assert "need --calibration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "options", "code", "message"),
    [
        ("audio_only.mp4", [], 1, "no video stream"),
        ("text.mp4", [], 1, "cannot be opened"),
        ("missing.mp4", [], 1, "No such file"),
        ("damaged.mp4", [], 1, "pictures cannot be decoded, the first behind"),
        ("plain.mp4", ["--damage", "paint"], 2, "--damage 'paint' must be one of stop, hold"),
        ("plain.mp4", ["--max-gap", "0"], 2, "--max-gap 0.0 must be above 0"),
        ("plain.mp4", ["--resume", "--restart"], 2, "exclude each other"),
        ("plain.mp4", ["--prefer", "ssim"], 2, "--prefer 'ssim' must be one of psnr, lpips"),
        ("plain.mp4", ["--prefer", "lpips", "--effort", "0.2"], 2, "--prefer lpips takes rife-v4 for all frames"),
        ("size_change.h264", [], 1, "size changes"),
        ("plain.mp4", ["--codec", "nonsense"], 1, "codec 'nonsense' is no video encoder"),
        ("plain.mp4", ["--codec", "aac"], 1, "codec 'aac' is no video encoder"),
        (
            "plain.mp4",
            ["--codec", "libvpx-vp9", "--container", "mov", "--crf", "99"],
            1,
            "cannot put 160x96 yuv420p into",
        ),
        ("plain.mp4", ["--codec", "mpeg4", "--crf", "5"], 1, "takes no --crf"),
        ("plain.mp4", ["--crf", "5", "--bitrate", "1M"], 2, "--crf and --bitrate exclude each other"),
        ("plain.mp4", ["--bitrate", "much"], 1, "--bitrate 'much' must be bits per second"),
        ("plain.mp4", ["--codec", "mpeg4", "--preset", "slow"], 1, "takes no --preset"),
        ("plain.mp4", ["--preset", "sluggish"], 1, "cannot put 160x96 yuv420p into mp4"),
        ("plain.mp4", ["--encoder-option", "tune"], 2, "must be KEY=VALUE"),
        ("plain.mp4", ["--encoder-option", "tun=film"], 1, "codec 'libx264' has no such option"),
        ("plain.mp4", ["--encoder-option", "pix_fmt=rgb24"], 1, "codec 'libx264' takes yuv420p"),
        ("plain.mp4", ["--codec", "prores_ks"], 1, "cannot be stored in mp4"),
        ("plain.mp4", ["--factor", "1"], 2, "--factor 1 must be 2 to 32"),
        ("plain.mp4", ["--fps", "fast"], 2, "--fps 'fast' must be a number"),
        ("plain.mp4", ["--fps", "0.000001"], 2, "--fps '0.000001' must be a number"),
        ("plain.mp4", ["--fps", "60", "--factor", "2"], 2, "exclude each other"),
        ("plain.mp4", ["--budget", "0.5"], 2, "need --assessor"),
        ("plain.mp4", ["--budget", "0.5", "--threshold", "2"], 2, "exclude each other"),
        ("plain.mp4", ["--container", "ogg"], 2, "container 'ogg' must be one of"),
        ("plain.mp4", ["--fast", "rive"], 2, "did you mean 'rife'?"),
        ("plain.mp4", ["--fast", "vfiformer"], 2, "needs a weights file"),
        ("plain.mp4", ["--assessor", "nowhere"], 1, "nowhere"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(tmp_path, capsys, name, options, code, message):
    TRICKY[name].make(tmp_path / name)
    before = sorted(tmp_path.iterdir())
    fast = [] if "--fast" in options else ["--fast", MEAN]
    assert main([str(tmp_path / name), str(tmp_path / "out.mp4"), *fast, *options]) == code
    error = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("interpolate: ")]
    assert len(error) == 1, error
    assert message in error[0]
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_is_replaced_only_when_told(tmp_path, capsys):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source, numbers=range(3))
    target.write_text("mine")
    assert main([str(source), str(target), "--fast", MEAN]) == 1
    assert "exists; give --overwrite" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert main([str(source), str(source), "--fast", MEAN, "--overwrite"]) == 1
    assert "is the input" in capsys.readouterr().err
    assert main([str(source), str(target), "--fast", MEAN, "--overwrite"]) == 0
    assert len(read(target)) == 6


def test_half_precision_is_a_choice(tmp_path, capsys):
    source, whole, halved = tmp_path / "in.mp4", tmp_path / "whole.mp4", tmp_path / "halved.mp4"
    write_clip(source, numbers=range(4))
    assert main([str(source), str(whole), "--crf", "0"]) == 0
    assert main([str(source), str(halved), "--crf", "0", "--precision", "bf16"]) == 0
    differences = [np.abs(a.rgb().astype(int) - b.rgb()).mean() for a, b in zip(read(whole), read(halved), strict=True)]
    assert max(differences[::2]) == 0
    assert 0 < max(differences[1::2]) < 1
    capsys.readouterr()
    for options, code, message in [
        (["--precision", "half"], 2, "--precision 'half' must be one of auto, fp32, fp16, bf16"),
        (["--precision", "bf16", "--fast", MEAN], 2, "takes no option precision; leave it out"),
    ]:
        assert main([str(source), str(tmp_path / "out.mp4"), *options]) == code
        assert message in capsys.readouterr().err
