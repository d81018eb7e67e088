"""Memory and overhead of interpolating a file: ``python benchmarks/interpolate_memory.py``.

Loops a demo clip to 2,000 frames at 256x144, doubles its frame rate with RIFE in this process, and samples the resident
memory meanwhile. Prints memory by quarter of the run, and which share of the wall time neither the networks nor the
codec (bare decoding of the input, bare encoding of the output's frames, measured alone) account for.
"""

import argparse
import itertools
import statistics
import tempfile
import threading
import time
from fractions import Fraction
from pathlib import Path

import av

from dataset_tools.assets import fetch_demo_clips
from dataset_tools.video import count_frames, open_video
from vfidpa_model.interpolation.job import Job, Routing
from vfidpa_model.interpolation.run import run_job
from vfidpa_model.interpolation.timeline import Timeline

_SAMPLE_SECONDS = 0.25
_PAGE_MIB = 4096 / 2**20


def resident_mib() -> float:
    """Return the memory this process holds now, in MiB (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_MIB


class Sampler:
    """Takes samples of the resident memory in a thread until it is stopped."""

    def __init__(self) -> None:
        self.samples: list[float] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stopped.wait(_SAMPLE_SECONDS):
            self.samples.append(resident_mib())


def write_input(path: Path, *, frames: int, width: int, height: int) -> None:
    """Write ``frames`` frames of a demo clip, played again and again, as H.264."""
    with open_video(fetch_demo_clips() / "bigbuckbunny.mp4") as reader:
        pictures = [frame.raw.reformat(width=width, height=height, format="yuv420p") for frame in reader.frames()]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index, picture in enumerate(itertools.islice(itertools.cycle(pictures), frames)):
            picture.pts, picture.time_base, picture.pict_type = index, Fraction(1, 25), 0
            output.mux(stream.encode(picture))
        output.mux(stream.encode())


def codec_seconds(source: Path, made: Path, folder: Path) -> float:
    """Return the time of bare decoding of the input plus bare encoding of the output's frames."""
    started = time.perf_counter()
    count_frames(source)
    decoding = time.perf_counter() - started
    encoding = 0.0
    with av.open(str(made)) as clip, av.open(str(folder / "again.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=50)
        stream.width, stream.height, stream.pix_fmt = (
            clip.streams.video[0].width,
            clip.streams.video[0].height,
            "yuv420p",
        )
        stream.options = {"crf": "18", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}
        for frame in clip.decode(video=0):
            frame.pict_type = 0
            started = time.perf_counter()
            output.mux(stream.encode(frame))
            encoding += time.perf_counter() - started
        output.mux(stream.encode())
    return decoding + encoding


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--height", type=int, default=144)
    parser.add_argument("--fast", default="rife")
    parser.add_argument("--effort", type=float, help="of the cascade; without it the product's own")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, target = folder / "in.mp4", folder / "out.mp4"
        write_input(source, frames=arguments.frames, width=arguments.width, height=arguments.height)
        job = Job(source, target, Timeline(2), Routing(arguments.fast, effort=arguments.effort), "mp4")
        with Sampler() as sampler:
            outcome = run_job(job)
        wall = outcome.stream_seconds
        codec = codec_seconds(source, target, folder)
    quarter = max(1, len(sampler.samples) // 4)
    medians = [statistics.median(sampler.samples[k * quarter : (k + 1) * quarter]) for k in range(4)]
    print(f"{outcome.frames} frames in {wall:.1f} s; networks {outcome.network_seconds:.1f} s, codec {codec:.1f} s")
    print("resident MiB by quarter: " + ", ".join(f"{value:.0f}" for value in medians))
    print(f"growth from the second to the last quarter: {medians[3] - medians[1]:+.1f} MiB")
    print(f"wall time outside the networks: {100 * (1 - outcome.network_seconds / wall):.1f} %")
    rest = max(0.0, wall - outcome.network_seconds - codec)
    print(f"wall time outside networks and codec: {100 * rest / wall:.1f} %")


if __name__ == "__main__":
    main()
