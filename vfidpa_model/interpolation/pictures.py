"""Outputs that are no video files: numbered pictures, and pictures that move (GIF, APNG, WebP)."""

import os
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import av.filter

from dataset_tools.common.files import write_bytes
from dataset_tools.errors import VideoError
from vfidpa_model.interpolation.segments import read_piece

CODECS = {
    "png": "png",
    "jpg": "mjpeg",
    "jpeg": "mjpeg",
    "tif": "tiff",
    "tiff": "tiff",
    "bmp": "bmp",
    "webp": "libwebp",
}  # of numbered pictures, by ending
MOVING = {
    "gif": ("gif", Fraction(1, 100)),
    "apng": ("apng", Fraction(1, 1000)),
    "webp": ("libwebp_anim", Fraction(1, 1000)),
}
SHORTEST_GIF_STEP = Fraction(2, 100)  # shorter ones are shown at 10 per second by most programs
BETWEEN = "ffv1"  # what the pieces of a moving picture are kept in


def write_numbered(pieces: list[Path], target: Path) -> int:
    """Write each packet of the pieces, a whole picture, into a file, and return their number.

    Args:
        target: A pattern like ``folder/%06d.png``; the folder appears when it is whole, or gets the files one by one
            where it is there.
    """
    folder = target.parent
    making = folder if folder.exists() else folder.with_name(f".{folder.name}.new")
    making.mkdir(parents=True, exist_ok=True)
    count = 0
    try:
        for piece in pieces:
            for _, _, data, _ in read_piece(piece, with_data=True):
                count += 1
                write_bytes(making / (target.name % count), data, is_synced=False)
        if making != folder:
            os.replace(making, folder)
    finally:
        if making != folder:
            shutil.rmtree(making, ignore_errors=True)
    return count


def write_moving(pieces: list[Path], target: Path, *, kind: str, encoding: Any, options: dict[str, str]) -> int:
    """Write the pieces as a picture that moves for ever, and return the number of frames.

    Args:
        kind: ``gif``, ``apng`` or ``webp``.
        encoding: Of the pieces.
        options: For the encoder.
    """
    codec, unit = MOVING[kind]
    endless = {"plays": "0"} if kind == "apng" else {"loop": "0"}
    frames = _decoded(pieces, encoding, unit)
    if kind == "gif":
        palette = _palette(_decoded(pieces, encoding, unit))
        frames = _with_palette(frames, palette)
    count = 0
    with av.open(f"file:{target}", "w", format=kind, options=endless) as output:
        stream: Any = output.add_stream(codec, rate=encoding.fps, options=options)
        stream.width, stream.height = encoding.width, encoding.height
        stream.pix_fmt = {"gif": "pal8", "apng": "rgba" if encoding.pix_fmt == "bgra" else "rgb24"}.get(kind, "bgra")
        stream.codec_context.time_base = unit
        for frame in frames:
            count += 1
            picture = frame if kind == "gif" else _as(frame, stream.pix_fmt)
            for packet in stream.encode(picture):
                output.mux(packet)
        for packet in stream.encode():
            output.mux(packet)
    return count


def check_moving(kind: str, step: Fraction, target: Path) -> None:
    """Check that a moving picture can show frames ``step`` seconds apart.

    Raises:
        VideoError: It is a GIF, and they are too close.
    """
    if kind == "gif" and step < SHORTEST_GIF_STEP:
        raise VideoError(
            f"{float(1 / step):.4g} frames per second are more than a GIF shows ({int(1 / SHORTEST_GIF_STEP)}); give "
            f"--fps {int(1 / SHORTEST_GIF_STEP)}, or name {target.name} .webp or .apng"
        )


def _decoded(pieces: list[Path], encoding: Any, unit: Fraction) -> Iterator[av.VideoFrame]:
    encoder = encoding.create()
    for piece in pieces:
        decoder: Any = av.CodecContext.create(encoding.codec, "r")
        decoder.extradata, decoder.width, decoder.height = encoder.extradata, encoding.width, encoding.height
        for pts, _, data, _ in read_piece(piece, with_data=True):
            for frame in decoder.decode(av.Packet(data)):
                frame.pts, frame.time_base, frame.pict_type = round(pts * encoding.time_base / unit), unit, 0
                yield frame


def _as(frame: av.VideoFrame, pix_fmt: str) -> av.VideoFrame:
    picture = frame.reformat(format=pix_fmt)
    picture.pts, picture.time_base = frame.pts, frame.time_base
    return picture


def _palette(frames: Iterator[av.VideoFrame]) -> av.VideoFrame:
    """Return the 256 colours that fit all frames best, as FFmpeg's filter chooses them."""
    graph: Any = None
    for frame in frames:
        picture = _as(frame, "bgra")
        if graph is None:
            graph = av.filter.Graph()
            nodes = [_buffer(graph, picture), graph.add("palettegen", "reserve_transparent=1"), graph.add("buffersink")]
            graph.link_nodes(*nodes)
            graph.configure()
        graph.vpush(picture)
    graph.vpush(None)
    palette: av.VideoFrame = graph.vpull()
    return palette


def _with_palette(frames: Iterator[av.VideoFrame], palette: av.VideoFrame) -> Iterator[av.VideoFrame]:
    """Yield the frames in the colours of a palette."""
    graph: Any = None
    for frame in frames:
        picture = _as(frame, "bgra")
        if graph is None:
            graph = av.filter.Graph()
            source, colours = _buffer(graph, picture), _buffer(graph, palette)
            use, sink = graph.add("paletteuse", "dither=sierra2_4a"), graph.add("buffersink")
            source.link_to(use, 0, 0)
            colours.link_to(use, 0, 1)
            use.link_to(sink)
            graph.configure()
            palette.pts, palette.time_base = picture.pts, picture.time_base
            colours.push(palette)
            colours.push(None)
        source.push(picture)
        yield from _ready(graph)
    source.push(None)
    yield from _ready(graph)


def _buffer(graph: Any, like: av.VideoFrame) -> Any:
    return graph.add_buffer(width=like.width, height=like.height, format=like.format, time_base=Fraction(1, 100))


def _ready(graph: Any) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
