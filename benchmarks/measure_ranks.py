"""How quality measures rank the same predictions: whether they agree, and which interpolator each calls better.

    python -m dataset_tools.extract --source videos:CLIPS --out runs/ranks --count 116 --per-clip 1 \\
        --resolutions 256p --intervals 1-4 --predictor none --seed 5
    python benchmarks/measure_ranks.py runs/ranks --clips CLIPS/clips.tsv

No person looked at these frames: agreement says which measures tell the same, not which of them is right. Brackets
hold 95 % intervals, by drawing film groups again (column ``film_group`` of the table of clips).
"""

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np
from model_choice import film_groups

from dataset_tools.common.device import describe_device, select_device
from dataset_tools.common.memory import keep_freed_memory
from dataset_tools.common.progress import track
from dataset_tools.common.statistics import draw_groups, interval95
from dataset_tools.frames import to_rgb, to_tensor
from dataset_tools.interpolators import create_interpolator
from dataset_tools.prediction.metrics import Lpips, psnr, ssim
from dataset_tools.prediction.motion_measures import measure_motion
from vfidpa_model.benchmarking.sets import manifest_items, read_item
from vfidpa_model.evaluation.measures import srcc

MODELS = "rife,rife-refined,rife-full,rife-v4"
MEASURES = ("PSNR", "SSIM", "LPIPS", "FloLPIPS", "PSNR_DIV")
LARGE_IS_GOOD = np.array([1, 1, -1, -1, 1])
RESAMPLES = 1000


def measure(items, models, device):
    """Return the measures of each model's frames, (models, triplets, measures), larger always better."""
    lpips = Lpips(device)
    found = np.zeros((len(models), len(items), len(MEASURES)))
    with track("measure", len(items)) as progress:
        for number, item in enumerate(items):
            img0, gt, img1 = read_item(item)
            pair = to_tensor(img0).to(device), to_tensor(img1).to(device)
            for place, model in enumerate(models.values()):
                made = to_rgb(model.interpolate(*pair).cpu())
                motion = measure_motion(made, gt, img0, img1, lpips=lpips)
                found[place, number] = psnr(made, gt), ssim(made, gt), lpips(made, gt), *motion.values()
            progress.advance()
    return found * LARGE_IS_GOOD


def with_interval(statistic, groups, form):
    """Return ``statistic`` of all triplets and its interval as text; it gets the numbers of the triplets that count."""
    times = draw_groups(groups, generator=np.random.default_rng(0), resamples=RESAMPLES).astype(np.int64)
    every = np.arange(len(groups))
    low, high = interval95([statistic(np.repeat(every, drawn)) for drawn in times])
    return f"{statistic(every):{form}} [{low:{form}}, {high:{form}}]"


def agreement(values, groups):
    """Return Markdown lines: SRCC between the measures over the triplets of one model."""
    lines = [f"| SRCC | {' | '.join(MEASURES[1:])} |", "| --- |" + " --- |" * (len(MEASURES) - 1)]
    for row in range(len(MEASURES) - 1):
        cells = [
            with_interval(lambda at, a=row, b=column: srcc(values[at, a], values[at, b]), groups, ".2f")
            if column > row
            else ""
            for column in range(1, len(MEASURES))
        ]
        lines.append(f"| {MEASURES[row]} | {' | '.join(cells)} |")
    return lines


def wins(values, names, groups):
    """Return Markdown lines: in how many triplets each measure calls a model better than the first; ties are halves."""
    lines = [f"| better than `{names[0]}` in | {' | '.join(MEASURES)} |", "| --- |" + " --- |" * len(MEASURES)]
    for place, name in enumerate(names[1:], start=1):
        sign = (np.sign(values[place] - values[0]) + 1) / 2
        cells = [with_interval(lambda at, m=m, s=sign: s[at, m].mean(), groups, ".0%") for m in range(len(MEASURES))]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines


def same_winner(values, groups):
    """Return a Markdown row for each pair of measures: in how many comparisons of two models they name one winner."""
    signs = np.array([np.sign(values[a] - values[b]) for a, b in itertools.combinations(range(len(values)), 2)])
    lines = [f"| same winner in | {' | '.join(MEASURES[1:])} |", "| --- |" + " --- |" * (len(MEASURES) - 1)]
    for row in range(len(MEASURES) - 1):
        cells = [
            with_interval(lambda at, a=row, b=column: (signs[:, at, a] == signs[:, at, b]).mean(), groups, ".0%")
            if column > row
            else ""
            for column in range(1, len(MEASURES))
        ]
        lines.append(f"| {MEASURES[row]} | {' | '.join(cells)} |")
    return lines


def means(values, names):
    """Return Markdown lines: each measure's mean over the triplets, per model, as the measures are given."""
    lines = [f"| mean | {' | '.join(MEASURES)} |", "| --- |" + " --- |" * len(MEASURES)]
    for place, name in enumerate(names):
        mean = values[place].mean(0) * LARGE_IS_GOOD
        forms = (".2f", ".4f", ".4f", ".4f", ".2f")
        lines.append(f"| `{name}` | {' | '.join(f'{m:{form}}' for m, form in zip(mean, forms, strict=True))} |")
    return lines


def main():
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, help="the data set's folder or manifest")
    parser.add_argument("--clips", type=Path, help="table (TSV) of the clips with columns name and film_group")
    parser.add_argument("--models", default=MODELS, help="by comma; wins are over the first")
    parser.add_argument("--resolution", default="256p")
    parser.add_argument("--limit", type=int, help="triplets at most")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    keep_freed_memory()
    device = select_device(options.device)
    films = film_groups(options.clips)
    items = manifest_items(options.manifest, resolution=options.resolution)[: options.limit]
    clips = [Path(item.sequence).name for item in items]
    groups = [films.get(clip, clip) for clip in clips]
    models = {name: create_interpolator(name, device=device) for name in options.models.split(",")}
    values, names = measure(items, models, device), list(models)
    counts = f"{len(items)} triplets of {len(set(clips))} clips in {len(set(groups))} film groups"
    print(f"{options.resolution}: {counts}, {describe_device(device)}\n")
    tables = (means(values, names), wins(values, names, groups), same_winner(values, groups))
    for lines in (agreement(values[0], groups), *tables):
        print(*lines, "", sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
