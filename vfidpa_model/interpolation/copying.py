"""The packets of the other tracks on the way into an output: as they are, or as subtitles of another kind."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
from av.format import Flags

from vfidpa_model.interpolation.sound import Stretcher
from vfidpa_model.interpolation.tracks import TrackPlan, is_cover

_RUN_UP = Fraction(1, 10)  # seconds of sound before the start that a decoder may need: AAC 0.05, Opus 0.08
_TIMED = ("audio", "subtitle", "video")
_FONT = re.compile(rb'(?s)<font (?:face="[^"<>]*" ?|size="\d+" ?)+>(.*)</font>')  # MP4's default, said for each line
_BACK_SECONDS, _AHEAD_SECONDS = Fraction(1, 2), 10  # as in ``plan``: such a jump begins another recording


@dataclass(frozen=True)
class Clock:
    """How times in an input become times in the output, in seconds.

    Attributes:
        zero: What becomes 0.
        stretch: How many seconds each one becomes.
        seams: How much later all is shown from where the input's clock is set anew, one after the other.
        end: When the output ends, if it is a part of the input.
    """

    zero: Fraction = Fraction(0)
    stretch: Fraction = Fraction(1)
    seams: Sequence[Fraction] = ()
    end: Fraction | None = None

    def output(self, seconds: Fraction, *, part: int = 0) -> Fraction:
        """Return when something is shown; ``part`` counts the seams before it."""
        shift = self.seams[part - 1] if part else Fraction(0)
        return (seconds + shift - self.zero) * self.stretch


def clock_start(original: av.container.InputContainer) -> Fraction:
    """Return the time at which a stream begins that was cut out of a broadcast, whose clock starts anywhere; else 0.

    FFmpeg marks these containers (MPEG-TS, MPEG-PS, Ogg). In others a late start is meant: a player shows it.
    """
    flags, anywhere = int(original.format.flags), cast(int, Flags.ts_discont.value)
    if original.start_time is None or not flags & anywhere:
        return Fraction(0)
    return Fraction(original.start_time, av.time_base)


def other_packets(
    original: av.container.InputContainer,
    copied: dict[int, Any],
    clock: Clock,
    *,
    tracks: Sequence[TrackPlan],
    hides: bool,
) -> Iterator[Any]:
    """Yield the packets of the other tracks for the output.

    Args:
        copied: Streams of the output, by the number of the input's.
        tracks: What becomes of them.
        hides: The output can have sound that is not to be heard.
    """
    wanted = [stream for stream in original.streams if stream.index in copied and copied[stream.index].type in _TIMED]
    if not wanted:
        return
    parts = _Parts(len(clock.seams))
    latest: dict[int, int] = {}
    becomes = {track.index: track.becomes for track in tracks}
    stretchers = {
        stream.index: Stretcher(stream, copied[stream.index], clock)
        for stream in wanted
        if becomes[stream.index] == "stretched"
    }
    packets: Iterator[Any] = original.demux(wanted)
    for packet in packets:
        index = packet.stream.index
        if is_cover(packet.stream) and packet.size:
            packet.pts = packet.dts = 0
        elif index in stretchers:
            yield from stretchers[index].packets(packet)
            continue
        elif (packet.dts is None and packet.pts is None) or not _place(packet, clock, parts.of(packet), hides=hides):
            continue
        if latest.get(index, packet.dts - 1) >= packet.dts and packet.stream.type != "subtitle":
            continue  # two recordings that overlap
        latest[index] = packet.dts
        if becomes[index] is None:
            packet.stream = copied[index]
            yield packet
        else:
            yield from _rewritten(packet, copied[index])


class _Parts:
    """Counts the seams that each stream has passed."""

    def __init__(self, count: int) -> None:
        self._count, self._reached = count, 0
        self._latest: dict[int, Fraction] = {}
        self._part: dict[int, int] = {}

    def of(self, packet: Any) -> int:
        if not self._count:
            return 0
        index, seconds = packet.stream.index, (packet.pts if packet.dts is None else packet.dts) * packet.time_base
        jump = seconds - self._latest.get(index, seconds)
        self._latest[index] = seconds
        if jump < -_BACK_SECONDS or (jump > _AHEAD_SECONDS and packet.stream.type == "audio"):
            self._part[index] = min(self._part.get(index, 0) + 1, self._count)
            self._reached = max(self._reached, self._part[index])
        return self._part.get(index, 0 if packet.stream.type == "audio" else self._reached)


def _place(packet: Any, clock: Clock, part: int, *, hides: bool) -> bool:
    """Set the times of a packet to those of the output, and return whether it belongs there."""
    unit = packet.time_base
    decoded, shown = packet.pts if packet.dts is None else packet.dts, packet.pts
    begins = clock.output(decoded * unit, part=part)
    ends = begins + (packet.duration or 0) * unit * clock.stretch
    packet.dts = round(begins / unit)
    packet.pts = None if shown is None else round(clock.output(shown * unit, part=part) / unit)
    if clock.stretch != 1 and packet.duration:
        packet.duration = round(packet.duration * clock.stretch)
    if clock.end is not None:
        return 0 <= begins < clock.end
    return hides or not packet.is_discard or ends >= -_RUN_UP


def _rewritten(packet: Any, stream: Any) -> Iterator[Any]:
    """Yield a subtitle as one of the kind of a stream of the output."""
    words = packet.stream.codec_context.decode2(packet) if packet.size else None
    if words is None or not len(words):
        return
    made = stream.codec_context.encode_subtitle(words)
    length = packet.duration or round(Fraction(made.duration, 1000) / packet.time_base)
    plain = _FONT.fullmatch(bytes(made))
    if plain:
        made = av.Packet(plain[1])
    made.pts, made.dts, made.duration = packet.pts, packet.pts, length
    made.time_base, made.stream = packet.time_base, stream
    yield made
