"""What real files have besides plain pictures: colours, HDR, covers, odd tracks and clocks, and strange names."""

import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type as SideDataType

from dataset_tools.video.pyav import PyavFrame, PyavReader
from tests.dataset_tools.tricky_clips import write_clip
from vfidpa_model.interpolate import main
from vfidpa_model.interpolation.encoders import picture_format
from vfidpa_model.interpolation.hdr import static_hdr

MEAN = "tests.vfidpa_model.simple_interpolators:Mean"


def read(path: Path) -> list[PyavFrame]:
    with PyavReader(path) as reader:
        return list(reader.frames())


def run(source: Path, target: Path, *options: str) -> int:
    return main([str(source), str(target), "--fast", MEAN, *options])


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "output", "options"),
    [
        ("png", "rgb24", "out.mp4", []),
        ("png", "rgba", "out.mp4", []),
        ("libx264rgb", "bgr24", "out.mp4", []),  # decoded as gbrp, tagged so
        ("ffv1", "gbrp10le", "out.mp4", ["--codec", "libx265"]),
        ("ffv1", "bgr0", "out.mkv", ["--codec", "ffv1"]),
        ("libx264", "yuv444p", "out.mp4", ["--codec", "libx264rgb"]),
    ],
)
def test_rgb_keeps_its_colours(tmp_path, codec, pix_fmt, output, options):
    source, target = tmp_path / ("in.mov" if codec == "png" else "in.mkv"), tmp_path / output
    colours = np.array([[200, 40, 60], [40, 180, 70], [50, 60, 210], [128, 128, 128]], np.uint8)
    picture = np.repeat(np.repeat(colours.reshape(2, 2, 3), 32, 0), 32, 1)
    with av.open(str(source), "w") as clip:
        stream = clip.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pix_fmt
        for _ in range(3):
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)))
        clip.mux(stream.encode())
    assert run(source, target, *options, "--no-scene-cuts") == 0
    for frame in read(target):
        shown = frame.rgb()[16::32, 16::32].reshape(4, 3).astype(int)
        assert np.abs(shown - colours).max() <= 6


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
def test_hdr10_is_kept_or_said_to_be_lost(tmp_path, capsys, codec):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    display = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    params = f"log-level=none:pools=1:frame-threads=1:{display}:max-cll=1000,400"
    options = {"x265-params": params, "preset": "ultrafast"}
    write_clip(source, codec="libx265", options=options, numbers=range(3), pix_fmt="yuv420p10le")
    assert run(source, target, "--codec", codec) == 0
    with PyavReader(source) as before, PyavReader(target) as after:
        wanted, kept = static_hdr(before.peek()), static_hdr(after.peek())
    assert len(wanted) == 2
    said = capsys.readouterr().err
    if codec == "libvpx-vp9":
        assert not kept
        assert "note: mastering display and light level (HDR10) are left out with libvpx-vp9" in said
        assert "note: pictures of 10 bits become 8 bits with libvpx-vp9" in said
        return
    assert "note" not in said
    kind = SideDataType.MASTERING_DISPLAY_METADATA
    numbers = [np.frombuffer(facts[kind], np.int32)[:20].reshape(10, 2) for facts in (wanted, kept)]
    a, b = (pairs[:, 0] / pairs[:, 1] for pairs in numbers)
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)  # AV1 counts in other units
    assert wanted[SideDataType.CONTENT_LIGHT_LEVEL] == kept[SideDataType.CONTENT_LIGHT_LEVEL]


