"""What refining parts of a frame costs, and what the plan says it costs: ``python benchmarks/tile_costs.py``.

Refines rectangles of two real frames with ``rife-refined`` and prints CPU time as a share of refining the whole frame,
beside ``TilePlan.cost``, and the line (a + b * area) through all of them. With ``OMP_NUM_THREADS=1`` the shares hold on
a busy machine: all parts take turns, medians are told.
"""

import argparse
import sys
import time

import numpy as np
import torch

from dataset_tools.assets import fetch_demo_clips
from dataset_tools.common.memory import keep_freed_memory
from dataset_tools.frames import to_tensor
from dataset_tools.frames.area import resize_area
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.tiles import Rect, TilePlan
from dataset_tools.video import open_video
from vfidpa_model.routing.signals import DecidedDifference

SIZES = {"256p": (448, 256), "720p": (1280, 704)}  # width and height that need no padding
PARTS = {
    "64x64": [(64, 64, 64, 64)],
    "two of 64x64": [(64, 64, 64, 64), (64, 256, 64, 64)],
    "128x128": [(64, 64, 128, 128)],
    "128x128 in a corner": [(0, 0, 128, 128)],
    "128x192": [(64, 64, 128, 192)],
    "all rows, 256": [(0, 64, None, 256)],
    "all rows, 320": [(0, 64, None, 320)],
}


def frames(width, height):
    """Return two frames of the demo set, a cyclist on a street, (1, 3, H, W) each."""
    with open_video(fetch_demo_clips() / "bikes.mp4") as reader:
        found = [frame.raw.to_ndarray(format="rgb24") for _, frame in zip(range(30), reader.frames(), strict=False)]
    return [to_tensor(resize_area(found[index], width=width, height=height)) for index in (28, 29)]


def medians(calls, repeat):
    """Return name -> median CPU seconds of calls that take turns."""
    seconds = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repeat):
        for name, call in calls.items():
            started = time.process_time()
            call()
            seconds[name].append(time.process_time() - started)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def measure(model, size, repeat):
    """Print what parts of a frame of one size cost."""
    width, height = SIZES[size]
    pair = frames(width, height)
    begun = model.begin(*pair)
    plans = {
        name: TilePlan(begun.size, tuple(Rect(t, x, t + (h or height - t), x + w) for t, x, h, w in rects))
        for name, rects in PARTS.items()
    }
    signal = DecidedDifference()
    scores = signal.tiles(*pair, begun)[0]
    calls = {name: lambda plan=plan: model.go_on(begun, [plan]) for name, plan in plans.items()}
    calls |= {
        "first step": lambda: model.begin(*pair),
        "whole": lambda: model.go_on(begun),
        "signal": lambda: signal.tiles(*pair, begun),
        "plan": lambda: TilePlan.best(scores, float(scores.mean()), begun.size),
    }
    found = medians(calls, repeat)
    whole = found["whole"]
    total = found["first step"] + whole
    share = found["first step"] / total
    print(f"{model.name}, {width}x{height}: {total * 1000:.0f} ms, of which the first step {share:.2f}")
    print(f"  signal {found['signal'] / total:.2%}, plan {found['plan'] / total:.2%} of it")
    areas = np.array([sum(rect.area for rect in plan.rects) / (width * height) for plan in plans.values()])
    costs = np.array([found[name] / whole for name in plans])
    for (name, plan), area, cost in zip(plans.items(), areas, costs, strict=True):
        print(f"  {name:20s} area {area:.3f}, cost {cost:.3f} (said {plan.cost:.3f}), per area {cost / area:.2f}")
    slope, start = np.polyfit(areas, costs, 1)
    print(f"  cost = {start:.3f} + {slope:.2f} * area", flush=True)


def main() -> int:
    """Measure both sizes with the engine asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="torch", help="torch or ncnn")
    parser.add_argument("--sizes", default="256p,720p", help="by comma")
    parser.add_argument("--repeat", type=int, default=7)
    options = parser.parse_args()
    keep_freed_memory()
    model = create_interpolator("rife-refined", backend=options.backend)
    with torch.inference_mode():
        for size in options.sizes.split(","):
            measure(model, size, options.repeat)
    return 0


if __name__ == "__main__":
    sys.exit(main())
