"""Files that play are interpolated as far as they go; what is lost, cut off or out of order is said."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dataset_tools.video.pyav import PyavFrame, PyavReader
from tests.dataset_tools.tricky_clips import TRICKY, copy_packets, read_number, write_clip
from vfidpa_model.interpolate import main

SIMPLE = "tests.vfidpa_model.simple_interpolators"
MEAN, RED = f"{SIMPLE}:Mean", f"{SIMPLE}:Red"
RESOURCES = Path(__file__).parents[2] / "resources/video"
OPEN_GOP = {"x264-params": "open-gop=1:keyint=8:min-keyint=8:scenecut=0:bframes=3:b-adapt=0:threads=1", "qp": "20"}


def interpolate(source: Path, *options: str, network: str = MEAN) -> tuple[int, list[PyavFrame]]:
    """Return the exit code, and the frames of the output."""
    target = source.with_name("out.mkv")
    code = main([str(source), str(target), "--fast", network, "--codec", "ffv1", "--no-scene-cuts", *options])
    if code:
        return code, []
    with PyavReader(target) as reader:
        return code, list(reader.frames())


def numbers(frames: list[PyavFrame]) -> list[int]:
    """Return the numbers on the originals: every second frame."""
    return [read_number(frame.rgb()) for frame in frames[::2]]


def inside_a_gop(path: Path) -> None:
    whole = path.with_name("whole.ts")
    write_clip(whole, options=OPEN_GOP, numbers=range(32))
    copy_packets(whole, path, skip=3)


def cut_off(path: Path, *, share: float, **options: object) -> None:
    write_clip(path, **options)  # type: ignore[arg-type]
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def joined(path: Path) -> None:
    write_clip(path)
    path.write_bytes(path.read_bytes() * 2)


def zeroed(path: Path) -> None:
    """Write 60 frames and lose the bytes of packets 30 to 39."""
    write_clip(path, codec="mjpeg", options={"qscale": "3"}, pix_fmt="yuvj420p", numbers=range(60))
    with av.open(str(path)) as clip:
        places = [packet.pos for packet in clip.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    data[places[30] : places[40]] = bytes(places[40] - places[30])
    path.write_bytes(bytes(data))


def one_stamp_twice(path: Path) -> None:
    whole = path.with_name("whole.mkv")
    write_clip(whole, codec="mjpeg", options={"qscale": "3"}, pix_fmt="yuvj420p")
    with av.open(str(whole)) as clip, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(clip.streams.video[0])
        previous = 0
        for number, packet in enumerate(packet for packet in clip.demux(video=0) if packet.size):
            if number == 9:
                packet.pts = packet.dts = previous
            previous = packet.pts
            packet.stream = stream
            output.mux(packet)


@pytest.mark.parametrize(
    ("make", "name", "shown", "note"),
    [
        (inside_a_gop, "in.ts", range(8, 32), "before the first whole one cannot be decoded: left out"),
        (lambda path: cut_off(path, share=0.6, container={"movflags": "faststart"}), "in.mp4", range(11),
         "at the end cannot be decoded: left out; the file is cut off or damaged"),
        (lambda path: cut_off(path, share=0.7, codec="mpeg2video", options={"b": "2M", "g": "8", "bf": "2"}),
         "in.ts", range(15), "the file is cut off or damaged"),
        (TRICKY["truncated.mp4"].make, "in.mp4", range(11), "the video ends"),
        (joined, "in.ts", [*range(24), *range(24)], "the clock is set anew at 1.00 s (joined files?)"),
        (one_stamp_twice, "in.mkv", range(24), "time stamps that do not rise: 1;"),
        (zeroed, "in.mkv", [*range(30), *range(42, 60)], "12 pictures missing behind 1.21 s: bytes of the file may be"),
        (lambda path: path.write_bytes((RESOURCES / "repeated_frames.ogv").read_bytes()), "in.ogv", [-1] * 19, ""),
    ],
)  # fmt: skip
def test_what_plays_is_interpolated(tmp_path, capsys, make: Callable[[Path], object], name, shown, note):
    make(tmp_path / name)
    code, frames = interpolate(tmp_path / name)
    said = capsys.readouterr().err
    assert code == 0, said
    assert numbers(frames) == list(shown)
    assert note in said
    times = [frame.pts_seconds for frame in frames]
    assert times == sorted(set(times))
    assert f"{len(shown) - 1} of {len(shown) - 1}" in said  # the total is known in every container


def test_a_hole_stops_before_any_work_or_is_held(tmp_path, capsys):
    source = tmp_path / "in.mp4"
    TRICKY["damaged.mp4"].make(source)
    code, _ = interpolate(source)
    assert code == 1
    said = capsys.readouterr().err
    assert "give --damage hold to hold the last good picture there" in said
    assert "interpolate: 0" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
    code, frames = interpolate(source, "--damage", "hold")
    assert code == 0
    assert "cannot be decoded: the last good one is held there" in capsys.readouterr().err
    assert len(frames) == 48
    found = numbers(frames)
    lost = [number for number in range(24) if found[number] != number]
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert {found[number] for number in lost} == {lost[0] - 1}


def test_a_still_is_held_until_the_picture_moves_and_the_stream_s_end_is_the_end(tmp_path, capsys):
    source = tmp_path / "in.mp4"
    write_clip(source, pts=[0, 96, 97, 98, 99], numbers=range(5))
    code, frames = interpolate(source)
    assert code == 0
    assert [read_number(frame.rgb()) for frame in frames if frame.pts_seconds < 4] == [0, 0]
    with av.open(str(tmp_path / "out.mkv")) as output:
        assert output.duration / av.time_base == pytest.approx(100 / 24, abs=0.003)
    assert "25 % hold" in capsys.readouterr().out
    code, frames = interpolate(source, "--max-gap", "10", "--overwrite", network=RED)
    assert sum(read_number(frame.rgb()) == -1 for frame in frames if frame.pts_seconds < 4) == 1


def test_pictures_that_are_alike_but_for_coding_noise_cost_nothing(tmp_path, capsys):
    source = tmp_path / "in.mp4"
    write_clip(source, numbers=[3] * 12, size=(640, 384), options={"crf": "24", "preset": "fast"})
    with PyavReader(source) as reader:
        pictures = [frame.rgb() for frame in reader.frames()]
    assert any((picture != pictures[0]).any() for picture in pictures)  # alike, not equal
    code, frames = interpolate(source, network=RED)
    assert code == 0
    assert {read_number(frame.rgb()) for frame in frames} == {3}
    assert "100 % repeat" in capsys.readouterr().out


def test_a_small_moving_thing_is_no_repeat():
    from dataset_tools.video.cuts import is_repeat

    ground = np.random.default_rng(0).integers(60, 180, (720, 1280)).astype(np.uint8)
    noisy = (ground + (np.random.default_rng(1).random(ground.shape) < 0.05)).astype(np.uint8)
    cursor = ground.copy()
    cursor[300:312, 500:508] = 235
    assert is_repeat(ground, noisy)
    assert not is_repeat(ground, cursor)


def test_the_clock_of_matroska_is_too_coarse_for_some_rates(tmp_path, capsys):
    write_clip(tmp_path / "in.mp4", numbers=range(3))
    code, _ = interpolate(tmp_path / "in.mp4", "--fps", "1000")
    assert code == 0
    for options in (["--factor", "32"], ["--fps", "1000"]):
        code, _ = interpolate(tmp_path / "in.mp4", *options, "--overwrite")
        assert code == 0
    with av.open(str(tmp_path / "fast.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=240)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(4):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 240)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    code, _ = interpolate(tmp_path / "fast.mp4", "--factor", "8", "--overwrite")
    assert code == 1
    error = capsys.readouterr().err
    assert "1920 frames per second are finer than the clock of matroska, 1 ms; name OUT .mp4 or .mov" in error
    assert main([str(tmp_path / "fast.mp4"), str(tmp_path / "out.mp4"), "--fast", MEAN, "--factor", "8"]) == 0


def test_what_cannot_be_written_is_noticed_before_any_work(tmp_path, capsys):
    source = tmp_path / "in.mp4"
    write_clip(source, numbers=range(3))
    (tmp_path / "file").write_text("no folder")
    for options, message in [
        (["--preview", str(tmp_path / "file/page.html")], "preview"),
        (["--preview", "/proc/nowhere/page.html"], "cannot be written: /proc"),
    ]:
        code, _ = interpolate(source, *options)
        said = capsys.readouterr().err
        assert code == 1
        assert message in said
        assert "interpolate: 0" not in said
    assert main([str(source), str(tmp_path / ("x" * 246 + ".mp4")), "--fast", MEAN]) == 1
    assert "bytes too long; choose a shorter one" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "in.mp4"]
