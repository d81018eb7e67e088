"""Quality against time of every router and signal in one run, on triplets of clips that no shipped weight has seen.

    python -m dataset_tools.extract --source videos:CLIPS --out runs/curve-data --count 110 --per-clip 2 \\
        --resolutions 256p,720p,1080p --intervals 1-4 --predictor none --seed 5
    python benchmarks/dynamic_curve.py runs/curve-data --clips CLIPS/clips.tsv --unseen --checkpoint light=light \\
        --limit 720p=14 --limit 1080p=3 --prepare
    python benchmarks/dynamic_curve.py runs/curve-data --clips CLIPS/clips.tsv --unseen --checkpoint light=light \\
        --limit 720p=14 --limit 1080p=3

The triplets of one size go through the cascade as one stream. What hangs on content alone (--prepare) is measured
first, on however busy a machine; then times are, which need a quiet one. Prints, per router, which share of the
accurate model's gain is kept at some shares of its time: of the error that goes away (mean squared error), of LPIPS,
and of decibels, pooled over clips, beside what is aimed at; 95 % intervals by drawing film groups again. Everything
is in the time: the fast model, the signal, the choice, the refinement. Writes curves (PNG), the table (Markdown) and
all numbers (JSON) to --out. The same command goes on after a break; other code, weights or options begin journals of
their own beside.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from model_choice import film_groups
from routing_measure import Runner, code_sha256, qualities, with_times
from routing_signals import FlowTiles, FrameDifference, OracleTiles, RandomTiles, ScoreMap
from train_shipped import choose_clips

from dataset_tools.common.device import describe_device, select_device
from dataset_tools.common.files import write_bytes, write_json
from dataset_tools.common.memory import keep_freed_memory
from dataset_tools.interpolators import create_interpolator
from dataset_tools.prediction.metrics import Lpips
from vfidpa_model.benchmarking.sets import frames_sha256, manifest_items
from vfidpa_model.evaluation.charts import png_bytes
from vfidpa_model.inference.assessor import load_checkpoint
from vfidpa_model.routing.dynamic import ModelRouter
from vfidpa_model.routing.quality_cost import draw_groups
from vfidpa_model.routing.routers import FlowMagnitude
from vfidpa_model.routing.shares import hardest_first
from vfidpa_model.routing.signals import DecidedDifference, WarpedDifference

MEASURES = {"error removed": (0, -1), "LPIPS gain": (2, -1), "decibels": (1, 1)}  # column, sign: more is better
# What is aimed at: per goal and share of its time, the kept share of error, LPIPS and decibels in %.
AIMS = {("accurate", 0.6): (75, 65, 62), ("accurate", 0.7): (88, 80, 76), ("reference", 0.5): (65, 50, 50)}
PAIR_SHARES = np.linspace(0, 1, 21)  # of pairs that a whole-pair router sends to the accurate model
RESAMPLES = 2000


def families(rows):
    """Return name -> list of settings, each (triplets, 4): squared error, PSNR, LPIPS and seconds."""
    alone = {name: np.array([row["models"][name] for row in rows])[:, :4] for name in rows[0]["models"]}
    fast, accurate = alone["fast"], alone["accurate"]
    found = {"one after the other": [fast, accurate]}
    for name in rows[0]["settings"]:
        values = np.array([row["settings"][name] for row in rows])[:, :4]
        found.setdefault(name.rpartition(" @ ")[0], []).append(values)
    gain = fast[:, 0] - accurate[:, 0]
    scores = {"oracle, whole pairs": (gain, 0.0)}
    for name in rows[0]["routers"]:
        values = np.array([row["routers"][name] for row in rows])
        scores[name] = values[:, 0], values[:, 1]
    for name, (score, seconds) in scores.items():
        rank = np.argsort(hardest_first(score)) / len(score)
        for share in PAIR_SHARES:
            mixed = np.where((rank < share)[:, None], accurate, fast)
            mixed[:, 3] += seconds
            found.setdefault(name, []).append(mixed)
    return alone, found


def kept(settings, alone, goal, weights, *, budget):
    """Return the share of the gain of ``goal`` kept at ``budget`` of its time, per measure: (draws, 3).

    Args:
        weights: (draws, triplets): how often each triplet was drawn.
    """
    fast, best = weights @ alone["fast"], weights @ alone[goal]
    ends = [fast] if settings is None else [fast, *(weights @ values for values in settings)]
    if goal == "accurate":
        ends.append(best)
    sums = np.stack(ends, 1)  # (draws, settings, 4)
    result = np.empty((len(weights), len(MEASURES)))
    for draw in range(len(weights)):
        order = np.argsort(sums[draw, :, 3], kind="stable")
        times = sums[draw, order, 3] / best[draw, 3]
        for place, (column, _) in enumerate(MEASURES.values()):
            gains = (sums[draw, order, column] - fast[draw, column]) / (best[draw, column] - fast[draw, column])
            result[draw, place] = np.interp(budget, times, gains)
    return result


def table(rows, groups, *, budgets, reference):
    """Return the Markdown lines and the numbers of one size."""
    alone, found = families(rows)
    once = np.ones((1, len(rows)))
    draws = draw_groups(groups, generator=np.random.default_rng(0), resamples=RESAMPLES)
    goals = [("accurate", budget) for budget in budgets] + ([("reference", 0.5)] if reference else [])
    head = " | ".join(f"at {budget:g} of {goal}'s time: error / LPIPS / dB, %" for goal, budget in goals)
    lines, numbers = [f"| router or signal | {head} |", f"| --- |{' --- |' * len(goals)}"], {}
    aims = [AIMS.get(goal) for goal in goals]
    lines.append(f"| aim | {' | '.join(' / '.join(map(str, aim)) if aim else '' for aim in aims)} |")
    for name, settings in found.items():
        cells = []
        for goal, budget in goals:
            if goal == "reference" and name == "one after the other":
                settings = [alone["fast"], alone["accurate"]]
            share = kept(settings, alone, goal, once, budget=budget)[0]
            low, high = np.quantile(kept(settings, alone, goal, draws, budget=budget), [0.025, 0.975], axis=0)
            spans = zip(share, low, high, strict=True)
            if len(set(groups)) == 1:  # one group says nothing about others
                cells.append(" / ".join(f"{100 * a:.0f}" for a in share))
            else:
                cells.append(" / ".join(f"{100 * a:.0f} [{100 * b:.0f}, {100 * c:.0f}]" for a, b, c in spans))
            numbers.setdefault(name, {})[f"{goal} at {budget:g}"] = {
                measure: [float(a), float(b), float(c)]
                for measure, a, b, c in zip(MEASURES, share, low, high, strict=True)
            }
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines, numbers


def summary(rows, groups, tier):
    """Return lines on the models alone, on the signals' own time, and on the cost of each effort."""
    alone, _ = families(rows)
    seconds = alone["accurate"][:, 3].sum()
    clips = len({row["clip"] for row in rows})
    lines = [f"## {tier}: {len(rows)} triplets of {clips} clips in {len(set(groups))} film groups", ""]
    for name, values in alone.items():
        mean = values.mean(0)
        lines.append(
            f"- {name}: squared error {mean[0]:.3f} of 255, {mean[1]:.3f} dB, LPIPS {mean[2]:.4f}, "
            f"{mean[3]:.3f} s a pair, {values[:, 3].sum() / seconds:.2f} of accurate"
        )
    part = np.mean([row["overhead"] for row in rows]) / alone["fast"][:, 3].mean()
    lines.append(f"- the cascade's signal and choice take {part:.1%} of fast's time")
    for name in rows[0]["settings"]:
        if name.rpartition(" @ ")[0] == DecidedDifference().name:
            values = np.array([row["settings"][name] for row in rows])
            lines.append(
                f"- {name}: cost {values[:, 4].mean():.2f}, area {values[:, 5].mean():.2f}, "
                f"{values[:, 3].sum() / seconds:.2f} of accurate's time"
            )
    return [*lines, ""]


