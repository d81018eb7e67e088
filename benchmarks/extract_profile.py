"""Where one extraction worker's time goes: ``python benchmarks/extract_profile.py CLIP [CLIP ...]``.

Every step that a worker takes, one after the other on one thread, in CPU milliseconds a frame (medians). Decoding, cut
detection and the search for combs are paid for every frame of the clip, the rest for every frame that is kept. Syncing
waits for the disk, so wall time is given beside CPU time. One Markdown table a clip.
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2

from dataset_tools.common.batches import publish, write_aside
from dataset_tools.common.memory import keep_freed_memory
from dataset_tools.frames import RESOLUTION_HEIGHTS, fingerprint, fit_height, pixels_sha256
from dataset_tools.frames.area import resize_area
from dataset_tools.frames.png import encode_png
from dataset_tools.video import open_video
from dataset_tools.video.cuts import signature
from dataset_tools.video.interlacing import is_combed

Result = TypeVar("Result")


class Clock:
    """Collects the CPU and wall milliseconds of each step."""

    def __init__(self) -> None:
        self.cpu: dict[str, list[float]] = defaultdict(list)
        self.wall: dict[str, list[float]] = defaultdict(list)

    def __call__(self, step: str, function: Callable[[], Result]) -> Result:
        cpu, wall = time.process_time(), time.perf_counter()
        result = function()
        self.wall[step].append((time.perf_counter() - wall) * 1000)
        self.cpu[step].append((time.process_time() - cpu) * 1000)
        return result


def profile(clip: Path, *, every: int, folder: Path) -> None:
    clock = Clock()
    written: list[tuple[Path, Path]] = []
    with open_video(clip) as reader:
        size = f"{reader.info.width}x{reader.info.height}"
        frames = reader.frames()
        while (frame := clock("decode", lambda: next(frames, None))) is not None:
            luma = frame.luma()
            clock("signature", lambda luma=luma: signature(luma))
            clock("combs", lambda luma=luma: is_combed(luma))
            if frame.index % every == 0:
                written += keep(frame.rgb, frame.index, clock=clock, folder=folder)
    clock("one sync for all files, and their names; a kept frame's share", lambda: publish(written))
    clock.cpu["decode"] = [sum(clock.cpu["decode"]) / len(clock.cpu["decode"])]  # its threads work ahead: the mean
    kept = len(clock.cpu["rgb"])
    for times in (clock.cpu, clock.wall):
        times[next(reversed(times))] = [times[next(reversed(times))][0] / kept]
    print(f"\n{clip.name}, {size}, {kept} frames kept\n\n| step | CPU ms | wall ms |\n| --- | --- | --- |")
    for step, values in clock.cpu.items():
        wall = statistics.median(clock.wall[step])
        print(f"| {step} | {statistics.median(values):.1f} | {wall:.1f} |")
    total = sum(statistics.median(values) for values in clock.cpu.values())
    print(f"| one frame decoded and kept | {total:.1f} | |")


def keep(rgb: Callable[[], object], index: int, *, clock: Clock, folder: Path) -> list[tuple[Path, Path]]:
    """Do what is done to a kept frame at every resolution that it reaches; return its files, to be published."""
    written = []
    pixels = clock("rgb", rgb)
    height, width = pixels.shape[:2]
    for tier, target in RESOLUTION_HEIGHTS.items():
        if target > height:
            continue
        size = fit_height(width, height, target_height=target)
        small = clock(f"area filter, {tier}", lambda size=size: resize_area(pixels, width=size[0], height=size[1]))
        clock(f"hash, {tier}", lambda small=small: pixels_sha256(small))
        clock(f"fingerprint, {tier}", lambda small=small: fingerprint(small))
        data = clock(f"PNG, {tier}", lambda small=small: encode_png(small))
        path = folder / f"{index}_{tier}.png"
        written.append((clock(f"write, {tier}", lambda path=path, data=data: write_aside(path, data)), path))
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--every", type=int, default=5, help="keep one frame of so many")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    keep_freed_memory()  # as a worker does
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for clip in arguments.clips:
            profile(clip, every=arguments.every, folder=Path(folder))


if __name__ == "__main__":
    main()
