"""Clips on which readers go wrong, made with PyAV. Every frame carries its number, so that a wrong frame is proven.

``python -m tests.dataset_tools.tricky_clips FOLDER`` writes them all, to try another reader on them.
"""

import os
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

from dataset_tools.common.priority import usual_priority
from dataset_tools.frames import Rgb

os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder tells its settings on stderr otherwise

WIDTH, HEIGHT, FPS, COUNT = 160, 96, 24, 24
_COLUMNS, _ROWS = 4, 3  # cell 0 is white and cell 1 black, so that no turn or mirroring reads as a number
_X264_OPEN = {"x264-params": "open-gop=1:keyint=8:min-keyint=8:scenecut=0:bframes=3:b-adapt=0:threads=1", "qp": "20"}
_X264_CLOSED = {"x264-params": "keyint=8:min-keyint=8:scenecut=0:bframes=3:b-adapt=0:threads=1", "qp": "20"}
_X265_OPEN = {
    "x265-params": "open-gop=1:keyint=8:min-keyint=8:scenecut=0:bframes=3:b-adapt=0:pools=1:frame-threads=1:"
    "log-level=none:qp=20"
}


@dataclass(frozen=True)
class Tricky:
    """One clip and the truth about it.

    Attributes:
        make: Writes the clip to a path.
        numbers: The frames a player shows, in order; ``None`` where the clip must be refused.
        size: (width, height) after rotation.
        decord: Whether decord is expected to read it; otherwise it has to refuse it.
    """

    make: Callable[[Path], None]
    numbers: Sequence[int] | None = tuple(range(COUNT))
    size: tuple[int, int] = (WIDTH, HEIGHT)
    decord: bool = True


def numbered_frame(number: int, width: int = WIDTH, height: int = HEIGHT) -> Rgb:
    """Return a frame with a moving, textured ground and ``number`` (0 to 1023) as black and white cells."""
    y, x = np.mgrid[:height, :width]
    ground = 128 + 40 * np.sin((x + 3 * number) / 5.0) + 40 * np.cos((y - 2 * number) / 7.0)
    picture = np.stack([ground, 255 - ground, np.roll(ground, 9, 1)], axis=-1).astype(np.uint8)
    bits = [1, 0, *((number >> bit) & 1 for bit in range(10))]
    for cell, bit in zip(_cells(width, height), bits, strict=True):
        picture[cell] = 235 * bit + 10
    return picture


def read_number(rgb: Rgb) -> int:
    """Return the number on a frame, or -1 when the marks are not where they belong (turned, mirrored, not a frame)."""
    levels = [float(rgb[cell].mean()) for cell in _cells(rgb.shape[1], rgb.shape[0])]
    if not (levels[0] > 200 and levels[1] < 55) or any(55 <= level <= 200 for level in levels):
        return -1
    return sum(1 << bit for bit, level in enumerate(levels[2:]) if level > 128)


