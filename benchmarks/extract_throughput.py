"""Extraction against its limit: ``python benchmarks/extract_throughput.py --clips FOLDER``.

The limit is bare decoding of the clips (forward, only the kept frames converted to RGB) plus bare PNG encoding of
exactly the images that are stored, shared out over the same number of processes, without start, search for cuts,
resizing, hashing, syncing and manifest. Both are run in turns; medians are printed. Aim: 0.8 of the limit.
"""

import argparse
import collections
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from dataset_tools import extract
from dataset_tools.assets import fetch_demo_clips
from dataset_tools.common.device import num_cores
from dataset_tools.frames import read_image
from dataset_tools.frames.png import encode_png
from dataset_tools.manifest import read_manifest
from dataset_tools.video import open_video

Images = list[Path]


def bare_clip(job: tuple[Path, set[int], Images]) -> tuple[int, float]:
    """Decode a clip and encode its images; return the process and the seconds of just these two."""
    clip, indices, images = job
    start = time.perf_counter()
    with open_video(clip) as reader:
        for frame in reader.frames():
            if frame.index in indices:
                frame.rgb()
    decoding = time.perf_counter() - start
    pixels = [read_image(path) for path in images]
    start = time.perf_counter()
    for rgb in pixels:
        encode_png(rgb)
    return multiprocessing.current_process().pid or 0, decoding + time.perf_counter() - start


def bare_seconds(jobs: list[tuple[Path, set[int], Images]], *, workers: int) -> float:
    """Return the time of the process that was busy longest."""
    busy: dict[int, float] = collections.defaultdict(float)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for process, seconds in pool.map(bare_clip, jobs):
            busy[process] += seconds
    return max(busy.values())


def extraction_seconds(clips: Path, out: Path, options: argparse.Namespace) -> float:
    """Extract into an empty folder and return the seconds it took, start of the processes included."""
    start = time.perf_counter()
    arguments = ["--source", f"videos:{clips}", "--out", str(out), "--count", str(options.count)]
    arguments += ["--seed", "7", "--predictor", "none", "--workers", str(options.workers)]
    if extract.main(arguments):
        raise SystemExit("the extraction failed")
    return time.perf_counter() - start


def jobs_of(out: Path, clips: Path) -> list[tuple[Path, set[int], Images]]:
    """Return what the extraction stored, by clip; clips with most images first, as a good scheduler would."""
    indices: dict[str, set[int]] = collections.defaultdict(set)
    images: dict[str, set[Path]] = collections.defaultdict(set)
    manifest = read_manifest(out / "data_manifest.parquet")
    for row in manifest.rows():
        for name in ("img0", "gt", "img1"):
            indices[row["clip"]].add(row[f"{name}_index"])
            images[row["clip"]].add(manifest.file(row, name))
    jobs = [(clips / clip, indices[clip], sorted(images[clip])) for clip in images]
    return sorted(jobs, key=lambda job: -len(job[2]))


def main() -> int:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, help="folder of clips; the demo clips by default")
    parser.add_argument("--count", type=int, default=240, help="rows of the manifest")
    parser.add_argument("--workers", type=int, default=num_cores())
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    clips = options.clips or fetch_demo_clips()
    ours, limit = [], []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(options.repeats):
            out = Path(folder, str(repeat))
            ours.append(extraction_seconds(clips, out, options))
            limit.append(bare_seconds(jobs_of(out, clips), workers=options.workers))
    result = {
        "rows": options.count,
        "workers": options.workers,
        "extraction_seconds": round(statistics.median(ours), 2),
        "limit_seconds": round(statistics.median(limit), 2),
        "share_of_limit": round(statistics.median(bare / own for bare, own in zip(limit, ours, strict=True)), 3),
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
