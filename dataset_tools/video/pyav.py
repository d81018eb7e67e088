"""The default video reader: PyAV (FFmpeg), decoding forward with frame threads."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar, cast

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.format import Flags
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from dataset_tools.errors import VideoError
from dataset_tools.frames import Rgb
from dataset_tools.video.past_damage import DamageLog, decode_past_damage
from dataset_tools.video.reader import Luma, VideoFrame, VideoInfo, VideoReader

# Containers only: playlists and concat scripts could name other files, and text would be "played" by the tty demuxer.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,obu,ivf,ogg,flv,asf,"
    "yuv4mpegpipe,mxf,nut,gif,apng,m4v,dv,rm,wtv"
)
_DECODER_THREADS = 2  # frame threading: 1.3 times one thread on two cores; more gains nothing beside other work
_FALLBACK_FPS = Fraction(25)  # what FFmpeg assumes for a stream without time stamps and without a rate
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own give the picture alone
_LUMA_FIRST = ("yuv4", "yuvj4", "nv12", "nv21", "gray")

Sample = TypeVar("Sample", np.uint8, np.uint16)
Matrix = tuple[int, int, int, int]  # (a, b, c, d): x' = a x + c y, y' = b x + d y, each -1, 0 or 1
_IDENTITY: Matrix = (1, 0, 0, 1)


class PyavFrame(VideoFrame):
    """A frame of ``PyavReader``.

    ``rgb`` is FFmpeg's (swscale's) bilinear conversion, the one of PyAV's plain ``to_ndarray(format="rgb24")``: the
    stream's own matrix and range are honoured, an untagged stream is taken as BT.601 limited range, and 10-bit video
    is brought to 8 bit. Decoding is bit-equal on every CPU; this conversion uses the CPU's vector instructions: it
    gave the same bits with SSSE3 up to AVX-512, and up to 3 levels (3/255) less or more without any.

    Attributes:
        pts: Presentation time in seconds, exactly.
        raw: The picture as decoded, before rotation.
        matrix: How it is turned and mirrored.
    """

    __slots__ = ("_reformatter", "matrix", "pts", "raw")

    def __init__(
        self, index: int, pts: Fraction, *, raw: av.VideoFrame, matrix: Matrix, reformatter: VideoReformatter
    ) -> None:
        super().__init__(index, float(pts))
        self.pts, self.raw = pts, raw
        self.matrix = matrix
        self._reformatter = reformatter

    def rgb(self) -> Rgb:
        converted = self._reformatter.reformat(self.raw, format="rgb24", threads=1)
        return orient(converted.to_ndarray(), self.matrix)

    def with_picture(self, raw: av.VideoFrame) -> "PyavFrame":
        """Return the frame with another picture of the same shape."""
        return PyavFrame(self.index, self.pts, raw=raw, matrix=self.matrix, reformatter=self._reformatter)

    def luma(self) -> Luma:
        return orient(_luma_plane(self.raw, self._reformatter), self.matrix)


class PyavReader(VideoReader):
    """Reads a clip with PyAV; see ``dataset_tools.video.VideoReader``.

    Attributes:
        container, stream: PyAV's own objects, for those who need tags or other tracks.
        matrix: The turn and mirroring that the frames get.
        path: The clip.
    """

    def __init__(
        self,
        path: Path,
        *,
        damage: DamageLog | None = None,
        with_alpha: bool = False,
        container: av.container.InputContainer | None = None,
    ) -> None:
        """Open a clip.

        Args:
            damage: Read on behind damage and write it down here; without, damage is an error.
            container: The clip, opened already; ``path`` is then only its name.
            with_alpha: Decode transparency, too, where FFmpeg's own decoder leaves it out (VP8 and VP9 in Matroska).
        """
        self.path = path
        self._next_index = 0
        self._reformatter = VideoReformatter()
        self.container = open_container(path) if container is None else container
        try:
            self.stream = _first_video_stream(self.container, path)
            # Otherwise FFmpeg paints over what it cannot decode. Damage that decodes as another valid picture goes
            # unnoticed by any reader: most streams carry no checksum.
            self._decoder = _alpha_decoder(self.stream) if with_alpha else self.stream.codec_context
            self._decoder.options = {"err_detect": "explode"}
            self._decoder.thread_type = "FRAME"
            self._decoder.thread_count = _DECODER_THREADS
            self._is_avi = self.container.format.name == "avi"
            self._slots: deque[Fraction] = deque()
            self._decoded = self._decode() if damage is None else self._decode_on(damage)
            first = next(self._decoded, None)
            if first is None:
                raise VideoError(f"clip {path}: no frame can be decoded")
        except BaseException:
            self.container.close()
            raise
        self._pending: av.VideoFrame | None = first
        self._shape = (first.width, first.height)
        self.matrix = display_matrix(first, path)
        self.info = self._describe()

    def frames(self) -> Iterator[PyavFrame]:
        while True:
            raw = self._pending if self._pending is not None else next(self._decoded, None)
            self._pending = None
            if raw is None:
                return
            self._check_unchanged(raw)
            index, self._next_index = self._next_index, self._next_index + 1
            yield PyavFrame(index, self._pts(raw, index), raw=raw, matrix=self.matrix, reformatter=self._reformatter)

    def peek(self) -> av.VideoFrame:
        """Return the first picture as decoded, before any frame has been taken; its tags hold for the stream.

        Raises:
            ValueError: Frames have been taken.
        """
        if self._pending is None:
            raise ValueError("peek must come before frames")
        return self._pending

    def close(self) -> None:
        self._pending = None
        self._decoded.close()
        self.container.close()

    def _decode(self) -> Any:
        """Yield raw frames; the only place where FFmpeg's errors come up."""
        try:
            for packet in self.container.demux(self.stream):
                if packet.is_corrupt:
                    raise self._broken("a packet is damaged or cut off")
                if not packet.size and packet.pts is not None:
                    continue  # a repeated picture (Theora): for FFmpeg that would be the end
                self._note_slot(packet)
                for frame in self._decoder.decode(packet if packet.size else None):
                    frame.time_base = self.stream.time_base  # the last ones, got without a packet, have none
                    if frame.is_corrupt:
                        raise self._broken("a picture is damaged")
                    yield frame
        except (av.error.FFmpegError, OSError) as error:
            raise self._broken(_reason(error)) from error

    def _decode_on(self, damage: DamageLog) -> Any:
        packets = self.container.demux(self.stream)
        for frame in decode_past_damage(packets, self._decoder, damage, on_taken=self._note_slot):
            frame.time_base = self.stream.time_base
            yield frame

    def _note_slot(self, packet: Any) -> None:
        # An AVI stores no presentation times, and what the decoder makes of it with B-frames is out of order. Pictures
        # are stored in even steps, a step without one is empty: the n-th stored is the n-th shown.
        if self._is_avi and packet.size and packet.dts is not None:
            self._slots.append(packet.dts * packet.time_base)

    def _broken(self, reason: str) -> VideoError:
        return VideoError(f"clip {self.path}: cannot be decoded after {self._next_index} frames: {reason}")

    def _check_unchanged(self, raw: av.VideoFrame) -> None:
        if (raw.width, raw.height) != self._shape:
            raise VideoError(
                f"clip {self.path}: size changes from {self._shape[0]}x{self._shape[1]} to {raw.width}x{raw.height} "
                f"at frame {self._next_index}; cut it there into two clips"
            )
        if display_matrix(raw, self.path) != self.matrix:
            raise VideoError(f"clip {self.path}: rotation changes at frame {self._next_index}; cut it into two clips")

    def _pts(self, raw: av.VideoFrame, index: int) -> Fraction:
        if self._slots:
            return self._slots.popleft()
        if raw.pts is not None and raw.time_base is not None and not self._is_avi:
            return raw.pts * raw.time_base
        return index / self.usual_fps

    @property
    def usual_fps(self) -> Fraction:
        """Frames per second by the container, or a guess: for what has no time stamps and for rate control."""
        rates = [self.info.average_fps, self.stream.guessed_rate]
        bare = int(self.container.format.flags) & cast(int, Flags.no_timestamps.value)
        if bare or self._is_avi:  # the average is 25 for bare streams, and that of fields for H.264 in AVI
            rates.reverse()
        return rates[0] or rates[1] or _FALLBACK_FPS

    def _describe(self) -> VideoInfo:
        width, height = self._shape
        if self.matrix[0] == 0:
            width, height = height, width
        return VideoInfo(
            width=width,
            height=height,
            average_fps=self.stream.average_rate or None,
            rotation_degrees=rotation_degrees(self.matrix),
            num_frames_from_header=self.stream.frames or None,
        )


