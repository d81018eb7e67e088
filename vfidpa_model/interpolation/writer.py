"""Encoding frames as the input was: same picture format, colours and time stamps where the codec can."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.sidedata.sidedata import Type as SideDataType

from dataset_tools.common.files import atomic_writer
from dataset_tools.common.priority import usual_priority
from dataset_tools.video.pyav import side_data
from vfidpa_model.interpolation.colours import COLOUR_TAGS, is_rgb
from vfidpa_model.interpolation.segments import write_packet

_RGB, _BT709 = 0, 1  # in the same numbering
_LIMITED, _FULL = 1, 2


@dataclass(frozen=True)
class Encoding:
    """How the output's video stream is encoded.

    Attributes:
        codec: FFmpeg's name of the encoder.
        options: Its options.
        pix_fmt: Picture format.
        width, height: Stored size, before rotation.
        time_base: Unit of time stamps, in seconds.
        fps: Average frame rate, for rate control and headers.
        tags: Attributes of PyAV's codec context: colours and pixel shape.
        matrix: The input's display matrix (nine integers), or empty.
        metadata, disposition: Of the input's video stream: language, title, default or not.
    """

    codec: str
    options: dict[str, str]
    pix_fmt: str
    width: int
    height: int
    time_base: Fraction
    fps: Fraction
    tags: dict[str, Any] = field(default_factory=dict)
    matrix: tuple[int, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    disposition: int = 1

    def create(self) -> Any:
        """Return a new encoder (a PyAV codec context), open."""
        encoder: Any = av.CodecContext.create(self.codec, "w")
        self._configure(encoder)
        encoder.flags |= Flags.global_header
        with usual_priority():
            encoder.open()
        return encoder

    def add_stream(self, output: av.container.OutputContainer) -> Any:
        """Add the video stream to an output and return it."""
        stream: Any = output.add_stream(self.codec, rate=self.fps)
        self._configure(stream.codec_context)
        stream.time_base = self.time_base
        stream.metadata.update(self.metadata)
        stream.disposition = self.disposition
        if stream.codec_context.codec.canonical_name == "hevc" and output.format.name in ("mp4", "mov"):
            stream.codec_context.codec_tag = "hvc1"  # Apple's players do not take FFmpeg's default, "hev1"
        if self.matrix:
            stream.set_display_matrix(list(self.matrix))
        return stream

    def _configure(self, encoder: Any) -> None:
        encoder.width, encoder.height, encoder.pix_fmt = self.width, self.height, self.pix_fmt
        encoder.time_base, encoder.framerate = self.time_base, self.fps
        encoder.options = dict(self.options)
        for name, value in self.tags.items():
            setattr(encoder, name, value)


def describe_input(stream: Any, first: av.VideoFrame, pix_fmt: str) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Return the colour tags and pixel shape of the output, and its display matrix as it is stored.

    They are the input's, but for the matrix and range where RGB becomes YUV (BT.709, limited) or the other way.

    Args:
        pix_fmt: Picture format of the output.
    """
    context = stream.codec_context
    tags: dict[str, Any] = {name: int(getattr(context, name)) for name in COLOUR_TAGS}
    if is_rgb(av.VideoFormat(pix_fmt)):
        tags |= {"colorspace": _RGB, "color_range": _FULL}
    elif is_rgb(first.format):
        tags |= {"colorspace": _BT709, "color_range": _LIMITED}
    if stream.sample_aspect_ratio:
        tags["sample_aspect_ratio"] = stream.sample_aspect_ratio
    data = side_data(first, SideDataType.DISPLAYMATRIX)
    return tags, () if data is None else tuple(np.frombuffer(data, np.int32).tolist())


def write_piece(
    path: Path,
    encoding: Encoding,
    shown: Iterable[tuple[av.VideoFrame, int]],
    *,
    before_it_appears: Callable[[], None] = lambda: None,
) -> int:
    """Encode frames into a piece that appears when it is whole, and return their number.

    Args:
        shown: Frames, each with its presentation time in ticks of ``encoding.time_base``.
        before_it_appears: Called when all is encoded.
    """
    encoder = encoding.create()
    count = 0
    with atomic_writer(path) as file:
        for frame, ticks in shown:
            frame.pts, frame.time_base = ticks, encoding.time_base
            frame.pict_type = 0  # the input's choice of I, P and B pictures is not the output's
            for packet in encoder.encode(frame):
                write_packet(file, packet)
            count += 1
        if count:
            for packet in encoder.encode(None):
                write_packet(file, packet)
        before_it_appears()
    return count
