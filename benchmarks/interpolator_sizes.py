"""Run every interpolator on random sizes up to 1100 pixels, odd ones too: python benchmarks/interpolator_sizes.py

Random weights where none are pinned: sizes and memory are what is tried, not the pictures. Ends with exit code 1
and the sizes that failed when any did.
"""

import argparse
import importlib
import sys
import time

import numpy as np
import torch

from dataset_tools.interpolators import create_interpolator, list_interpolators

SMALLEST = 64


def build(info):
    """Return the interpolator of a registry line; its own random weights where no file is pinned."""
    if info.asset is not None:
        return create_interpolator(info.name)
    module, _, name = info.target.partition(":")
    torch.manual_seed(0)
    return getattr(importlib.import_module(module), name)(**info.options).eval()


def main() -> int:
    """Try ``--count`` sizes per model and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=1100, help="largest side, pixels")
    parser.add_argument("--count", type=int, default=4, help="sizes per model")
    parser.add_argument("--models", help="names by comma; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    failures = 0
    print("| model | size | seconds |\n| --- | --- | --- |")
    wanted = options.models.split(",") if options.models else [info.name for info in list_interpolators()]
    for info in (info for info in list_interpolators() if info.name in wanted):
        generator = np.random.default_rng(options.seed)
        model = build(info).to(options.device)
        for _ in range(options.count):
            height, width = (int(side) for side in generator.integers(SMALLEST, options.largest, 2, endpoint=True))
            frames = torch.rand(2, 1, 3, height, width, device=options.device)
            started = time.perf_counter()
            middle = model.interpolate(*frames).cpu()
            seconds = time.perf_counter() - started
            good = middle.shape == frames[0].shape and bool(middle.isfinite().all())
            failures += not good
            print(f"| {info.name} | {width}x{height} | {seconds:.2f}{'' if good else ' FAILED'} |", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