def open_container(path: Path) -> av.container.InputContainer:
    """Open a media file for reading: local files in known containers only.

    Raises:
        VideoError: The file is missing, unreadable, or not in a known container.
    """
    # "file:" keeps a name like "http:x" or "concat:x" a file name.
    try:
        return av.open(f"file:{path}", container_options={"protocol_whitelist": "file", "format_whitelist": _FORMATS})
    except av.error.ArgumentError as error:  # how FFmpeg answers for what is not in the whitelist
        raise VideoError(
            f"clip {path}: cannot be opened: no video file of a known kind; pictures, also moving WebP, "
            "have to be made into a video first"
        ) from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"clip {path}: cannot be opened: {_reason(error)}") from error


def display_matrix(frame: av.VideoFrame, path: Path) -> Matrix:
    """Return the turn and mirroring a player applies to a stored picture.

    Raises:
        VideoError: The picture is to be turned by something else than quarter turns, or sheared.
    """
    data = side_data(frame, SideDataType.DISPLAYMATRIX)
    if data is None:
        return _IDENTITY
    # Nine int32: a b u, c d v, x y w; a to d are 16.16 fixed point, so "1" is 65536. Some writers scale, too: only the
    # turn counts, since every frame is handed out with the pixels it has.
    stored = np.frombuffer(data, np.int32)[[0, 1, 3, 4]] / 65536
    a, b, c, d = (round(value) for value in (stored / (np.abs(stored).max() or 1)).tolist())
    if (abs(a), abs(b), abs(c), abs(d)) not in ((1, 0, 0, 1), (0, 1, 1, 0)):
        raise VideoError(f"clip {path}: display matrix {a, b, c, d} must be quarter turns or mirrorings")
    return a, b, c, d


