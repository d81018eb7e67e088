"""Sound, subtitles, chapters and tags: copied, changed where the container needs it, or left out when told."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.dataset_tools.tricky_clips import write_clip
from vfidpa_model.interpolate import main

MEAN = "tests.vfidpa_model.simple_interpolators:Mean"


def clip_with_tracks(path: Path) -> None:
    """Write 24 numbered frames with sound, subtitles, tags and a chapter."""
    silent = path.with_name(f"silent-{path.name}")
    write_clip(silent)
    with av.open(str(silent)) as clip, av.open(str(path), "w") as output:
        video = output.add_stream_from_template(clip.streams.video[0])
        audio = output.add_stream("aac", rate=48000, layout="mono")
        audio.metadata["language"] = "deu"
        text = output.add_stream("mov_text" if path.suffix == ".mp4" else "subrip")
        text.metadata["language"] = "fra"
        text.codec_context.subtitle_header = b"[Script Info]\nScriptType: v4.00+\n"
        output.metadata["title"] = "A title"
        output.set_chapters(
            [{"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}]
        )
        sound = []
        for block in range(46):
            wave = np.sin(np.arange(1024 * block, 1024 * (block + 1)) / 20, dtype=np.float32)[None]
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, 1024 * block
            sound += audio.encode(frame)
        for packet in [*sound, *audio.encode()]:
            output.mux(packet)
        words = b"bonjour"
        packet = av.Packet(len(words).to_bytes(2, "big") + words if path.suffix == ".mp4" else words)
        packet.pts = packet.dts = 250
        packet.duration, packet.time_base, packet.stream = 500, Fraction(1, 1000), text
        output.mux(packet)
        for packet in clip.demux(video=0):
            if packet.size:
                packet.stream = video
                output.mux(packet)
    silent.unlink()


def other_packets(path: Path) -> list[tuple[str, bytes, float]]:
    with av.open(str(path)) as clip:
        streams = [stream for stream in clip.streams if stream.type in ("audio", "subtitle")]
        return sorted(
            (packet.stream.type, bytes(packet), round(float(packet.pts * packet.time_base), 2))
            for packet in clip.demux(streams)
            if packet.size
        )


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_subtitles_and_tags_come_along(tmp_path, suffix):
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    clip_with_tracks(source)
    assert main([str(source), str(target), "--fast", MEAN]) == 0
    assert other_packets(target) == other_packets(source)
    with av.open(str(target)) as output, av.open(str(source)) as original:
        kept = [stream for stream in output.streams if stream.type != "data"]  # chapters are one, too
        assert [stream.type for stream in kept] == ["video", "audio", "subtitle"]
        assert [stream.language for stream in kept[1:]] == ["deu", "fra"]
        assert output.metadata["title"] == "A title"
        assert [chapter["metadata"] for chapter in output.chapters()] == [{"title": "One"}]
        audio, video = output.streams.audio[0], output.streams.video[0]
        drift = float(output.duration - original.duration) / av.time_base
        assert abs(drift) < 1 / 48
        assert audio.codec_context.name == "aac"
        assert video.frames in (0, 48)


@pytest.mark.parametrize(
    ("source", "target", "codec", "words"),
    [
        ("in.mkv", "out.mp4", "mov_text", b"\x00\x07bonjour"),
        ("in.mp4", "out.mkv", "subrip", b"bonjour"),
        ("in.mkv", "out.mov", "mov_text", b"\x00\x07bonjour"),
    ],
)
def test_subtitles_become_what_the_container_holds(tmp_path, capsys, source, target, codec, words):
    clip_with_tracks(tmp_path / source)
    assert main([str(tmp_path / source), str(tmp_path / target), "--fast", MEAN]) == 0
    assert f"becomes {codec}" in capsys.readouterr().err
    with av.open(str(tmp_path / target)) as output:
        (text,) = output.streams.subtitles
        assert (text.codec_context.codec.canonical_name, text.language) == (codec, "fra")
        late = float(output.streams.video[0].start_time * output.streams.video[0].time_base)  # AAC begins before 0
        shown = [packet for packet in output.demux(text) if packet.size > 2]  # MP4 fills the time between
        assert [bytes(packet) for packet in shown] == [words]
        assert float(shown[0].pts * shown[0].time_base) - late == pytest.approx(0.25, abs=0.001)
        assert float(shown[0].duration * shown[0].time_base) == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [(0, 0.5)]),
        (["--start", "0.25"], [(0, 0.25)]),
        (["--start", "0.6"], []),
        (["--slow-motion", "2", "--drop", "subtitles"], [(0, 1.0)]),
    ],
)
def test_chapters_stay_with_what_they_name(tmp_path, options, expected):
    clip_with_tracks(tmp_path / "in.mkv")
    assert main([str(tmp_path / "in.mkv"), str(tmp_path / "out.mkv"), "--fast", MEAN, *options]) == 0
    with av.open(str(tmp_path / "out.mkv")) as output:
        chapters = [
            tuple(round(float(chapter[name] * chapter["time_base"]), 2) for name in ("start", "end"))
            for chapter in output.chapters()
        ]
    assert chapters == expected


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (["--drop", "subtitles"], ["video", "audio"]),
        (["--drop", "audio"], ["video", "subtitle"]),
        (["--drop", "audio", "--drop", "subtitles"], ["video"]),
    ],
)
def test_tracks_are_left_out_when_told(tmp_path, capsys, options, kept):
    clip_with_tracks(tmp_path / "in.mkv")
    assert main([str(tmp_path / "in.mkv"), str(tmp_path / "out.mkv"), "--fast", MEAN, *options]) == 0
    with av.open(str(tmp_path / "out.mkv")) as output:
        assert [stream.type for stream in output.streams] == kept
    assert main([str(tmp_path / "in.mkv"), str(tmp_path / "x.mkv"), "--fast", MEAN, "--drop", "picture"]) == 2
    assert "--drop 'picture' must be one of audio, subtitles, data" in capsys.readouterr().err
