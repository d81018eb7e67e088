"""Frames to standard output, as Y4M or bare: so the command stands between two others."""

import sys
from collections.abc import Iterable
from typing import Any

import av

from vfidpa_model.interpolation.look import Work


def write_to_pipe(work: Work, frames: Iterable[tuple[av.VideoFrame, int]]) -> int:
    """Write frames, each with its time in ticks, and return their number."""
    encoding = work.encoding
    count = 0
    with av.open(sys.stdout.buffer, "w", format=work.job.container) as output:
        stream: Any = output.add_stream("rawvideo", rate=encoding.fps)
        stream.width, stream.height, stream.pix_fmt = encoding.width, encoding.height, encoding.pix_fmt
        for name, value in encoding.tags.items():
            setattr(stream.codec_context, name, value)
        for frame, _ in frames:
            frame.pts, frame.time_base = count, 1 / encoding.fps
            for packet in stream.encode(frame):
                output.mux(packet)
            count += 1
        for packet in stream.encode():
            output.mux(packet)
    return count
