"""Between stored pictures and the RGB that networks see: both ways without a shift of brightness or colour."""

from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from vfidpa_model.interpolation import full_range

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]  # (height, width, 3 or 4) RGB or RGBA, full range

COLOUR_TAGS = ("color_range", "color_primaries", "color_trc", "colorspace")  # of codec contexts and of frames
# FFmpeg's tags for the YUV matrix, and swscale's names for them; all others are converted as BT.601.
_MATRICES = {1: Colorspace.ITU709, 4: Colorspace.FCC, 7: Colorspace.SMPTE240M, 9: Colorspace.BT2020}
_FULL = 2
# Without these flags swscale cuts off instead of rounding: luma comes back from 4:2:0 0.7 to 1.1 levels darker, at the
# same cost. With 16 bit per channel the chroma flags give garbage, and plain conversion is right to 0.1 level.
_ROUNDED = (
    Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)
# Into full-range chroma swscale rounds down, always: half a level in 8 bit, a thirtieth of one by way of 12 bit.
_FINER = {"yuv420p": "yuv420p12le", "yuv422p": "yuv422p12le"}
_FINEST = "yuv444p12le"


class FrameConverter:
    """Turns pixels into frames of the output's picture format and colours, and back."""

    def __init__(
        self, pix_fmt: str, tags: dict[str, Any], *, like: av.VideoFrame, size: tuple[int, int] | None = None
    ) -> None:
        """Convert frames like ``like`` to ``pix_fmt``.

        Args:
            tags: Their matrix and range, see ``COLOUR_TAGS``.
            size: Width and height of the output's frames; where larger, the last column and row are repeated.
        """
        self._pix_fmt, self._source, self._size = pix_fmt, like.format.name, size or (like.width, like.height)
        same = is_rgb(like.format) == is_rgb(av.VideoFormat(pix_fmt))
        self._tags = {name: int(getattr(like, name) if same else tags[name]) for name in COLOUR_TAGS}
        self._like_tags = {name: int(getattr(like, name)) for name in COLOUR_TAGS}
        self.deep = is_deep(like)
        alpha = has_alpha(like.format) and has_alpha(av.VideoFormat(pix_fmt))
        self._rgb = ("rgba64le" if self.deep else "rgba") if alpha else ("rgb48le" if self.deep else "rgb24")
        is_full = self._like_tags["color_range"] == _FULL and not is_rgb(like.format) and len(like.planes) > 1
        self._by_definition = self.deep and is_full and not alpha
        self._scalers: dict[str, VideoReformatter] = {}

    def pixels(self, frame: av.VideoFrame) -> Pixels:
        """Return a stored frame as RGB, 8 bit, or 16 bit for a deeper format; not rotated.

        Where both the input and the output have transparency it is the fourth channel.
        """
        if self._by_definition:
            full = self._scale("pixels", frame, full_range.BETWEEN, dst_color_range=_FULL)
            return full_range.to_rgb(full, self._like_tags["colorspace"])
        converted: Any = self._scale("pixels", frame, self._rgb).to_ndarray()
        return converted

    def made(self, pixels: Pixels) -> av.VideoFrame:
        """Return RGB pixels (as ``pixels`` gives them) as a frame of the output."""
        if self.deep:  # back by the way they came, then as the originals go: what one way shifts, the other shifts back
            if self._by_definition:
                full = full_range.from_rgb(pixels, self._like_tags["colorspace"])
                return self.original(self._tagged(self._scale("back", full, self._source, dst_color_range=_FULL)))
            frame = av.VideoFrame.from_ndarray(pixels, format=self._rgb)
            return self.original(self._convert("back", frame, self._source, self._like_tags))
        return self._enlarged(self._to_output(av.VideoFrame.from_ndarray(pixels, format=self._rgb)))

    def original(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return a stored frame as a frame of the output: itself, when format and size are the same."""
        return self._enlarged(frame if frame.format.name == self._pix_fmt else self._to_output(frame))

    def _enlarged(self, frame: av.VideoFrame) -> av.VideoFrame:
        if (frame.width, frame.height) == self._size:
            return frame
        larger = av.VideoFrame(*self._size, frame.format.name)
        bytes_each = -(-frame.format.components[0].bits // 8)
        for small, large in zip(frame.planes, larger.planes, strict=True):
            samples = np.frombuffer(memoryview(small), f"u{bytes_each}").reshape(small.height, -1)[:, : small.width]
            padding = large.line_size // bytes_each - small.width
            rows = np.pad(samples, ((0, large.height - small.height), (0, padding)), "edge")
            large.update(rows.tobytes())
        for name in COLOUR_TAGS:
            setattr(larger, name, getattr(frame, name))
        return larger

    def _tagged(self, frame: av.VideoFrame) -> av.VideoFrame:
        for name, value in self._like_tags.items():
            setattr(frame, name, value)
        return frame

    def _to_output(self, frame: av.VideoFrame) -> av.VideoFrame:
        made = self._convert("out", frame, self._pix_fmt, self._tags)
        if self._tags["color_range"] == _FULL and is_rgb(frame.format) and len(made.planes) > 1 and not is_deep(made):
            fine = self._convert("fine", frame, _FINER.get(self._pix_fmt.replace("yuvj", "yuv"), _FINEST), self._tags)
            chroma = self._scale("coarse", fine, self._pix_fmt, dst_color_range=_FULL)
            for plane, better in zip(made.planes[1:3], chroma.planes[1:3], strict=True):
                plane.update(bytes(better))
        return made

    def _convert(self, use: str, frame: av.VideoFrame, pix_fmt: str, tags: dict[str, int]) -> av.VideoFrame:
        matrix = _MATRICES.get(tags["colorspace"], Colorspace.ITU601)
        frame = self._scale(use, frame, pix_fmt, dst_colorspace=matrix, dst_color_range=tags["color_range"])
        for name, value in tags.items():
            setattr(frame, name, value)
        return frame

    def _scale(self, use: str, frame: av.VideoFrame, pix_fmt: str, **options: int) -> av.VideoFrame:
        scaler = self._scalers.setdefault(use, VideoReformatter())  # one per use: it is set up anew at each change
        flags = None if is_deep(frame) or av.VideoFormat(pix_fmt).components[0].bits > 8 else _ROUNDED
        return scaler.reformat(frame, format=pix_fmt, interpolation=flags, threads=1, **options)


def has_alpha(fmt: av.VideoFormat) -> bool:
    """Return whether a picture format has transparency."""
    return any(component.is_alpha for component in fmt.components)


def is_deep(frame: av.VideoFrame) -> bool:
    """Return whether a frame has more than 8 bits per channel."""
    return frame.format.components[0].bits > 8


def is_rgb(fmt: av.VideoFormat) -> bool:
    """Return whether a picture format stores red, green and blue, or a palette of them."""
    return fmt.is_rgb or fmt.has_palette