def _cells(width: int, height: int) -> list[tuple[slice, slice]]:
    w, h = width // (_COLUMNS + 1), height // (_ROWS + 1)
    return [
        (slice(row * h + h // 2 + 4, row * h + h // 2 + h - 4), slice(col * w + w // 2 + 4, col * w + w // 2 + w - 4))
        for row in range(_ROWS)
        for col in range(_COLUMNS)
    ]


def write_clip(
    path: Path,
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    numbers: Sequence[int] = range(COUNT),
    size: tuple[int, int] = (WIDTH, HEIGHT),
    pix_fmt: str = "yuv420p",
    pts: Sequence[int] | None = None,
    container: dict[str, str] | None = None,
    rotation: int = 0,
    mirrored: bool = False,
    second: tuple[int, int] | None = None,
) -> None:
    """Encode numbered frames.

    Args:
        size: Upright size; ``rotation`` (clockwise, as a player applies it) stores them turned back, ``mirrored``
            stores them mirrored.
        pts: Time stamps in 1/24 s; consecutive by default.
        second: Size of a second video stream, showing other numbers.
    """
    with usual_priority(), av.open(str(path), "w", container_options=container or {}) as output:
        turned = size[::-1] if rotation in (90, 270) else size
        streams = [_add_stream(output, codec, turned, pix_fmt, options if options is not None else _X264_CLOSED)]
        if rotation:
            streams[0].set_display_rotation(-rotation)
        if mirrored:
            streams[0].set_display_rotation(0, hflip=True)
        if second:
            streams.append(_add_stream(output, codec, second, pix_fmt, options or _X264_CLOSED))
        for position, number in enumerate(numbers):
            for stream in streams:
                shown = number if stream is streams[0] else 1000
                upright = numbered_frame(shown, *(size if stream is streams[0] else second or size))
                stored = np.rot90(upright, rotation // 90)[:, :: -1 if mirrored else 1]
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(stored), format="rgb24").reformat(
                    format=pix_fmt
                )
                frame.pts, frame.time_base = (pts[position] if pts else position), Fraction(1, FPS)
                output.mux(stream.encode(frame))
        for stream in streams:
            output.mux(stream.encode())


def _add_stream(
    output: av.container.OutputContainer, codec: str, size: tuple[int, int], pix_fmt: str, options: dict[str, str]
) -> VideoStream:
    stream = output.add_stream(codec, rate=FPS, options=options)
    stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
    stream.codec_context.time_base = Fraction(1, FPS)
    stream.codec_context.thread_count = 1
    return stream


def copy_packets(source: Path, path: Path, *, skip: int = 0) -> None:
    """Copy the packets of a clip into another container, without the first ``skip`` of them."""
    with av.open(str(source)) as clip, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(clip.streams.video[0])
        for number, packet in enumerate(packet for packet in clip.demux(video=0) if packet.size):
            if number >= skip:
                packet.stream = stream
                output.mux(packet)


def _edit_list(path: Path) -> None:
    write_clip(path, container={"video_track_timescale": "24000"})
    data = bytearray(path.read_bytes())
    at = data.index(b"elst")
    # version and flags, number of entries, then duration, media time: the edit starts 10 frames later
    media_time = struct.unpack_from(">i", data, at + 16)[0]
    struct.pack_into(">i", data, at + 16, media_time + 10 * 1000)
    path.write_bytes(bytes(data))


def _without_first_keyframe(path: Path) -> None:
    whole = path.with_name(f"whole-{path.name}")
    write_clip(whole)
    copy_packets(whole, path, skip=3)
    whole.unlink()


def _wrong_count(path: Path) -> None:
    write_clip(path, codec="mpeg4", options={"g": "8", "qscale": "2", "bf": "0"})
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"avih") + 8 + 16, 9)
    struct.pack_into("<I", data, data.index(b"strh") + 8 + 32, 9)
    path.write_bytes(bytes(data))


def _truncated(path: Path) -> None:
    write_clip(path, container={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])


def _damaged(path: Path) -> None:
    write_clip(path, container={"movflags": "faststart"})
    with av.open(str(path)) as clip:
        position = [packet.pos for packet in clip.demux(video=0)][9]
    data = bytearray(path.read_bytes())
    data[position + 100 : position + 4196] = bytes(4096)  # a lost disk block
    path.write_bytes(bytes(data))


def _size_change(path: Path) -> None:
    parts = [path.with_name(f"{name}-{path.name}") for name in ("a", "b")]
    write_clip(parts[0])
    write_clip(parts[1], size=(192, 128), pts=range(COUNT, 2 * COUNT))
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    for part in parts:
        part.unlink()


def _audio_only(path: Path) -> None:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=48000, layout="mono")
        for block in range(20):
            wave = np.sin(np.arange(1024) / 20.0, dtype=np.float32)[None]
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, 1024 * block
            output.mux(stream.encode(frame))
        output.mux(stream.encode())


def _clip(**options: object) -> Callable[[Path], None]:
    return lambda path: write_clip(path, **options)  # type: ignore[arg-type]


VARIABLE_PTS = [0, 1, 2, 5, 6, 10, 11, 12, 13, 20, 21, 22, 23, 24, 30, 31, 33, 35, 36, 40, 41, 45, 46, 50]

