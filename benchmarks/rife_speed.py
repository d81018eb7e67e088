"""How fast RIFE predicts here: the plainest version, the product's, and the machine's own limit, in one run.

    python benchmarks/rife_speed.py --repeats 7

Variants take turns in one process, on the same real frame pairs; medians; one Markdown table on stdout. "In the
pool" is what ``dataset_tools.predict`` does on a CPU: one pair per thread. The roof is a large convolution in
channels-last order, measured between the variants; shares of it count multiplications and additions of convolutions.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import torch
from plain_rife import plain_interpolate
from torch.utils.flop_counter import FlopCounterMode

from dataset_tools.assets import fetch_asset, fetch_demo_clips
from dataset_tools.common.device import describe_device
from dataset_tools.common.memory import keep_freed_memory
from dataset_tools.frames import resize_area, to_rgb, to_tensor
from dataset_tools.interpolators.rife import RIFE

SIZES = {"256p": (456, 256), "720p": (1280, 720), "1080p": (1920, 1080)}
NUM_PAIRS = 4


def load_pairs(width: int, height: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return real frames, two apart; 1080p is enlarged from 720p, which costs the same to interpolate."""
    with av.open(str(fetch_demo_clips() / "bigbuckbunny.mp4")) as container:
        frames = [frame for _, frame in zip(range(60), container.decode(video=0), strict=False)]
    images = [frames[index].to_ndarray(format="rgb24") for index in range(20, 20 + 2 * (NUM_PAIRS + 1), 2)]
    if height > images[0].shape[0]:
        images = [np.ascontiguousarray(image.repeat(2, 0).repeat(2, 1)) for image in images]
    tensors = torch.cat([to_tensor(resize_area(image, width=width, height=height)) for image in images])
    return tensors[:-1], tensors[1:]


class Roof:
    """A convolution that shows what this machine can do, in GFLOP/s."""

    def __init__(self) -> None:
        self.layer = torch.nn.Conv2d(192, 192, 3, padding=1).to(memory_format=torch.channels_last)
        self.x = torch.rand(1, 192, 128, 128).contiguous(memory_format=torch.channels_last)
        self.gflop = 2 * 192 * 192 * 9 * 128 * 128 / 1e9

    def __call__(self) -> float:
        with torch.inference_mode():
            started = time.perf_counter()
            for _ in range(4):
                self.layer(self.x)
            return 4 * self.gflop / (time.perf_counter() - started)


def count_gflop(function: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() / 1e9


def measure(tier: str, *, models: tuple[RIFE, RIFE], repeats: int, roof: Roof, threads: int) -> None:
    plain, fast = models
    img0, img1 = load_pairs(*SIZES[tier])
    pairs = range(len(img0))
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    def each(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
        return [function(img0[one : one + 1], img1[one : one + 1]) for one in pairs]

    variants: dict[str, Callable[[], object]] = {
        "plain, padded to 128": lambda: each(lambda a, b: plain_interpolate(plain, a, b)),
        "product, one pair": lambda: each(fast.interpolate),
        "product, in the pool": lambda: list(
            pool.map(lambda one: fast.interpolate(img0[one : one + 1], img1[one : one + 1]), pairs)
        ),
    }
    if tier == "256p":
        variants[f"product, batch of {len(img0)}"] = lambda: fast.interpolate(img0, img1)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    roofs = []
    for repeat in range(repeats + 1):
        for name, function in variants.items():
            started = time.perf_counter()
            function()
            if repeat:  # the first round warms up
                seconds[name].append((time.perf_counter() - started) / len(pairs))
        roofs.append(roof())
    pool.shutdown()
    difference = np.stack(
        [
            np.abs(to_rgb(a).astype(int) - to_rgb(b))
            for a, b in zip(each(lambda a, b: plain_interpolate(plain, a, b)), each(fast.interpolate), strict=True)
        ]
    )
    gflop = count_gflop(lambda: fast.interpolate(img0[:1], img1[:1]))
    base = statistics.median(seconds["plain, padded to 128"])
    for name, values in seconds.items():
        middle = statistics.median(values)
        share = gflop / middle / statistics.median(roofs)
        print(
            f"| {tier} | {name} | {middle * 1000:.0f} | {base / middle:.2f} | {share:.0%} | "
            f"{difference.mean():.4f} / {difference.max()} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="rounds after the first, of which medians are taken")
    parser.add_argument("--tiers", default="256p,720p,1080p", help="which sizes")
    arguments = parser.parse_args()
    kept = keep_freed_memory()
    weights = fetch_asset("rife-3.9")
    plain = RIFE.from_weights(weights).to(memory_format=torch.contiguous_format)
    models = plain, RIFE.from_weights(weights)
    threads, roof = torch.get_num_threads(), Roof()
    roof()
    print(f"{describe_device(torch.device('cpu'))}, roof {roof():.0f} GFLOP/s, freed memory kept: {kept}\n")
    print("| tier | variant | ms a pair | times plain | share of the roof | difference of 255, mean / max |")
    print("| --- | --- | --- | --- | --- | --- |")
    for tier in arguments.tiers.split(","):
        measure(tier, models=models, repeats=arguments.repeats, roof=roof, threads=threads)


if __name__ == "__main__":
    main()
