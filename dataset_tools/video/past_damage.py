"""Decoding on behind damage: what decodes without complaint is handed out, and the rest is written down.

FFmpeg's own way is to paint over what it cannot decode. Here the decoder refuses (``err_detect=explode``), is emptied,
and begins again at the next keyframe, so that every picture handed out is a right one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import av
import av.error


@dataclass
class DamageLog:
    """What was met on the way through a stream; complete when the last frame has been taken.

    Attributes:
        packet_pts: Presentation time of every packet with data, as stored, in the stream's unit; ``None`` without one.
        restarts: The same of the keyframes at which decoding began and began again.
        errors: FFmpeg's words for what could not be decoded.
        num_marked: Packets that the container calls damaged, though they may decode.
        ends_broken: Whether no keyframe follows the last error.
    """

    packet_pts: list[int | None] = field(default_factory=list)
    restarts: list[int | None] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    num_marked: int = 0
    ends_broken: bool = False


def decode_past_damage(
    packets: Iterator[Any], decoder: Any, log: DamageLog, *, on_taken: Callable[[Any], None]
) -> Iterator[av.VideoFrame]:
    """Yield the frames that decode without an error.

    Args:
        packets: Of one stream, as demuxed; an error in reading ends them.
        decoder: A codec context that stops at errors, not used yet.
        log: Filled on the way.
        on_taken: Told of every packet that the decoder takes.
    """
    is_waiting = True  # for a keyframe
    for packet in _readable(packets, log):
        if packet.size:
            log.packet_pts.append(packet.pts)
            log.num_marked += packet.is_corrupt
            if is_waiting and not packet.is_keyframe:
                continue
            if is_waiting:
                log.restarts.append(packet.pts)
                is_waiting = log.ends_broken = False
        elif packet.pts is not None:
            continue  # a repeated picture has a packet without data (Theora); for FFmpeg that would be the end
        try:
            frames = decoder.decode(packet if packet.size else None)
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            log.errors.append(error.strerror or type(error).__name__)
            is_waiting = log.ends_broken = True
            if packet.size:
                yield from _whole(_drain(decoder), log)
                decoder.flush_buffers()
            continue
        if packet.size:
            on_taken(packet)
        yield from _whole(frames, log)


def _readable(packets: Iterator[Any], log: DamageLog) -> Iterator[Any]:
    try:
        yield from packets
    except (av.error.FFmpegError, OSError) as error:
        log.errors.append(getattr(error, "strerror", None) or type(error).__name__)
        log.ends_broken = True


def _drain(decoder: Any) -> Iterator[av.VideoFrame]:
    """Yield what decodes of the pictures that are still inside."""
    while True:
        try:
            frames = decoder.decode(None)
        except av.error.FFmpegError:  # one more that is broken, or the end
            return
        yield from frames
        if not frames:
            return


def _whole(frames: Iterable[av.VideoFrame], log: DamageLog) -> Iterator[av.VideoFrame]:
    for frame in frames:
        if frame.is_corrupt:
            log.errors.append("a picture is damaged")
        else:
            yield frame
