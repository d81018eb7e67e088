"""Encoding frames as the input was: same picture format, colours and time stamps where the codec can."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.codec
import av.error
import numpy as np
import numpy.typing as npt
from av.codec.context import Flags
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import Colorspace, VideoReformatter

from dataset_tools.errors import VideoError
from dataset_tools.files import atomic_writer
from vfidpa_model.segments import supported_codecs, write_packet

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
# FFmpeg's tags for the YUV matrix, and swscale's names for them; all others are converted as BT.601.
_MATRICES = {1: Colorspace.ITU709, 4: Colorspace.FCC, 7: Colorspace.SMPTE240M, 9: Colorspace.BT2020}
_UNSPECIFIED = 2

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]  # (height, width, 3) RGB, full range


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
        if self.matrix:
            stream.set_display_matrix(list(self.matrix))
        return stream

    def _configure(self, encoder: Any) -> None:
        encoder.width, encoder.height, encoder.pix_fmt = self.width, self.height, self.pix_fmt
        encoder.time_base, encoder.framerate = self.time_base, self.fps
        encoder.options = dict(self.options)
        for name, value in self.tags.items():
            setattr(encoder, name, value)


def encoder_options(codec: str, crf: int | None, *, container: str) -> dict[str, str]:
    """Return the options for an encoder after checking that it is there.

    Args:
        crf: Constant rate factor; ``None`` takes the default of the codec.

    Raises:
        VideoError: The encoder is not in this build of FFmpeg, is not for video, does not fit the container, or has
            no rate factor.
    """
    try:
        known = av.codec.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        known = None
    if known is None or known.type != "video":
        raise VideoError(f"codec {codec!r} is no video encoder of this FFmpeg; try {', '.join(_OPTIONS)}")
    if known.canonical_name not in supported_codecs(container):
        raise VideoError(f"codec {codec!r} cannot be stored in {container}; choose another of the two")
    options = dict(_OPTIONS.get(codec, {}))
    if crf is not None:
        if "crf" not in options:
            raise VideoError(f"codec {codec!r} takes no --crf; leave it out")
        options["crf"] = str(crf)
    return options


def picture_format(codec: str, first: av.VideoFrame) -> str:
    """Return the picture format to encode in: that of the input's first frame, else the closest the codec takes."""
    formats = [known.name for known in av.codec.Codec(codec, "w").video_formats or ()]
    source = first.format.name
    wanted = [source, source.replace("yuvj", "yuv")]  # "yuvj" is the old way to say full range
    if (first.width % 2 or first.height % 2) and codec in ("libx264", "libx265"):
        wanted = [name for name in wanted if "444" in name]  # these two need even sizes for halved chroma
        wanted += ["yuv444p10le", "yuv444p"] if _is_deep(first) else ["yuv444p"]
    wanted += ["yuv420p10le", "yuv422p10le", "yuv420p"] if _is_deep(first) else ["yuv420p"]
    return next((name for name in wanted if not formats or name in formats), formats[0] if formats else source)


def describe_input(stream: Any, first: av.VideoFrame) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Return the colour tags and pixel shape of a stream, and its display matrix as it is stored."""
    context = stream.codec_context
    names = ("color_range", "color_primaries", "color_trc", "colorspace")
    tags: dict[str, Any] = {name: int(getattr(context, name)) for name in names}
    if stream.sample_aspect_ratio:
        tags["sample_aspect_ratio"] = stream.sample_aspect_ratio
    side_data: Any = first.side_data
    data = side_data.get(SideDataType.DISPLAYMATRIX)
    return tags, () if data is None else tuple(np.frombuffer(data, np.int32).tolist())


class FrameConverter:
    """Turns pixels into frames of the output's picture format and colours, and back."""

    def __init__(self, pix_fmt: str, *, like: av.VideoFrame) -> None:
        """Convert to ``pix_fmt`` with the matrix and range of ``like``."""
        self._pix_fmt, self._like = pix_fmt, like
        self._matrix = _MATRICES.get(int(like.colorspace), Colorspace.ITU601)
        self._range = int(like.color_range)
        self.deep = _is_deep(like)
        self._to_rgb, self._to_yuv = VideoReformatter(), VideoReformatter()

    def pixels(self, frame: av.VideoFrame) -> Pixels:
        """Return a stored frame as RGB, 8 bit, or 16 bit for a deeper format; not rotated."""
        name = "rgb48le" if self.deep else "rgb24"
        converted: Any = self._to_rgb.reformat(frame, format=name, threads=1).to_ndarray()
        return converted

    def made(self, pixels: Pixels) -> av.VideoFrame:
        """Return RGB pixels (as ``pixels`` gives them) as a frame of the output."""
        return self._convert(av.VideoFrame.from_ndarray(pixels, format="rgb48le" if self.deep else "rgb24"))

    def original(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return a stored frame as a frame of the output: itself, when the format is the same."""
        return frame if frame.format.name == self._pix_fmt else self._convert(frame)

    def _convert(self, frame: av.VideoFrame) -> av.VideoFrame:
        frame = self._to_yuv.reformat(
            frame, format=self._pix_fmt, dst_colorspace=self._matrix, dst_color_range=self._range, threads=1
        )
        for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
            setattr(frame, name, getattr(self._like, name))
        return frame


def write_piece(path: Path, encoding: Encoding, shown: Iterable[tuple[av.VideoFrame, int]]) -> int:
    """Encode frames into a piece that appears when it is whole, and return their number.

    Args:
        shown: Frames, each with its presentation time in ticks of ``encoding.time_base``.
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
    return count


def _is_deep(frame: av.VideoFrame) -> bool:
    return frame.format.components[0].bits > 8