@pytest.mark.parametrize(
    ("codec", "source", "expected"),
    [
        ("libx264", "yuva444p12le", "yuv444p10le"),
        ("libx264", "yuv420p12le", "yuv420p10le"),
        ("libx264", "gray", "gray"),
        ("libx264", "gray16le", "gray10le"),
        ("libx264", "yuvj422p", "yuvj422p"),
        ("libx264", "pal8", "yuv420p"),
        ("libx264", "gbrp16le", "yuv420p10le"),
        ("libvpx-vp9", "gray", "yuv420p"),
        ("libvpx-vp9", "yuva420p", "yuv420p"),
        ("libsvtav1", "yuv422p10le", "yuv420p10le"),
        ("ffv1", "yuva420p", "yuv420p"),  # made frames have no transparency
        ("ffv1", "rgb24", "bgr0"),
        ("prores_ks", "yuva444p12le", "yuv444p10le"),
    ],
)
def test_the_closest_picture_format_is_taken(codec, source, expected):
    assert picture_format(codec, av.VideoFrame(64, 64, source)) == expected


def clip_with_cover(path: Path) -> bytes:
    """Write a clip with a cover, a second video, and a language and title on the first; return the cover."""
    plain = path.with_name("plain.mp4")
    write_clip(plain, numbers=range(3), second=(64, 48))
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 32, 32, "yuvj420p", Fraction(1, 24)
    picture = b"".join(bytes(packet) for packet in encoder.encode(av.VideoFrame(32, 32, "yuvj420p")))
    with av.open(str(plain)) as clip, av.open(str(path), "w") as output:
        streams = [output.add_stream_from_template(stream) for stream in clip.streams.video]
        streams[0].metadata.update({"language": "jpn", "title": "Film", "BPS": "1", "timecode": "01:00:00:00"})
        streams[0].disposition = 1
        output.metadata.update({"ARTIST": "Somebody", "title": "A film"})
        output.add_attachment("cover.jpg", "image/jpeg", picture)
        for packet in clip.demux(video=(0, 1)):
            if packet.size:
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    plain.unlink()
    return picture


@pytest.mark.parametrize(("suffix", "kept"), [(".mp4", True), (".mkv", True), (".mov", False)])
def test_the_cover_and_what_is_written_on_the_video_come_along(tmp_path, capsys, suffix, kept):
    source, target = tmp_path / "in.mkv", tmp_path / f"out{suffix}"
    picture = clip_with_cover(source)
    assert run(source, target) == 0
    said = capsys.readouterr().err
    assert "note: track 1 (video, h264) is left out" in said
    assert ("cover picture" in said) != kept
    with av.open(str(target)) as output:
        video, *rest = output.streams.video
        assert (video.language, bool(video.disposition & video.disposition.default)) == ("jpn", True)
        assert not {"BPS", "timecode"} & set(video.metadata)
        assert {key.lower(): value for key, value in output.metadata.items()}["artist"] == "Somebody"
        assert [bool(stream.disposition & stream.disposition.attached_pic) for stream in rest] == [True] * kept
        for cover in rest:
            assert bytes(next(packet for packet in output.demux(cover) if packet.size)) == picture


def write_sound(path: Path, *, codec: str = "mp2", start: float = 0.0) -> None:
    """Write 24 frames and a second of sound, both ``start`` seconds late."""
    silent = path.with_name("silent.mp4")
    write_clip(silent)
    with av.open(str(silent)) as clip, av.open(str(path), "w") as output:
        video = output.add_stream_from_template(clip.streams.video[0])
        audio = output.add_stream(codec, rate=48000, layout="stereo", bit_rate=128_000)
        packets = []
        for block in range(41):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 1152), np.int16), format="s16", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48000, 1152 * block, Fraction(1, 48000)
            packets += audio.encode(frame)
        for packet in [*packets, *(packet for packet in clip.demux(video=0) if packet.size)]:
            late = round(start / packet.time_base)
            packet.stream = audio if packet.time_base == Fraction(1, 48000) else video
            packet.pts, packet.dts = packet.pts + late, packet.dts + late
            output.mux(packet)
    silent.unlink()