TRICKY: dict[str, Tricky] = {
    "plain.mp4": Tricky(_clip()),
    "open_gop.mp4": Tricky(_clip(options=_X264_OPEN)),
    "open_gop.mkv": Tricky(_clip(options=_X264_OPEN)),
    "open_gop_hevc.mp4": Tricky(_clip(codec="libx265", options=_X265_OPEN)),
    "open_gop_hevc.mkv": Tricky(_clip(codec="libx265", options=_X265_OPEN)),
    "open_gop.ts": Tricky(_clip(options=_X264_OPEN), decord=False),
    "variable_rate.mp4": Tricky(_clip(pts=VARIABLE_PTS)),
    "variable_rate.mkv": Tricky(_clip(pts=VARIABLE_PTS)),
    "edit_list.mp4": Tricky(_edit_list, numbers=tuple(range(10, COUNT)), decord=False),
    "no_first_keyframe.mkv": Tricky(_without_first_keyframe, numbers=tuple(range(8, COUNT)), decord=False),
    "no_first_keyframe.ts": Tricky(_without_first_keyframe, numbers=tuple(range(8, COUNT)), decord=False),
    "rotated_90.mp4": Tricky(_clip(rotation=90, size=(HEIGHT, WIDTH)), size=(HEIGHT, WIDTH)),
    "rotated_180.mp4": Tricky(_clip(rotation=180)),
    "rotated_270.mov": Tricky(_clip(rotation=270, size=(HEIGHT, WIDTH)), size=(HEIGHT, WIDTH)),
    "mirrored.mp4": Tricky(_clip(mirrored=True), decord=False),
    "odd_size_vp9.webm": Tricky(
        _clip(codec="libvpx-vp9", options={"crf": "10", "b": "0", "cpu-used": "8"}, size=(159, 95)), size=(159, 95)
    ),
    "av1.mp4": Tricky(_clip(codec="libsvtav1", options={"preset": "10", "crf": "5"}), decord=False),
    "ten_bit_hevc.mp4": Tricky(_clip(codec="libx265", options=_X265_OPEN, pix_fmt="yuv420p10le")),
    "full_range_444.mkv": Tricky(_clip(codec="mjpeg", options={"qscale": "2"}, pix_fmt="yuvj444p")),
    "rgb.mkv": Tricky(_clip(codec="ffv1", options={}, pix_fmt="bgr0")),
    "wrong_count.avi": Tricky(_wrong_count, decord=False),
    "b_frames.avi": Tricky(_clip(), decord=False),
    "portrait.mp4": Tricky(_clip(size=(HEIGHT, WIDTH)), size=(HEIGHT, WIDTH)),
    "interlaced.mkv": Tricky(_clip(codec="mpeg2video", options={"flags": "+ilme+ildct", "b": "4M", "g": "8"})),
    "two_videos.mkv": Tricky(_clip(second=(320, 192)), decord=False),
    "one_frame.mp4": Tricky(_clip(numbers=(5,)), numbers=(5,)),
    "truncated.mp4": Tricky(_truncated, numbers=None),
    "damaged.mp4": Tricky(_damaged, numbers=None),
    "size_change.ts": Tricky(_size_change, numbers=None),
    "size_change.h264": Tricky(_size_change, numbers=None),
    "raw_stream.h264": Tricky(_clip(options=_X264_OPEN), decord=False),
    "audio_only.mp4": Tricky(_audio_only, numbers=None),
    "empty.mp4": Tricky(lambda path: path.write_bytes(b"") and None, numbers=None),
    "text.mp4": Tricky(lambda path: path.write_text("not a video\n" * 200) and None, numbers=None),
    "playlist.mp4": Tricky(
        lambda path: path.write_text("ffconcat version 1.0\nfile plain.mp4\n") and None, numbers=None
    ),
    "missing.mp4": Tricky(lambda path: None, numbers=None),
}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, tricky in TRICKY.items():
        tricky.make(folder / name)
