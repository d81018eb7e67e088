"""Interlaced video as whole pictures, by FFmpeg's ``bwdif``: one for each pair of fields, so that the rate stays."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import av
import av.error
import av.filter

from dataset_tools.video.pyav import PyavFrame


def deinterlaced(frames: Iterator[PyavFrame], *, like: av.VideoFrame, time_base: Any) -> Iterator[PyavFrame]:
    """Yield the frames with the lines of both fields filled in; those that are not marked as interlaced stay.

    Args:
        like: One of the frames as decoded.
        time_base: Of the stream, in seconds.
    """
    graph = av.filter.Graph()
    source = graph.add_buffer(width=like.width, height=like.height, format=like.format, time_base=time_base)
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    waiting: deque[PyavFrame] = deque()
    for frame in frames:
        waiting.append(frame)
        graph.vpush(frame.raw)
        yield from _ready(graph, waiting)
    if waiting:
        graph.vpush(None)
        yield from _ready(graph, waiting)


def _ready(graph: av.filter.Graph, waiting: deque[PyavFrame]) -> Iterator[PyavFrame]:
    while True:
        try:
            raw = graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        frame = waiting.popleft()
        raw.pts, raw.time_base = frame.raw.pts, frame.raw.time_base  # the filter counts in fields
        yield frame.with_picture(raw)
