"""Combs are told from texture, film in fields from interlaced video; what is treated is whole again."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dataset_tools.sources import Clip
from dataset_tools.sources.clip_frames import Treatment, iterate_frames
from dataset_tools.video.interlacing import COMBED_EXCESS, combing, field_order_of, is_combed
from tests.dataset_tools import replicas


def luma(frame):
    return (frame @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)


def weave(top, bottom):
    """Return a picture with the odd rows of a later moment."""
    woven = top.copy()
    woven[1::2] = bottom[1::2]
    return woven


@pytest.fixture(scope="module")
def street(demo_clips):
    """Forty frames in which a street moves by several pixels each."""
    return replicas.read_frames(demo_clips / "bikes.mp4", start=80, count=40)


def interlace(frames):
    return [weave(first, second) for first, second in zip(frames[::2], frames[1::2], strict=True)]


def telecine(frames):
    """Return film in 60 fields: of five pictures, the third and fourth show two moments."""
    woven = []
    for a, b, c, d in zip(*(frames[start::4] for start in range(4)), strict=True):
        woven += [a, b, weave(b, c), weave(c, d), d]
    return woven


def test_combs_are_told_from_texture(street, demo_clips):
    assert not any(is_combed(luma(frame)) for frame in street)
    for clip in ("bigbuckbunny.mp4", "carphone_pristine.mp4"):
        assert not any(is_combed(luma(frame)) for frame in replicas.read_frames(demo_clips / clip, count=30))
    assert all(combing(luma(frame)) > 2 * COMBED_EXCESS for frame in interlace(street))
    assert not is_combed(np.zeros((4, 4), np.uint8))


def test_what_a_clip_is(street):
    combed = [is_combed(luma(frame)) for frame in telecine(street)]
    assert combed == [False, False, True, True, False] * 10
    assert field_order_of(combed, "progressive") == "telecined"
    assert field_order_of([True] * 30, "progressive") == "interlaced"
    assert field_order_of([True] * 30, "bff") == "bff"
    assert field_order_of([False] * 28 + [True] * 2, "progressive") == "progressive"  # a damaged picture or two
    assert field_order_of([], None) is None


def write(path: Path, frames, *, flags: dict[str, str], **stream_options) -> Clip:
    with av.open(str(path), "w") as output:
        stream = output.add_stream(stream_options.pop("codec", "mpeg2video"), rate=25, options=flags)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = stream_options.pop("pix_fmt", "yuv420p")
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=stream.pix_fmt)
            picture.pts, picture.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(picture))
        output.mux(stream.encode())
    return Clip("videos", path.name, path)


def test_deinterlacing_keeps_every_frame_and_its_first_field(street, tmp_path):
    clip = write(tmp_path / "i.mkv", interlace(street), flags={"qscale": "1", "flags": "+ilme+ildct", "bf": "0"})
    woven = list(iterate_frames(clip, decoder="pyav"))
    single = list(iterate_frames(clip, decoder="pyav", treatment=Treatment(deinterlace=True)))
    assert [frame.index for frame in single] == [frame.index for frame in woven] == list(range(20))
    assert [frame.pts_seconds for frame in single] == [frame.pts_seconds for frame in woven]
    assert all(is_combed(frame.luma()) for frame in woven)
    assert not any(is_combed(frame.luma()) for frame in single)
    for made, frame, truth in zip(single, woven, street[1::2], strict=True):  # unmarked fields: the lower one is first
        assert np.abs(made.luma()[1::2].astype(int) - frame.luma()[1::2]).mean() < 0.01  # that field is as it was
        assert np.abs(made.rgb().astype(int) - truth).mean() < np.abs(frame.rgb().astype(int) - truth).mean()
