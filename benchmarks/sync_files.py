"""What it costs that written files survive a power cut: ``python benchmarks/sync_files.py [--folder FOLDER]``.

60 files of the sizes that frames have, written and synced one by one (``atomic_writer``), written aside and synced
file by file at the end (what ``batches`` does where it has no other way), and all together (``batches`` on Linux). Ways
take turns; median milliseconds a file, one Markdown table.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dataset_tools.common.batches import publish, write_aside
from dataset_tools.common.files import write_bytes

FILES = [os.urandom(size) for size in (1_500_000, 950_000, 190_000)] * 20  # of 1080p, 720p and 256p


def one_by_one(folder: Path) -> None:
    for number, data in enumerate(FILES):
        write_bytes(folder / f"{number}.png", data)


def together(folder: Path) -> None:
    paths = [folder / f"{number}.png" for number in range(len(FILES))]
    publish([(write_aside(path, data), path) for path, data in zip(paths, FILES, strict=True)])


def file_by_file(folder: Path) -> None:
    release, platform.release = platform.release, lambda: "4.18"  # where one call for all cannot be trusted
    try:
        together(folder)
    finally:
        platform.release = release


WAYS: dict[str, Callable[[Path], None]] = {
    "one by one": one_by_one,
    "at the end, file by file": file_by_file,
    "at the end, together": together,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--folder", type=Path, default=Path(), help="where to write; each file system is different")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    cpu: dict[str, list[float]] = {way: [] for way in WAYS}
    wall: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(arguments.repeats):
        for way, function in WAYS.items():
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                times = time.process_time(), time.perf_counter()
                function(Path(folder))
                cpu[way].append((time.process_time() - times[0]) * 1000 / len(FILES))
                wall[way].append((time.perf_counter() - times[1]) * 1000 / len(FILES))
    print("| synced | CPU ms a file | wall ms a file |\n| --- | --- | --- |")
    for way in WAYS:
        print(f"| {way} | {statistics.median(cpu[way]):.1f} | {statistics.median(wall[way]):.1f} |")


if __name__ == "__main__":
    main()
