"""PNG writers beside each other: ``python benchmarks/png_writers.py CLIP [CLIP ...]``.

One real frame of each clip, at every resolution that it reaches; CPU milliseconds a frame (the better of two, one
thread) and bytes relative to OpenCV's writer with the filter "up", which the toolkit used before. Every file is read
back and compared. fpng, imagecodecs, zlib-ng and deflate take part where they are installed; the toolkit does not
need them.
"""

import argparse
import importlib.util
import io
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from isal import isal_zlib
from PIL import Image

from dataset_tools.frames import RESOLUTION_HEIGHTS, Rgb, fit_height
from dataset_tools.frames.area import resize_area
from dataset_tools.frames.png import encode_png
from dataset_tools.video import open_video

Writer = Callable[[Rgb], bytes]
REFERENCE = "OpenCV, up, run lengths (as before)"


def opencv(*flags: int) -> Writer:
    return lambda rgb: cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), flags)[1].tobytes()


def pillow(rgb: Rgb) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=1, compress_type=3)
    return buffer.getvalue()


def ffmpeg(rgb: Rgb) -> bytes:
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt = rgb.shape[1], rgb.shape[0], "rgb24"
    codec.time_base, codec.thread_count = Fraction(1, 25), 1
    codec.options = {"pred": "up", "compression_level": "1"}
    packets = [*codec.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")), *codec.encode(None)]
    return b"".join(bytes(packet) for packet in packets)


def repacked(pack: Callable[[bytes], bytes]) -> Writer:
    """Return our writer with another deflate in place of ISA-L's."""

    def write(rgb: Rgb) -> bytes:
        import dataset_tools.frames.png as ours

        isal = ours.isal_zlib

        class Other:
            crc32 = staticmethod(isal_zlib.crc32)
            compress = staticmethod(lambda data, level: pack(data))

        ours.isal_zlib = Other  # type: ignore[misc]
        try:
            return encode_png(rgb)
        finally:
            ours.isal_zlib = isal  # type: ignore[misc]

    return write


def writers() -> dict[str, Writer]:
    found: dict[str, Writer] = {
        REFERENCE: opencv(19, 32),
        "OpenCV's default (left neighbour)": opencv(),
        "OpenCV, up, level 1": opencv(16, 1, 19, 32),
        "OpenCV, up, Huffman only": opencv(19, 32, 17, 2),
        "OpenCV, best filter of each row": opencv(19, 248, 17, 3),
        "Pillow, level 1, run lengths": pillow,
        "PyAV (FFmpeg), up, level 1": ffmpeg,
        "**ISA-L level 1, up (the toolkit's)**": encode_png,
    }
    for level in (0, 2, 3):
        found[f"ISA-L level {level}, up"] = repacked(lambda data, level=level: isal_zlib.compress(data, level))
    if importlib.util.find_spec("fpng"):
        import fpng

        found["fpng 0.1 (alpha)"] = fpng.from_ndarray
    if importlib.util.find_spec("imagecodecs"):
        import imagecodecs

        found["imagecodecs png, up, run lengths"] = lambda x: imagecodecs.png_encode(x, level=1, strategy=3, filter=32)
        found["imagecodecs spng, level 1"] = lambda x: imagecodecs.spng_encode(x, level=1)
    if importlib.util.find_spec("zlib_ng"):
        from zlib_ng import zlib_ng

        def runs(data: bytes) -> bytes:
            packer = zlib_ng.compressobj(1, zlib_ng.DEFLATED, 15, 9, 3)
            return packer.compress(data) + packer.flush()

        found["zlib-ng, up, run lengths"] = repacked(runs)
    if importlib.util.find_spec("deflate"):
        import deflate

        found["libdeflate level 1, up"] = repacked(lambda data: bytes(deflate.zlib_compress(bytes(data), 1)))
    return found


def real_frames(clips: list[Path], *, index: int) -> dict[str, list[Rgb]]:
    frames: dict[str, list[Rgb]] = {tier: [] for tier in RESOLUTION_HEIGHTS}
    for clip in clips:
        with open_video(clip) as reader:
            rgb = next(frame.rgb() for frame in reader.frames() if frame.index == index)
        height, width = rgb.shape[:2]
        for tier, target in RESOLUTION_HEIGHTS.items():
            if target <= height:
                size = fit_height(width, height, target_height=target)
                frames[tier].append(resize_area(rgb, width=size[0], height=size[1]))
    return {tier: members for tier, members in frames.items() if members}


def measure(write: Writer, frames: list[Rgb]) -> tuple[float, int]:
    """Return CPU milliseconds a frame, and bytes of all."""
    milliseconds, size = 0.0, 0
    for rgb in frames:
        taken = []
        for _ in range(2):
            started = time.process_time()
            data = write(rgb)
            taken.append((time.process_time() - started) * 1000)
        if not np.array_equal(np.asarray(Image.open(io.BytesIO(data))), rgb):
            raise SystemExit("the file does not hold the pixels")
        milliseconds, size = milliseconds + min(taken), size + len(data)
    return milliseconds / len(frames), size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--frame", type=int, default=40, help="which frame of each clip")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    frames = real_frames(arguments.clips, index=arguments.frame)
    heads = [f"{tier} ({len(members)} frames)" for tier, members in frames.items()]
    print(f"| CPU ms a frame, bytes | {' | '.join(heads)} |\n|{' --- |' * (len(heads) + 1)}")
    reference: dict[str, int] = {}
    for name, write in writers().items():
        cells = []
        for tier, members in frames.items():
            milliseconds, size = measure(write, members)
            reference.setdefault(tier, size)
            cells.append(f"{milliseconds:.1f}, {size / reference[tier]:.2f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