def start_times(path: Path) -> list[float]:
    with av.open(str(path)) as clip:
        return [
            float(stream.start_time * stream.time_base) for stream in (clip.streams.video[0], clip.streams.audio[0])
        ]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_broadcast_s_clock_starts_at_zero_and_sound_stays_in_step(tmp_path, suffix):
    source, target = tmp_path / "in.ts", tmp_path / f"out{suffix}"
    write_sound(source, start=50_000.0)
    assert run(source, target) == 0
    before, after = start_times(source), start_times(target)
    assert min(before) > 40_000
    assert min(after) == pytest.approx(0, abs=0.002)
    assert after[0] - after[1] == pytest.approx(before[0] - before[1], abs=0.002)
    with av.open(str(target)) as output:
        assert output.duration / av.time_base < 1.2


def test_sound_stays_in_step_behind_the_seam_of_joined_streams(tmp_path):
    source, target = tmp_path / "in.ts", tmp_path / "out.mkv"
    write_sound(source)
    once = source.read_bytes()
    source.write_bytes(once + once)
    assert run(source, target) == 0
    with av.open(str(target)) as output:
        times: dict[str, list[float]] = {"video": [], "audio": []}
        for packet in output.demux():
            if packet.size:
                times[packet.stream.type].append(float(packet.pts * packet.time_base))
    video = sorted(times["video"])
    assert len(video) == 96
    assert np.diff(video).max() < 1.5 / 48
    assert np.diff(times["audio"]).min() > 0
    assert max(times["audio"]) == pytest.approx(max(video), abs=0.1)


def test_sound_hidden_by_an_edit_list_stays_unheard(tmp_path):
    source = tmp_path / "in.mp4"
    write_sound(source)
    data = bytearray(source.read_bytes())
    at = -1
    for step in (10 * 512, 20_000):  # 10 frames of the video, and as much of the sound, in their own ticks
        at = data.index(b"elst", at + 1)
        struct.pack_into(">i", data, at + 16, struct.unpack_from(">i", data, at + 16)[0] + step)
    source.write_bytes(bytes(data))
    for suffix in (".mp4", ".mkv"):
        target = tmp_path / f"out{suffix}"
        assert run(source, target) == 0
        assert len(read(target)) == 2 * 14
        video, audio = start_times(target)
        assert -0.001 < video - audio < 0.13  # Matroska has no edit lists: a tenth of a second is left to decode from


# Three units of silence; FFmpeg takes TrueHD for MP4 as an experiment and only says so once the file is begun.
_TRUEHD = (
    "a023ffd8f8726fba00008001b752000000008c7f11055400000080800000841d2012f1ea00000110000000000840000000032dfb0802004880"
    "632ba040018cae81000400f25f",
    "a00700006004914080200800d08b",
    "4005002860024000e91d",
)


def test_sound_that_no_container_of_this_kind_holds_is_refused_before_any_work(tmp_path, capsys, monkeypatch):
    source, silent = tmp_path / "in.mkv", tmp_path / "silent.mp4"
    write_clip(silent, numbers=range(3))
    with av.open(str(silent)) as clip, av.open(str(source), "w") as output:
        video, audio = (
            output.add_stream_from_template(clip.streams.video[0]),
            output.add_mux_stream("truehd", rate=48000),
        )
        for number, text in enumerate(_TRUEHD):
            packet = av.Packet(bytes.fromhex(text))
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 1200), audio
            output.mux(packet)
        for packet in clip.demux(video=0):
            if packet.size:
                packet.stream = video
                output.mux(packet)
    silent.unlink()
    assert run(source, tmp_path / "out.mp4") == 1
    error = capsys.readouterr().err
    assert "track 1 (audio, truehd) cannot be stored in mp4; name OUT .mkv" in error
    assert "interpolate: 0" not in error
    assert run(source, tmp_path / "out.mkv") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "out.mkv"]


def test_a_track_that_nothing_holds_comes_with_the_way_to_change_it(tmp_path, capsys):
    write_sound(tmp_path / "in.wmv", codec="wmav2")
    assert run(tmp_path / "in.wmv", tmp_path / "out.mkv") == 1
    error = capsys.readouterr().err
    assert "track 1 (audio, wmav2) cannot be stored in matroska" in error
    assert "change it first: ffmpeg -i IN -map 0 -c copy -c:1 flac NEW.mkv" in error