def side_data(frame: av.VideoFrame, kind: SideDataType) -> Any:
    """Return what is stored beside a picture, or ``None``."""
    try:
        return cast(Any, frame.side_data).get(kind)
    except ValueError:  # PyAV does not know all kinds: of EXIF in TIFF and JPEG it gives up
        return None


def rotation_degrees(matrix: Matrix) -> int:
    """Return the clockwise turn of a display matrix in degrees: 0, 90, 180 or 270 (mirroring aside)."""
    a, b, _, d = matrix
    if a == 0:
        return 90 if b > 0 else 270
    return 180 if a < 0 and d < 0 else 0


def is_mirrored(matrix: Matrix) -> bool:
    """Return whether a display matrix mirrors the picture, turned or not."""
    a, b, c, d = matrix
    return a * d - b * c < 0


def orient(picture: np.ndarray, matrix: Matrix) -> np.ndarray:
    """Return ``picture``, (height, width) or (height, width, 3), turned and mirrored as ``matrix`` says."""
    if matrix == _IDENTITY:
        return picture
    a, b, c, d = matrix
    if a == 0:
        picture, flip_rows, flip_columns = picture.swapaxes(0, 1), b < 0, c < 0
    else:
        flip_rows, flip_columns = d < 0, a < 0
    return np.ascontiguousarray(picture[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])


def _luma_plane(frame: av.VideoFrame, reformatter: VideoReformatter) -> Luma:
    name = frame.format.name
    if not name.startswith(_LUMA_FIRST) or name.endswith("be") or frame.format.components[0].bits > 16:
        frame = reformatter.reformat(frame, format="gray", threads=1)
    plane = frame.planes[0]
    bits = frame.format.components[0].bits
    if bits == 8:
        return _rows(plane, np.uint8)[: frame.height, : frame.width]
    return (_rows(plane, np.uint16)[: frame.height, : frame.width] >> (bits - 8)).astype(np.uint8)


def _rows(plane: av.video.plane.VideoPlane, sample: type[Sample]) -> npt.NDArray[Sample]:
    return np.frombuffer(memoryview(plane), sample).reshape(-1, plane.line_size // np.dtype(sample).itemsize)


def _first_video_stream(container: av.container.InputContainer, path: Path) -> VideoStream:
    # The first one, always: FFmpeg's "best" stream depends on size and bit rate, and cover pictures are not video.
    for stream in container.streams.video:
        if not stream.disposition & stream.disposition.attached_pic:
            if stream.codec_context is None:
                raise VideoError(f"clip {path}: no decoder for its video stream")
            return stream
    raise VideoError(f"clip {path}: no video stream")


def _alpha_decoder(stream: VideoStream) -> Any:
    """Return the decoder of a stream, the one that knows of its transparency where there is any."""
    own: Any = stream.codec_context
    library = _ALPHA_DECODERS.get(own.codec.canonical_name)
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    if library is None or tags.get("alpha_mode") != "1":
        return own
    try:
        decoder: Any = av.CodecContext.create(library, "r")
    except av.codec.codec.UnknownCodecError:
        return own
    decoder.extradata = own.extradata
    return decoder


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
