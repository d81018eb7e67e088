"""How fast RIFE predicts here: the plainest version, the product's with both engines, and the machine's own limit.

    python benchmarks/rife_speed.py --repeats 7

Variants take turns in one process, on the same real frame pairs; medians; one Markdown table on stdout, aims beside
what was reached. "In the pool" is what ``dataset_tools.predict`` does on a CPU: one pair per thread. The roof is a
large convolution of PyTorch in channels-last order, measured between the variants; shares of it count multiplications
and additions of plain convolutions, so that Winograd's may exceed it. ``rife`` is compared with the plainest version,
the other models with themselves in PyTorch with channels first, where their warps are the lean ones already.
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
from dataset_tools.frames import to_rgb, to_tensor
from dataset_tools.frames.area import resize_area
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.ncnn_engine import is_installed
from dataset_tools.interpolators.rife import RIFE

SIZES = {"256p": (456, 256), "720p": (1280, 720), "1080p": (1920, 1080)}
NUM_PAIRS = 4
AIMS = {"256p": 2.0, "720p": 1.7, "1080p": 1.8}  # times the plain version, with the fastest engine
PLAIN = "plain, padded to 128"
PLAIN_OTHERS = "torch, channels first"


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


def variants_of(name: str, tier: str, *, plain: RIFE, pool: ThreadPoolExecutor) -> dict[str, Callable[..., list]]:
    """Return what is timed: variant -> function of all pairs that returns their frames."""

    def each(function: Callable) -> Callable[..., list]:
        return lambda img0, img1: [function(a[None], b[None]) for a, b in zip(img0, img1, strict=True)]

    def pooled(function: Callable) -> Callable[..., list]:
        return lambda img0, img1: list(pool.map(lambda a, b: function(a[None], b[None]), img0, img1))

    found: dict[str, Callable[..., list]] = {}
    if name == "rife":
        found[PLAIN] = each(lambda a, b: plain_interpolate(plain, a, b))
    else:
        model = create_interpolator(name).to(memory_format=torch.contiguous_format)
        found[PLAIN_OTHERS] = each(model.interpolate)
    for engine in ("torch", "ncnn") if is_installed() else ("torch",):
        model = create_interpolator(name, backend=engine)
        found[f"{engine}, one pair"] = each(model.interpolate)
        found[f"{engine}, in the pool"] = pooled(model.interpolate)
        if tier == "256p":
            found[f"{engine}, batch of {NUM_PAIRS}"] = lambda a, b, model=model: list(model.interpolate(a, b).split(1))
    return found


def measure(name: str, tier: str, *, plain: RIFE, repeats: int, roof: Roof, pool: ThreadPoolExecutor) -> None:
    pairs = load_pairs(*SIZES[tier])
    variants = variants_of(name, tier, plain=plain, pool=pool)
    base = next(iter(variants))
    seconds: dict[str, list[float]] = {variant: [] for variant in variants}
    frames: dict[str, np.ndarray] = {}
    roofs = []
    for repeat in range(repeats + 1):
        for variant, function in variants.items():
            started = time.perf_counter()
            made = function(*pairs)
            if repeat:  # the first round warms up
                seconds[variant].append((time.perf_counter() - started) / NUM_PAIRS)
            else:
                frames[variant] = np.stack([to_rgb(frame) for frame in made]).astype(int)
        roofs.append(roof())
    model = create_interpolator(name)
    gflop = count_gflop(lambda: model.interpolate(pairs[0][:1], pairs[1][:1]))
    for variant, values in seconds.items():
        middle = statistics.median(values)
        times = statistics.median(seconds[base]) / middle
        aim = f" ({AIMS[tier]})" if variant != base else ""
        share = gflop / middle / statistics.median(roofs)
        difference = np.abs(frames[variant] - frames[base])
        print(
            f"| {name} | {tier} | {variant} | {middle * 1000:.0f} | {times:.2f}{aim} | {share:.0%} | "
            f"{difference.mean():.4f} / {difference.max()} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="rounds after the first, of which medians are taken")
    parser.add_argument("--models", default="rife,rife-refined,rife-v4", help="by comma")
    parser.add_argument("--tiers", default="256p,720p,1080p", help="which sizes")
    arguments = parser.parse_args()
    kept = keep_freed_memory()
    plain = RIFE.from_weights(fetch_asset("rife-3.9")).to(memory_format=torch.contiguous_format)
    roof = Roof()
    roof()
    print(f"{describe_device(torch.device('cpu'))}, roof {roof():.0f} GFLOP/s, freed memory kept: {kept}\n")
    print("| model | tier | variant | ms a pair | times the first (aim) | share of the roof | difference of 255 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    pool = ThreadPoolExecutor(torch.get_num_threads(), initializer=torch.set_num_threads, initargs=(1,))
    for name in arguments.models.split(","):
        for tier in arguments.tiers.split(","):
            measure(name, tier, plain=plain, repeats=arguments.repeats, roof=roof, pool=pool)
    pool.shutdown()


if __name__ == "__main__":
    main()
