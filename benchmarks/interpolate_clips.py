"""Double every clip of a folder and check each original frame: ``python benchmarks/interpolate_clips.py --clips DIR``.

The output is lossless (FFV1), so that originals can be compared bit by bit: twice the frames, every other one equal to
the input's, at the same distance from the first. Prints one row per clip; exit code 1 when a check fails. Minutes per
clip on a CPU.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from vfidpa_model import interpolate


def planes(path: Path) -> Iterator[tuple[np.ndarray, float]]:
    """Yield (the decoded picture's own planes as one array, seconds since the first picture), forward.

    Matroska has no negative times: where sound starts before the picture (AAC's priming), all tracks start later.
    """
    first = None
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            seconds = float(frame.pts * frame.time_base)
            first = seconds if first is None else first
            yield frame.to_ndarray(), seconds - first


def check(source: Path, made: Path) -> tuple[int, int, float]:
    """Return (number of input frames, number of output frames, largest difference of the originals' times).

    Raises:
        AssertionError: An original frame is missing or changed.
    """
    outputs = planes(made)
    num_in = num_out = 0
    worst_seconds = 0.0
    for original, seconds in planes(source):
        kept, kept_seconds = next(outputs)
        assert np.array_equal(original, kept), f"{source.name}: frame {num_in} is changed"
        worst_seconds = max(worst_seconds, abs(kept_seconds - seconds))
        next(outputs)  # the made frame
        num_in, num_out = num_in + 1, num_out + 2
    return num_in, num_out + sum(1 for _ in outputs), worst_seconds


def main() -> int:
    """Interpolate, check and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True, help="folder of video files")
    parser.add_argument("--fast", default="rife")
    options = parser.parse_args()
    is_good = True
    print("| clip | frames in | frames out | largest shift of an original, ms | s |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for clip in sorted(options.clips.glob("*.mp4")):
            made = Path(folder) / f"{clip.stem}.mkv"
            started = time.monotonic()
            if interpolate.main([str(clip), str(made), "--codec", "ffv1", "--fast", options.fast]) != 0:
                return 1
            seconds = time.monotonic() - started
            num_in, num_out, shift = check(clip, made)
            is_good &= num_out == 2 * num_in and shift <= 0.001  # Matroska's clock ticks in milliseconds
            print(f"| {clip.name} | {num_in} | {num_out} | {shift * 1000:.2f} | {seconds:.0f} |", flush=True)
            made.unlink()
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
