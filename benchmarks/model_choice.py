"""Which interpolator is best at what: error, decibels, LPIPS and time of several models on the same triplets.

    python -m dataset_tools.extract --source videos:CLIPS --out runs/choice --count 150 --per-clip 1 \\
        --resolutions 256p,720p --intervals 1-4 --predictor none --seed 5
    python benchmarks/model_choice.py runs/choice --clips CLIPS/clips.tsv

The models take turns on every triplet; times are medians over triplets. Frames are rounded to 8 bits first.
Brackets hold 95 % intervals of the mean DIFFERENCE to the first model, by drawing film groups again: clips of one film
(column ``film_group`` of the table of clips) count as one.
"""

import argparse
import csv
import sys
import time
from pathlib import Path

import numpy as np

from dataset_tools.common.device import describe_device, select_device
from dataset_tools.common.memory import keep_freed_memory
from dataset_tools.frames import to_rgb, to_tensor
from dataset_tools.interpolators import create_interpolator
from dataset_tools.prediction.metrics import Lpips, psnr
from vfidpa_model.benchmarking.sets import manifest_items, read_item

MODELS = "rife,rife-refined,rife-full,rife-v4"
RESAMPLES = 2000


def film_groups(table):
    """Return clip file name -> film group; a clip without one is a group of its own."""
    if table is None:
        return {}
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {row["name"]: row["film_group"] for row in rows if row["film_group"] != "-"}


def measure(items, models, device):
    """Return per model an array (triplets, 4): squared error of 255, PSNR, LPIPS, seconds."""
    lpips = Lpips(device)
    values = {name: np.zeros((len(items), 4)) for name in models}
    warm = set()
    for number, item in enumerate(items):
        img0, gt, img1 = read_item(item)
        pair = to_tensor(img0).to(device), to_tensor(img1).to(device)
        order = [*models][number % len(models) :] + [*models][: number % len(models)]
        for name in order:
            if (name, gt.shape) not in warm:
                warm.add((name, gt.shape))
                models[name].interpolate(*pair)
            started = time.perf_counter()
            frame = models[name].interpolate(*pair).cpu()
            seconds = time.perf_counter() - started
            rgb = to_rgb(frame)
            error = float(np.square(rgb.astype(float) - gt).mean())
            values[name][number] = error, psnr(rgb, gt), lpips(rgb, gt), seconds
        print(f"\r{number + 1} of {len(items)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return values


def interval(difference, groups):
    """Return the 95 % interval of a mean when whole groups are drawn again."""
    names = sorted(set(groups))
    sums = np.array([difference[np.array(groups) == name].sum() for name in names])
    counts = np.array([groups.count(name) for name in names])
    drawn = np.random.default_rng(0).integers(0, len(names), (RESAMPLES, len(names)))
    return np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), [0.025, 0.975])


def table(values, groups):
    """Return the Markdown lines of one resolution."""
    first = next(iter(values))
    base = values[first]
    lines = [
        "| model | squared error of 255 | PSNR, dB | LPIPS | LPIPS better in | s a pair | times the first |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, found in values.items():
        cells = []
        for column, form in ((0, ".2f"), (1, ".2f"), (2, ".4f")):
            cell = f"{found[:, column].mean():{form}}"
            if name != first:
                low, high = interval(found[:, column] - base[:, column], groups)
                cell += f" [{low:+{form}}, {high:+{form}}]"
            cells.append(cell)
        share = "" if name == first else f"{(found[:, 2] < base[:, 2]).mean():.0%}"
        ratio = np.median(found[:, 3] / base[:, 3])
        lines.append(f"| `{name}` | {' | '.join(cells)} | {share} | {np.median(found[:, 3]):.3f} | {ratio:.2f} |")
    return lines


def main():
    """Measure, print one table per resolution."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, help="the data set's folder or manifest")
    parser.add_argument("--clips", type=Path, help="table (TSV) of the clips with columns name and film_group")
    parser.add_argument("--models", default=MODELS, help="by comma; differences are to the first")
    parser.add_argument("--resolutions", default="256p,720p", help="by comma")
    parser.add_argument("--limit", type=int, help="triplets per resolution at most")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--backend", default="torch", help="torch, ncnn or auto")
    options = parser.parse_args()
    keep_freed_memory()
    device = select_device(options.device)
    films = film_groups(options.clips)
    models = {
        name: create_interpolator(name, device=device, backend=options.backend) for name in options.models.split(",")
    }
    for resolution in options.resolutions.split(","):
        items = manifest_items(options.manifest, resolution=resolution)[: options.limit]
        if not items:
            continue
        clips = [Path(item.sequence).name for item in items]
        groups = [films.get(clip, clip) for clip in clips]
        found = measure(items, models, device)
        counts = f"{len(items)} triplets of {len(set(clips))} clips in {len(set(groups))} film groups"
        print(f"{resolution}: {counts}, {describe_device(device)}\n", *table(found, groups), "", sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
