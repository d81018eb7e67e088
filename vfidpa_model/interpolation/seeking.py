"""Where decoding can begin for a part of a file, so that its frames are those of decoding from the beginning."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av.error

from dataset_tools.errors import VideoError
from dataset_tools.video.pyav import PyavReader, open_container

_EXACT = ("mov,", "matroska,")  # containers with an index and time stamps of their own
_TRIES = 6  # keyframes further and further back
_LOOKED_AT = 32  # packets behind a keyframe: pictures shown before it follow it directly


@dataclass(frozen=True)
class Entry:
    """Where to begin.

    Attributes:
        origin: When the first frame of the file is shown, in seconds.
        ticks: Where to seek to, in the video's time base; ``None`` for the beginning.
        stream: Number of the video's stream.
    """

    origin: Fraction
    ticks: int | None = None
    stream: int = 0


def find_entry(path: Path, start: Fraction) -> Entry | None:
    """Return where to begin for what is shown from ``start`` on, in seconds from the first frame; ``None`` if unknown.

    It is a keyframe behind which no picture is shown that needs what comes before: one of an open group of pictures is
    passed over for an earlier one.
    """
    try:
        with PyavReader(path) as reader:
            first, base, kind = reader.peek(), reader.stream.time_base, reader.container.format.name
            number = reader.stream.index
    except VideoError:  # damaged at its beginning: all of it has to be looked at
        return None
    if first.pts is None or base is None or not kind.startswith(_EXACT):
        return None
    wanted, step = first.pts + int(start / base), int(1 / base)
    with open_container(path) as container:
        target = wanted
        for _ in range(_TRIES):
            if target <= first.pts:
                break
            try:
                container.seek(target, stream=container.streams[number])
                key = _clean_keyframe(container, number)
            except av.error.FFmpegError:  # damaged there
                key = None
            if key is not None and first.pts < key <= wanted:
                return Entry(first.pts * base, target, number)
            target, step = target - step, 2 * step
    return Entry(first.pts * base)


def open_at(path: Path, entry: Entry) -> Any:
    """Return the file, opened, at an entry."""
    container = open_container(path)
    if entry.ticks is not None:
        container.seek(entry.ticks, stream=container.streams[entry.stream])
    return container


def _clean_keyframe(container: Any, number: int) -> int | None:
    """Return the presentation time of the keyframe that comes next, if it is shown first and what follows behind it.

    Where pictures are refreshed in stripes, the decoder shows nothing before all is whole again.
    """
    packets = [packet for packet in islice(container.demux(number), _LOOKED_AT) if packet.size]
    times = [packet.pts for packet in packets]
    if not packets or not packets[0].is_keyframe or None in times or min(times) < times[0]:
        return None
    frames = (frame for packet in packets for frame in packet.decode())
    shown = next(frames, None)
    return int(times[0]) if shown is not None and shown.pts == times[0] else None
