"""Extraction against its limit: ``python benchmarks/extract_throughput.py --clips FOLDER|CLIP ...``.

The limit is bare decoding of the clips (forward, only the kept frames converted to RGB) plus bare PNG encoding of
exactly the images that are stored, shared out over the same number of processes, without start, search for cuts,
resizing, hashing, syncing and manifest. Extraction and limit are run in turns; medians, one Markdown table, the aim
beside what was reached. There are three limits: with the writer that the toolkit uses; the same with what every stored
frame needs besides, its size and its SHA-256; and with the writer used before (OpenCV, filter "up"), which the aims
were set for and which took 3.5 times as long.
"""

import argparse
import collections
import contextlib
import multiprocessing
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2

from dataset_tools import extract
from dataset_tools.assets import fetch_demo_clips
from dataset_tools.common.cores import num_cores
from dataset_tools.frames import Rgb, pixels_sha256, read_image
from dataset_tools.frames.area import resize_area
from dataset_tools.frames.png import encode_png
from dataset_tools.manifest import read_manifest
from dataset_tools.video import open_video

Images = list[Path]
Sizes = dict[int, set[tuple[int, int]]]  # of each frame that is stored: (width, height) of its images
Job = tuple[Path, Sizes, Images]
AIM, AIM_1080P60 = 0.85, 0.8  # of the limit, with two workers


def encode_as_before(rgb: Rgb) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), (19, 32))[1].tobytes()


def bare_clip(job: Job) -> tuple[int, list[float]]:
    """Decode a clip and encode its images; return the process and the seconds of just these, for each limit."""
    cv2.setNumThreads(1)
    clip, sizes, images = job
    needed = 0.0
    start = time.perf_counter()
    with open_video(clip) as reader:
        for frame in reader.frames():
            if frame.index in sizes:
                rgb = frame.rgb()
                since = time.perf_counter()
                for width, height in sizes[frame.index]:
                    pixels_sha256(resize_area(rgb, width=width, height=height))
                needed += time.perf_counter() - since
    decoding = time.perf_counter() - start - needed
    pixels = [read_image(path) for path in images]
    encoding = []
    for encode in (encode_png, encode_as_before):
        start = time.perf_counter()
        for rgb in pixels:
            encode(rgb)
        encoding.append(time.perf_counter() - start)
    limits = [decoding + encoding[0], decoding + encoding[0] + needed, decoding + encoding[1]]
    return multiprocessing.current_process().pid or 0, limits


def bare_seconds(jobs: list[Job], *, workers: int) -> list[float]:
    """Return the time of the process that was busy longest, for each limit."""
    busy: dict[int, list[float]] = collections.defaultdict(lambda: [0.0, 0.0, 0.0])
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for process, seconds in pool.map(bare_clip, jobs):
            busy[process] = [known + more for known, more in zip(busy[process], seconds, strict=True)]
    return [max(column) for column in zip(*busy.values(), strict=True)]


def extraction_seconds(clips: Path, out: Path, options: argparse.Namespace) -> float:
    """Extract into an empty folder and return the seconds it took, start of the processes included."""
    start = time.perf_counter()
    arguments = ["--source", f"videos:{clips}", "--out", str(out), "--count", str(options.count)]
    arguments += ["--seed", "7", "--predictor", "none", "--workers", str(options.workers)]
    if extract.main(arguments):
        raise SystemExit("the extraction failed")
    return time.perf_counter() - start


def jobs_of(out: Path, clips: Path) -> list[Job]:
    """Return what the extraction stored, by clip; clips with most images first, as a good scheduler would."""
    sizes: dict[str, Sizes] = collections.defaultdict(lambda: collections.defaultdict(set))
    images: dict[str, set[Path]] = collections.defaultdict(set)
    manifest = read_manifest(out / "data_manifest.parquet")
    for row in manifest.rows():
        for name in ("img0", "gt", "img1"):
            sizes[row["clip"]][row[f"{name}_index"]].add((row["width"], row["height"]))
            images[row["clip"]].add(manifest.file(row, name))
    folder = clips if clips.is_dir() else clips.parent
    jobs = [(folder / clip, dict(sizes[clip]), sorted(images[clip])) for clip in images]
    return sorted(jobs, key=lambda job: -len(job[2]))


def aim_of(clips: Path) -> float:
    """Return the aim: it is lower where every clip has 1080 rows and 50 or more frames a second."""
    found = [
        file for file in (clips.iterdir() if clips.is_dir() else [clips]) if file.suffix in (".mp4", ".mkv", ".avi")
    ]
    for file in found:
        with open_video(file) as reader:
            if reader.info.height < 1080 or (reader.info.average_fps or 0) < 50:
                return AIM
    return AIM_1080P60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, nargs="+", help="folders of clips, or clips; the demo clips by default")
    parser.add_argument("--count", type=int, default=240, help="rows of the manifest")
    parser.add_argument("--workers", type=int, default=num_cores())
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(
        "| clips | rows | workers | s | of the limit (aim) | with sizes and SHA-256 | with the writer of before (aim) |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for clips in options.clips or [fetch_demo_clips()]:
        seconds, shares, rows = [], [], 0
        for _ in range(options.repeats):
            with tempfile.TemporaryDirectory() as folder:
                with contextlib.redirect_stdout(sys.stderr):
                    seconds.append(extraction_seconds(clips, Path(folder, "set"), options))
                rows = len(read_manifest(Path(folder, "set", "data_manifest.parquet")))
                limits = bare_seconds(jobs_of(Path(folder, "set"), clips), workers=options.workers)
            shares.append([limit / seconds[-1] for limit in limits])
        aim = aim_of(clips)
        now, needed, before = (statistics.median(column) for column in zip(*shares, strict=True))
        reached = f"{now:.2f} ({aim}) | {needed:.2f} | {before:.2f} ({aim})"
        middle = statistics.median(seconds)
        print(f"| {clips.name} | {rows} | {options.workers} | {middle:.2f} | {reached} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
