"""Clips that are not as people should see them: interlaced, telecined, HDR, anamorphic, cut off. And what is known."""

import shutil
from fractions import Fraction

import av
import numpy as np
import pytest

from dataset_tools import materialize
from dataset_tools.frames import read_image, square_size
from dataset_tools.video.facts import cut_off_note
from dataset_tools.video.interlacing import is_combed
from tests.dataset_tools import replicas
from tests.dataset_tools.extracting import extract, manifest_of, rejected_of


@pytest.fixture(scope="module")
def street(demo_clips):
    return replicas.read_frames(demo_clips / "bikes.mp4", start=80, count=40)


def weave(first, second):
    woven = first.copy()
    woven[1::2] = second[1::2]
    return woven


def write(path, frames, *, codec="libx264", options=None, pix_fmt="yuv420p", aspect=None, transfer=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=24, options=options or {"crf": "12", "preset": "ultrafast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if transfer:
            stream.codec_context.color_trc = transfer
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=pix_fmt)
            picture.pts, picture.time_base = number, Fraction(1, 24)
            output.mux(stream.encode(picture))
        output.mux(stream.encode())


def telecine(frames):
    woven = []
    for a, b, c, d in zip(*(frames[start::4] for start in range(4)), strict=True):
        woven += [a, b, weave(b, c), weave(c, d), d]
    return woven


@pytest.fixture(scope="module")
def odd(tmp_path_factory, street):
    """A clip of each kind, and a plain one."""
    folder = tmp_path_factory.mktemp("odd")
    woven = [weave(first, second) for first, second in zip(street[::2], street[1::2], strict=True)]
    write(folder / "plain.mp4", street[:12])
    write(folder / "unmarked.mp4", woven)  # as after a careless conversion: nothing says that it is interlaced
    flags = {"qscale": "2", "flags": "+ilme+ildct", "bf": "0"}
    write(folder / "marked.mkv", woven, codec="mpeg2video", options=flags)
    write(folder / "film.mp4", telecine(street))
    write(folder / "pq.mkv", street[:9], codec="ffv1", options={}, pix_fmt="yuv420p10le", transfer=16)
    return folder


OPTIONS = ["--resolutions", "256p", "--intervals", "1-2"]


def test_they_are_rejected_with_a_reason(odd, tmp_path):
    assert extract(odd, tmp_path / "set", *OPTIONS, count=20) == 0
    assert {row["clip"] for row in manifest_of(tmp_path / "set").rows()} == {"plain.mp4"}
    found = {item["clip"]: (item["reason"], item["message"]) for item in rejected_of(tmp_path / "set")}
    assert {clip: reason for clip, (reason, _) in found.items() if clip != "plain.mp4"} == {
        "unmarked.mp4": "interlaced",
        "marked.mkv": "interlaced",
        "film.mp4": "telecined",
        "pq.mkv": "hdr",
    }
    assert "20 of 20 pictures are combed; see --interlaced" in found["unmarked.mp4"][1]
    assert "high dynamic range (smpte2084); see --hdr" in found["pq.mkv"][1]


def test_they_are_treated_when_asked_for_and_made_again_alike(odd, tmp_path, capsys):
    out = tmp_path / "set"
    assert extract(odd, out, *OPTIONS, "--interlaced", "deinterlace", "--hdr", "tonemap", count=25) == 0
    manifest = manifest_of(out)
    rows = {row["clip"]: row for row in manifest.rows()}
    assert {clip: row["field_order"] for clip, row in rows.items()} == {
        "plain.mp4": "progressive",
        "unmarked.mp4": "interlaced",
        "marked.mkv": rows["marked.mkv"]["field_order"],
        "film.mp4": "telecined",
        "pq.mkv": "progressive",
    }
    assert rows["marked.mkv"]["field_order"] in ("tff", "bff")
    for row in manifest.rows():
        picture = read_image(manifest.file(row, "gt"))
        assert not is_combed((picture @ np.array([0.299, 0.587, 0.114])).astype(np.uint8))
    pq = rows["pq.mkv"]
    assert (pq["transfer"], pq["bit_depth"], pq["codec"], pq["frame_rate"]) == ("smpte2084", 10, "ffv1", 24.0)
    assert pq["decoder"].startswith("pyav ")
    shutil.copy(out / "data_manifest.parquet", tmp_path)
    command = [str(tmp_path / "data_manifest.parquet"), "--source", f"videos:{odd}", "--workers", "1"]
    assert materialize.main(command) == 0
    assert "0 accepted with differences, 0 faults" in capsys.readouterr().out


def test_interlaced_clips_are_kept_when_asked_for(odd, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    shutil.copy(odd / "unmarked.mp4", folder)
    assert extract(folder, tmp_path / "set", *OPTIONS, "--interlaced", "keep", count=3) == 0
    assert len(manifest_of(tmp_path / "set")) == 3


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4, 3), (544, 300)), (Fraction(3, 4), (408, 400))])
def test_anamorphic_clips_get_square_pixels_and_are_never_enlarged(tmp_path, street, aspect, size):
    tall = [np.concatenate([frame, frame[:128]])[:, :544] for frame in street[:8]]
    write(tmp_path / "clips" / "wide.mp4", tall, aspect=aspect)
    assert square_size(544, 400, pixel_aspect=float(aspect)) == size
    assert extract(tmp_path / "clips", tmp_path / "set", *OPTIONS, count=3) == 0
    row = manifest_of(tmp_path / "set").rows()[0]
    assert row["pixel_aspect"] == pytest.approx(float(aspect))
    assert row["height"] == 256
    assert row["width"] / row["height"] == pytest.approx(size[0] / size[1], abs=0.01)
    assert (row["native_width"], row["native_height"]) == (544, 400)


@pytest.mark.parametrize(("aspect", "expected"), [(None, (640, 480)), (640 / 639, (640, 480)), (2.0, (640, 240))])
def test_square_sizes(aspect, expected):
    assert square_size(640, 480, pixel_aspect=aspect) == expected


def cut_off(path, whole):
    """A Matroska file of which the last third is gone: its head still says how long it was."""
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


@pytest.mark.parametrize("damage", ["reject", "keep-before"])
def test_a_cut_off_file_is_noticed(tmp_path, street, damage):
    folder = tmp_path / "clips"
    write(tmp_path / "whole.mkv", street + street[::-1])
    folder.mkdir()
    cut_off(folder / "cut.mkv", tmp_path / "whole.mkv")
    code = extract(folder, tmp_path / "set", *OPTIONS, "--damage", damage, count=6)
    if damage == "reject":
        assert code == 1  # no row at all
        (only,) = rejected_of(tmp_path / "set")
        assert only["reason"] in ("cut off", "unreadable")
    else:
        assert code == 0
        assert len(manifest_of(tmp_path / "set")) == 6


@pytest.mark.parametrize(
    ("claimed", "last", "expected"),
    [
        (None, 3.0, ""),
        (10.0, None, ""),
        (10.0, 9.96, ""),
        (10.0, 9.5, ""),
        (10.0, 6.0, "claims 10.0 s"),
        (0.4, 0.0, ""),
    ],
)
def test_what_is_missing_at_the_end(claimed, last, expected):
    note = cut_off_note(claimed, last, 25.0)
    assert expected in note
    assert bool(note) == bool(expected)
