"""Interlaced and telecined pictures: told by their combs, whatever the stream's flags say; and taken apart.

In a combed picture of something that moves, neighbouring rows come from two moments: along a column, values go up and
down from row to row. ``tests/dataset_tools/video/test_interlacing.py`` has the measurements behind the numbers.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.filter import Graph

from dataset_tools.video.pyav import PyavFrame, PyavReader
from dataset_tools.video.reader import Luma

COMBED_EXCESS = 0.0005  # progressive clips of the library: at most -0.0006; combed pictures: 0.002 to 0.015
_LEAST_ROWS = 12
_STEP_LEVELS = 10
_COLUMNS = 96  # looked at: enough, and cheap beside decoding
_CLIP_SHARE = 0.1  # of combed pictures, from which on a clip is interlaced
_TELECINE_SHARES = (0.25, 0.6)  # two of five pictures of film in 60 fields; fewer where nothing moves
_TELECINE_CYCLE = 5
_FLAGS = {1: "progressive", 2: "tff", 3: "bff", 4: "tff", 5: "bff"}  # FFmpeg's AVFieldOrder; 0 is unknown


def combing(luma: Luma) -> float:
    """Return how much more often rows go up and down in turn in a picture than in its two fields, -1 to 1.

    Fine texture does so in both, and in fields, whose rows lie further apart, the more; only a comb does not.
    """
    width = luma.shape[1]
    step = max(1, width // _COLUMNS)
    part = np.ascontiguousarray(luma[:, step // 2 :: step])
    if len(part) < _LEAST_ROWS:
        return 0.0
    return _share_of_turns(part) - (_share_of_turns(part[::2]) + _share_of_turns(part[1::2])) / 2


def _share_of_turns(part: Luma) -> float:
    """Return the share of pixels that begin a rise, a fall, a rise and a fall from row to row, or these the other way.

    On 8-bit numbers that saturate: a third of the time of signed 16-bit ones, for every frame of every clip.
    """
    rises = cv2.subtract(part[1:], part[:-1]) > _STEP_LEVELS
    falls = cv2.subtract(part[:-1], part[1:]) > _STEP_LEVELS
    peaks, dips = rises[:-1] & falls[1:], falls[:-1] & rises[1:]
    turns = (peaks[:-2] & peaks[2:]) | (dips[:-2] & dips[2:])
    return np.count_nonzero(turns) / turns.size


def is_combed(luma: Luma) -> bool:
    """Return whether a picture shows two moments at once."""
    return combing(luma) > COMBED_EXCESS


def field_order_of(combed: Sequence[bool], flagged: str | None) -> str | None:
    """Return what a clip is: ``progressive``, ``tff``, ``bff``, ``interlaced`` (order unknown) or ``telecined``.

    Args:
        combed: Of every picture, ``is_combed``.
        flagged: ``flagged_field_order``; where pictures are combed, they count more.
    """
    share = float(np.mean(combed)) if len(combed) else 0.0
    if share < _CLIP_SHARE:
        return flagged
    if _TELECINE_SHARES[0] <= share <= _TELECINE_SHARES[1] and _has_cycle(np.asarray(combed)):
        return "telecined"
    return flagged if flagged in ("tff", "bff") else "interlaced"


def _has_cycle(combed: npt.NDArray[np.bool_]) -> bool:
    """Return whether combed pictures come in turns of five: of the five places at least two are never combed."""
    shares = [combed[place::_TELECINE_CYCLE].mean() for place in range(_TELECINE_CYCLE) if len(combed) > place]
    return sum(share < 0.1 for share in shares) >= 2


def flagged_field_order(reader: PyavReader) -> str | None:
    """Return what the stream says of its first picture: ``progressive``, ``tff``, ``bff``, or ``None``."""
    order = _FLAGS.get(int(cast(Any, reader.stream.codec_context).field_order))
    if reader.peek().interlaced_frame:
        return order if order in ("tff", "bff") else "tff"
    return order if order in ("tff", "bff") else "progressive"


def deinterlaced(frames: Iterable[PyavFrame]) -> Iterator[PyavFrame]:
    """Yield as many frames as come in, each with the missing rows of its first field made anew (FFmpeg's bwdif)."""
    graph: Graph | None = None
    waiting: list[PyavFrame] = []
    for frame in frames:
        if graph is None:
            graph = _graph(frame.raw)
        waiting.append(frame)
        raw = frame.raw
        raw.pts, raw.time_base = frame.index, Fraction(1)
        graph.push(raw)
        yield from _pull(graph, waiting)
    if graph is not None:
        graph.push(None)
        yield from _pull(graph, waiting)


def _graph(first: av.VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=first.width, height=first.height, format=first.format, time_base=Fraction(1))
    weave = graph.add("bwdif", "mode=send_frame:parity=auto:deint=all")
    sink = graph.add("buffersink")
    source.link_to(weave)
    weave.link_to(sink)
    graph.configure()
    return graph


def _pull(graph: Graph, waiting: list[PyavFrame]) -> Iterator[PyavFrame]:
    while waiting:
        try:
            raw = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield waiting.pop(0).with_picture(cast(av.VideoFrame, raw))
