"""Sound that lasts longer at the same pitch, for slow motion: decoded, stretched by FFmpeg's ``atempo``, encoded."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error

_CODECS = {"webm": "libopus"}  # by container; else AAC, which all the others hold
_USUAL_BIT_RATE = 192_000
_OPUS_RATE = 48_000
_LEAST_TEMPO = Fraction(1, 2)  # of one atempo filter


def add_stretched(track: Any, output: av.container.OutputContainer) -> Any:
    """Add a sound track to an output that will hold ``track`` stretched, and return it."""
    codec = _CODECS.get(output.format.name, "aac")
    context = track.codec_context
    rate = _OPUS_RATE if codec == "libopus" else context.sample_rate
    stream: Any = output.add_stream(codec, rate=rate, layout=context.layout.name)
    stream.bit_rate = max(context.bit_rate or 0, _USUAL_BIT_RATE)
    stream.metadata.update(track.metadata)
    stream.disposition = track.disposition
    return stream


class Stretcher:
    """Turns the packets of one sound track into those of a longer one."""

    def __init__(self, track: Any, stream: Any, clock: Any) -> None:
        """Stretch ``track`` for the output's ``stream``.

        Args:
            clock: A ``vfidpa_model.interpolation.copying.Clock``.
        """
        self._track, self._stream, self._clock = track, stream, clock
        self._graph: Any = None
        self._next: int | None = None  # number of the next sample of the output

    def packets(self, packet: Any) -> Iterator[Any]:
        """Yield what the output gets for a packet of the input; at the end give the empty one."""
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            frames = []  # damaged sound is left out, as players do
        for frame in frames:
            begins = self._clock.output(frame.pts * frame.time_base)
            if self._clock.end is not None and not 0 <= begins < self._clock.end:
                continue
            if self._graph is None:
                self._graph = self._begin(frame)
                self._next = round(begins * self._stream.codec_context.sample_rate)
            frame.pts = None
            self._graph.push(frame)
            yield from self._pull()
        if not packet.size and self._graph is not None:
            self._graph.push(None)
            yield from self._pull()
            yield from self._encoded(None)

    def _begin(self, frame: Any) -> Any:
        graph = av.filter.Graph()
        encoder = self._stream.codec_context
        nodes = [
            graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format.name,
                layout=frame.layout.name,
                time_base=Fraction(1, frame.sample_rate),
            )
        ]
        tempo = 1 / self._clock.stretch
        while tempo < _LEAST_TEMPO:
            nodes.append(graph.add("atempo", str(float(_LEAST_TEMPO))))
            tempo /= _LEAST_TEMPO
        nodes.append(graph.add("atempo", f"{float(tempo):.9f}"))
        wanted = f"sample_fmts={encoder.format.name}:sample_rates={encoder.sample_rate}"
        nodes.append(graph.add("aformat", f"{wanted}:channel_layouts={encoder.layout.name}"))
        nodes.append(graph.add("abuffersink"))
        graph.link_nodes(*nodes)
        graph.configure()
        if encoder.frame_size:
            graph.set_audio_frame_size(encoder.frame_size)
        return graph

    def _pull(self) -> Iterator[Any]:
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            frame.pts, frame.time_base = self._next, Fraction(1, frame.sample_rate)
            self._next += frame.samples
            yield from self._encoded(frame)

    def _encoded(self, frame: Any) -> Iterator[Any]:
        for packet in self._stream.encode(frame):
            packet.stream = self._stream
            yield packet
