"""Encoding frames as the input was: same picture format, colours and time stamps where the codec can."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.codec
import av.error
import numpy as np
from av.codec.codec import find_best_pix_fmt_of_list
from av.codec.context import Flags
from av.sidedata.sidedata import Type as SideDataType

from dataset_tools.common.files import atomic_writer
from dataset_tools.errors import VideoError
from vfidpa_model.interpolation.colours import COLOUR_TAGS, has_alpha, is_deep, is_rgb
from vfidpa_model.interpolation.segments import write_packet

# Quality that shows no difference at normal size, at a speed well above that of any interpolator.
_OPTIONS: dict[str, dict[str, str]] = {
    # A resumed run must give the same stream, so x264 goes without what makes its bits depend on more than the frames:
    # mbtree reads memory that was never written (MALLOC_PERTURB_ changes the result), and with lookahead threads 20
    # encodings of one clip gave 10 results. The preset makes up for the speed of one thread.
    "libx264": {"crf": "18", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"},
    "libx265": {"crf": "20", "preset": "medium", "x265-params": "log-level=error"},
    "libvpx-vp9": {"crf": "28", "b": "0", "row-mt": "1", "cpu-used": "4"},
    "libsvtav1": {"crf": "28", "preset": "8"},
    "ffv1": {"level": "3"},
}
_RGB, _BT709 = 0, 1  # in the same numbering
_LIMITED, _FULL = 1, 2
_FOR_PLAYERS = ("libx264", "libx265", "libvpx-vp9", "libsvtav1")  # RGB is encoded as 4:2:0: little plays the rest


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
        """Return a new encoder (a PyAV codec context)."""
        encoder: Any = av.CodecContext.create(self.codec, "w")
        self._configure(encoder)
        encoder.flags |= Flags.global_header
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


def encoder_name(codec: str, *, container: str) -> str:
    """Return the name of the encoder that ``codec`` stands for ("h264" is libx264), after checking that it fits.

    Raises:
        VideoError: It is not in this build of FFmpeg, is not for video, or does not fit the container.
    """
    try:
        known = av.codec.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        known = None
    if known is None or known.type != "video":
        raise VideoError(f"codec {codec!r} is no video encoder of this FFmpeg; try {', '.join(_OPTIONS)}")
    with av.open(os.devnull, "w", format=container) as output:
        if known.canonical_name not in output.supported_codecs:
            raise VideoError(f"codec {codec!r} cannot be stored in {container}; choose another of the two")
    return known.name


def encoder_options(codec: str, crf: int | None) -> dict[str, str]:
    """Return the options for an encoder.

    Args:
        crf: Constant rate factor; ``None`` takes the default of the codec.

    Raises:
        VideoError: The encoder has no rate factor.
    """
    options = dict(_OPTIONS.get(codec, {}))
    if crf is not None:
        if "crf" not in options:
            raise VideoError(f"codec {codec!r} takes no --crf; leave it out")
        options["crf"] = str(crf)
    if codec == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only: it tells its settings for every piece otherwise
    return options


def picture_format(codec: str, first: av.VideoFrame) -> str:
    """Return the picture format to encode in: that of the input's first frame, else the closest the codec takes.

    Never one with transparency: made frames have none, so that it would come and go.
    """
    known = [fmt for fmt in av.codec.Codec(codec, "w").video_formats or () if fmt.components and not fmt.has_palette]
    names = [fmt.name for fmt in known if not has_alpha(fmt)]
    source = first.format.name
    colourless = source.startswith(("gray", "mono")) and not any(name.startswith("gray") for name in names)
    if codec in _FOR_PLAYERS and (is_rgb(first.format) or colourless):
        source = "yuv420p10le" if is_deep(first) else "yuv420p"
    if (first.width % 2 or first.height % 2) and codec in ("libx264", "libx265"):
        # these two need even sizes for halved chroma
        names = [name for name in names if "444" in name or name.startswith("gray")]
    closest, _ = find_best_pix_fmt_of_list(names, source, False)
    return closest.name if closest else source


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
    side_data: Any = first.side_data
    data = side_data.get(SideDataType.DISPLAYMATRIX)
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