def test_hevc_in_mp4_has_the_tag_that_apple_s_players_want(tmp_path):
    write_clip(tmp_path / "in.mp4", numbers=range(3))
    assert run(tmp_path / "in.mp4", tmp_path / "out.mp4", "--codec", "hevc", "--crf", "30") == 0
    assert b"hvc1" in (tmp_path / "out.mp4").read_bytes()
    assert len(read(tmp_path / "out.mp4")) == 6


def test_interlaced_and_cut_off_video_is_told(tmp_path, capsys):
    source = tmp_path / "in.mkv"
    write_clip(source, codec="mpeg2video", options={"flags": "+ilme+ildct", "b": "4M", "g": "8"}, numbers=range(72))
    size = source.stat().st_size
    with source.open("r+b") as file:
        file.truncate(size // 3)
    assert run(source, tmp_path / "out.mkv") == 0
    said = capsys.readouterr().err
    assert "note: the video is interlaced and taken as it is: --deinterlace fills in" in said
    assert "note: the video ends" in said
    assert "before the file says (3.0 s): it may be cut off" in said


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("a:b.mp4", "http:x %03d.mp4"),
        ("plain", "pipe:1.mkv"),
        ('it\'s "a" Ünï 🎬.mp4', 'it\'s "b" Ünï 🎬.mp4'),
        ("-x.mp4", "-y.mov"),
    ],
)
def test_names_are_names(tmp_path, monkeypatch, source, target):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "x.mp4", numbers=range(3))
    (tmp_path / "x.mp4").rename(tmp_path / source)
    assert main(["--fast", MEAN, "--", source, target]) == 0
    assert sorted(os.listdir()) == sorted([source, target])
    assert len(read(Path(target))) == 6


@pytest.mark.parametrize(
    ("source", "target", "options", "message"),
    [
        ("in.mp4", "pipe.mp4", ["--overwrite"], "output pipe.mp4 is no file that could be replaced"),
        ("in.mp4", "folder.mp4", ["--overwrite"], "output folder.mp4 is no file that could be replaced"),
        ("in.mp4", "dangling.mp4", [], "output dangling.mp4 exists; give --overwrite"),
        ("in.mp4", "hard.mp4", ["--overwrite"], "output hard.mp4 is the input"),
        ("soft.mp4", "in.mp4", ["--overwrite"], "output in.mp4 is the input"),
        ("in.mp4", "out.mp4", ["--preview", "in.mp4"], "preview in.mp4 is the input"),
        ("in.mp4", "out.mp4", ["--preview", "out.mp4"], "preview out.mp4 is the output"),
        ("in.mp4", "out.mp4", ["--preview", "folder.mp4"], "preview folder.mp4 is no file"),
        ("pipe.mp4", "out.mp4", [], "input pipe.mp4 must be a file, no pipe"),
        ("folder.mp4", "out.mp4", [], "no video is in folder.mp4"),
        ("https://a.org/x.mp4", "out.mp4", [], "must be a file, no pipe, folder or address"),
        ("words.png", "out.mp4", [], "no video file of a known kind; pictures"),
    ],
)
def test_what_is_no_plain_file_is_refused(tmp_path, monkeypatch, capsys, source, target, options, message):
    monkeypatch.chdir(tmp_path)
    write_clip(Path("in.mp4"), numbers=range(3))
    os.mkfifo("pipe.mp4")
    os.mkdir("folder.mp4")
    os.symlink("nowhere.mp4", "dangling.mp4")
    os.symlink("in.mp4", "soft.mp4")
    os.link("in.mp4", "hard.mp4")
    av.VideoFrame(32, 32, "rgb24").to_image().save("words.png")
    before = sorted(os.listdir())
    assert main(["--fast", MEAN, *options, "--", source, target]) == 1
    assert message in capsys.readouterr().err
    assert sorted(os.listdir()) == before
