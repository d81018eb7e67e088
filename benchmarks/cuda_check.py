"""What a CUDA device does with the interpolators: ``python benchmarks/cuda_check.py [--compile]``.

1. Every built-in interpolator against itself on the CPU, in single precision and as it computes by default on CUDA
   (published weights where they are pinned, else random ones).
2. Pairs per second at 720p and 1080p, from 8-bit frames in the computer's memory to such frames, with each step alone
   and with all: channels last, half precision, pinned copies beside computing, two pairs at once, and with
   ``--compile`` torch.compile for the convolutions. Variants take turns; medians.

Ends with 2 and one line where there is no CUDA device, with 1 where results differ by more than they may. Nothing of
this has been run on a GPU for this release: ``docs/results.md`` has no figures of one.
"""

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rife_speed import SIZES, load_pairs

from dataset_tools.common import cli
from dataset_tools.common.device import describe_device, select_device
from dataset_tools.errors import UsageError
from dataset_tools.interpolators import InterpolatorInfo, create_interpolator, list_interpolators

ALLOWED = {"fp32": 0.5, "auto": 4.0}  # levels of 255, largest difference of the 99.9 % closest values
SEEDED = "random weights"


def built_in() -> list[InterpolatorInfo]:
    return [info for info in list_interpolators() if info.target.startswith("dataset_tools.")]


def make(info: InterpolatorInfo, *, precision: str, device: torch.device) -> torch.nn.Module:
    """Return a model in eval mode; without published weights, the same random ones each time."""
    if info.asset is not None:
        return create_interpolator(info.name, device=device, precision=precision)  # type: ignore[return-value]
    module, _, name = info.target.partition(":")
    torch.manual_seed(0)
    model = getattr(importlib.import_module(module), name)(precision=precision, **info.options)
    return model.eval().to(device)


def compare(device: torch.device) -> list[str]:
    """Print how far each model is from itself on the CPU, and return what differs by too much."""
    print("| model | weights | precision | mean | 99.9 % | largest (of 255) |\n| --- | --- | --- | --- | --- | --- |")
    faults = []
    pairs = [side[:1, :, :192, :256].contiguous() for side in load_pairs(*SIZES["256p"])]
    for info in built_in():
        expected = make(info, precision="fp32", device=torch.device("cpu")).interpolate(*pairs)
        for precision, allowed in ALLOWED.items():
            model = make(info, precision=precision, device=device)
            found = model.interpolate(*(side.to(device) for side in pairs)).cpu()
            differences = (found - expected).abs().flatten().mul(255)
            most = float(differences.sort().values[int(0.999 * len(differences))])
            weights = SEEDED if info.asset is None else info.asset
            figures = f"{float(differences.mean()):.4f} | {most:.3f} | {float(differences.max()):.2f}"
            print(f"| {info.name} | {weights} | {precision} | {figures} |", flush=True)
            if not most <= allowed:  # nan is not, either
                faults.append(f"{info.name}, {precision}: {most:.3f} of 255 must be at most {allowed}")
    return faults


@dataclass(frozen=True)
class Steps:
    """What is done to be fast."""

    channels_last: bool = False
    half: bool = False
    pinned: bool = False
    batch: int = 1
    compiled: bool = False

    def __str__(self) -> str:
        named = {"channels last": self.channels_last, "half precision": self.half, "pinned copies": self.pinned}
        named |= {"pairs two at once": self.batch > 1, "torch.compile": self.compiled}
        return ", ".join(name for name, is_on in named.items() if is_on) or "none of them"


def variants(*, with_compile: bool) -> list[Steps]:
    alone = [Steps(), Steps(channels_last=True), Steps(half=True), Steps(pinned=True), Steps(batch=2)]
    everything = [Steps(channels_last=True, half=True, pinned=True)]
    everything += [Steps(channels_last=True, half=True, pinned=True, batch=2)]
    if with_compile:
        alone.append(Steps(compiled=True))
        everything.append(Steps(channels_last=True, half=True, pinned=True, compiled=True))
    return alone + everything


def runner(
    info: InterpolatorInfo, steps: Steps, *, device: torch.device
) -> Callable[[torch.Tensor, torch.Tensor], int]:
    """Return a function of two stacks of 8-bit frames that computes all and returns how many there were."""
    model = make(info, precision="fp16" if steps.half else "fp32", device=device)
    model.to(memory_format=torch.channels_last if steps.channels_last else torch.contiguous_format)
    if steps.compiled:
        for part in model.modules():
            if hasattr(type(part), "convolutions"):  # the seam at which ncnn takes over on a CPU
                part.convolutions = torch.compile(part.convolutions)

    is_pinned = steps.pinned and device.type == "cuda"

    def upload(frames: torch.Tensor) -> torch.Tensor:
        frames = frames.pin_memory() if is_pinned else frames
        return frames.to(device, non_blocking=is_pinned).float().div_(255)

    def run(img0: torch.Tensor, img1: torch.Tensor) -> int:
        results = []
        for first, second in zip(img0.split(steps.batch), img1.split(steps.batch), strict=True):
            made = model.interpolate(upload(first), upload(second)).mul(255).round_().to(torch.uint8)
            if is_pinned:
                results.append(torch.empty(made.shape, dtype=torch.uint8, pin_memory=True))
                results[-1].copy_(made, non_blocking=True)
            else:
                results.append(made.cpu())
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return sum(map(len, results))

    return run


def measure(info: InterpolatorInfo, tier: str, *, device: torch.device, repeats: int, with_compile: bool) -> None:
    frames = [side.mul(255).round().to(torch.uint8) for side in load_pairs(*SIZES[tier])]
    functions = {steps: runner(info, steps, device=device) for steps in variants(with_compile=with_compile)}
    rates: dict[Steps, list[float]] = {steps: [] for steps in functions}
    for repeat in range(repeats + 2):
        for steps, function in functions.items():
            started = time.perf_counter()
            done = function(*frames)
            if repeat > 1:  # the first two warm up, and compile
                rates[steps].append(done / (time.perf_counter() - started))
    plain = statistics.median(rates[Steps()])
    for steps, values in rates.items():
        middle = statistics.median(values)
        print(f"| {info.name} | {tier} | {steps} | {middle:.1f} | {middle / plain:.2f} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda or cuda:N; cpu only tries this script out")
    parser.add_argument("--models", default="rife,rife-refined,rife-v4", help="to be timed, by comma")
    parser.add_argument("--tiers", default="720p,1080p", help="by comma")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    arguments = parser.parse_args()
    try:
        device = select_device(arguments.device)
    except UsageError as error:
        print(f"nothing measured: {error}", file=sys.stderr)
        return cli.USAGE
    print(f"{describe_device(device)}, PyTorch {torch.__version__}\n")
    faults = compare(device)
    print("\n| model | tier | steps | pairs per second | times none of them |\n| --- | --- | --- | --- | --- |")
    infos = {info.name: info for info in built_in()}
    for name in arguments.models.split(","):
        for tier in arguments.tiers.split(","):
            measure(infos[name], tier, device=device, repeats=arguments.repeats, with_compile=arguments.compile)
    print("\n".join(faults), file=sys.stderr)
    return cli.FAILED if faults else cli.OK


if __name__ == "__main__":
    sys.exit(main())