def draw(rows, title):
    """Return a PNG: kept share of each measure against time, a curve per router."""
    alone, found = families(rows)
    figure = Figure(figsize=(15, 5), layout="constrained")
    for axes, (measure_name, (column, _)) in zip(figure.subplots(1, 3), MEASURES.items(), strict=True):
        fast, accurate = alone["fast"].sum(0), alone["accurate"].sum(0)
        for name, settings in found.items():
            sums = np.array([fast, *(values.sum(0) for values in settings), accurate])
            sums = sums[np.argsort(sums[:, 3], kind="stable")]
            gains = (sums[:, column] - fast[column]) / (accurate[column] - fast[column])
            style = "-" if name.startswith("decided") else "--" if "oracle" in name else ":"
            axes.plot(sums[:, 3] / accurate[3], gains, style, marker=".", markersize=3, label=name)
        axes.set(xlabel="share of the accurate model's time", ylabel="share of its gain", title=measure_name)
        axes.grid(alpha=0.2)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    figure.suptitle(title)
    return png_bytes(figure)


def pairs_of(values):
    """Return NAME=VALUE options as a dictionary."""
    return dict(value.split("=", 1) for value in values or [])


def main() -> int:
    """Measure (or read what an earlier run measured), print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, help="the data set's folder or manifest")
    parser.add_argument("--clips", type=Path, help="table (TSV) of the clips with columns name and film_group")
    parser.add_argument("--unseen", action="store_true", help="only clips that train_shipped.py leaves for tests")
    parser.add_argument("--checkpoint", action="append", metavar="NAME=RUN", help="a VFI-DPA model; repeatable")
    parser.add_argument("--fast", default="rife")
    parser.add_argument("--accurate", default="rife-refined")
    parser.add_argument("--reference", default="rife-full", help="whose gain at half of its time is told; '' for none")
    parser.add_argument("--weights", action="append", metavar="NAME=FILE", help="weights of an interpolator")
    parser.add_argument("--resolutions", default="256p,720p,1080p", help="by comma")
    parser.add_argument("--limit", action="append", metavar="RESOLUTION=N", help="at most so many triplets; repeatable")
    parser.add_argument("--efforts", default="0.2,0.35,0.5", help="by comma")
    parser.add_argument("--budgets", default="0.6,0.7", help="shares of the accurate model's time, by comma")
    parser.add_argument("--signals", help="only those whose name ends with one of these words, by comma")
    parser.add_argument(
        "--cpu-seconds",
        action="store_true",
        help="count this process's CPU time: with OMP_NUM_THREADS=1 ratios that hold on a busy machine",
    )
    parser.add_argument("--repeats", type=int, default=1, help="rounds of times; the least of each counts")
    parser.add_argument(
        "--prepare", action="store_true", help="measure what needs no clock, and no more: no quiet machine"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order of the triplets")
    parser.add_argument("--out", type=Path, default=Path("runs/dynamic-curve"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--backend", default="torch", help="engine of the interpolators: torch, ncnn or auto")
    options = parser.parse_args()
    keep_freed_memory()
    device, files = select_device(options.device), pairs_of(options.weights)
    names = {"fast": options.fast, "accurate": options.accurate, "reference": options.reference}
    models = {
        role: create_interpolator(
            name, weights=Path(files[name]) if name in files else None, device=device, backend=options.backend
        )
        for role, name in names.items()
        if name
    }
    assessors = {
        name: load_checkpoint(Path(run), device=device, backend="auto")
        for name, run in pairs_of(options.checkpoint).items()
    }
    films = film_groups(options.clips)
    unseen = {name for name, part in choose_clips(options.clips).items() if part == "test"} if options.unseen else None
    limits = {name: int(count) for name, count in pairs_of(options.limit).items()}
    efforts = [float(effort) for effort in options.efforts.split(",")]
    budgets = [float(budget) for budget in options.budgets.split(",")]
    routers = {
        "flow magnitude, whole pairs": FlowMagnitude(),
        **{f"{name}, whole pairs": ModelRouter(assessor) for name, assessor in assessors.items()},
    }
    lpips, report, numbers = Lpips(device), [], {}
    for tier in options.resolutions.split(","):
        items = manifest_items(options.manifest, resolution=tier)
        items = in_order([item for item in items if unseen is None or Path(item.sequence).name in unseen], options.seed)
        identity = {
            "models": {role: [model.name, model.weights_sha256] for role, model in models.items()},
            "runs": {name: assessor.weights_sha256 for name, assessor in assessors.items()},
            "signals": [[signal.name for signal in signals_of(assessors, options.signals)], efforts],
            "frames": [frames_sha256(options.manifest), [item.key for item in items]],
            "code": code_sha256(),
        }
        items = items[: limits.get(tier)]
        if not items:
            continue
        runner = Runner(
            models,
            signals=signals_of(assessors, options.signals),
            routers=routers,
            efforts=efforts,
            lpips=lpips,
            device=device,
            clock=time.process_time if options.cpu_seconds else time.perf_counter,
        )
        rows = qualities(items, runner, folder=options.out / tier, identity=identity)
        if options.prepare:
            continue
        identity["times"] = [describe_device(device), options.cpu_seconds, torch.get_num_threads(), len(items)]
        rows = with_times(items, rows, runner, folder=options.out / tier, identity=identity, repeats=options.repeats)
        groups = [films.get(row["clip"], row["clip"]) for row in rows]
        lines, numbers[tier] = table(rows, groups, budgets=budgets, reference="reference" in models)
        report += [*summary(rows, groups, tier), *lines, ""]
        title = f"{options.fast} and {options.accurate}, {tier}, {len(rows)} triplets, {describe_device(device)}"
        write_bytes(options.out / f"curves_{tier}.png", draw(rows, title))
        write_bytes(options.out / "curve.md", "\n".join(report).encode())  # after each size: a run may end early
        write_json(options.out / "curve.json", numbers)
    print("\n".join(report))
    return 0


def in_order(items, seed):
    """Return the items in a drawn order in which every clip comes once before any comes twice."""
    drawn = [items[index] for index in np.random.default_rng(seed).permutation(len(items))]
    seen = Counter()
    turn = []
    for item in drawn:
        turn.append(seen[item.sequence])
        seen[item.sequence] += 1
    return [drawn[place] for place in np.argsort(turn, kind="stable")]


def signals_of(assessors, words):
    """Return new signals, those whose name ends with one of ``words`` (by comma), or all."""
    found = [*(DecidedDifference(evenness) for evenness in (0.5, 0.25, 0)), WarpedDifference(0.5), WarpedDifference(0)]
    found += [FrameDifference(), FlowTiles(), *(ScoreMap(name, assessor) for name, assessor in assessors.items())]
    found += [RandomTiles(), OracleTiles()]
    return [signal for signal in found if not words or any(signal.name.endswith(word) for word in words.split(","))]


if __name__ == "__main__":
    sys.exit(main())
