"""Quality against time with every router in one run, on triplets of clips that the model has not seen.

    python benchmarks/dynamic_curve.py data --run runs/256p --out runs/dynamic-curve

Prints, per router, which share of the accurate model's gain over the fast one is kept at half of its time, with a
95 % bootstrap interval over clips; writes curve.json and quality_time.png. The assessment's time is included.

The gain is counted twice: as mean PSNR, where a decibel counts the same on a pair without a visible fault and on a
broken one, and as mean squared error, where what counts is how much of the error goes away.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from dataset_tools.common.device import describe_device, select_device
from dataset_tools.common.files import write_bytes, write_json
from dataset_tools.interpolators import create_interpolator
from vfidpa_model.benchmarking import report
from vfidpa_model.benchmarking.pair_measurement import Plan, measure
from vfidpa_model.benchmarking.protocols import PROTOCOLS
from vfidpa_model.benchmarking.sets import frames_sha256, manifest_items
from vfidpa_model.inference.assessor import load_checkpoint
from vfidpa_model.routing.dynamic import ModelRouter
from vfidpa_model.routing.quality_cost import Measured, curve, quality_at, random_curve
from vfidpa_model.routing.routers import FlowMagnitude

RESAMPLES = 300


def kept_gain(measured, scores, router_seconds, *, budget):
    """Return the share of the accurate model's gain that is kept at ``budget`` of its time; scores None is random."""
    points = random_curve(measured) if scores is None else curve(measured, scores, router_seconds=router_seconds)
    fast, accurate = measured.fast_quality.mean(), measured.accurate_quality.mean()
    reached = quality_at(points, seconds=budget * measured.accurate_seconds.mean())
    return float((reached - fast) / (accurate - fast))


def squared_error(measured):
    """Return the same measurement with minus the mean squared error (of 8-bit levels) in place of PSNR."""
    qualities = (-(255.0**2) * 10 ** (-psnr / 10) for psnr in (measured.fast_quality, measured.accurate_quality))
    return Measured(*qualities, measured.fast_seconds, measured.accurate_seconds)


def interval(measured, scores, router_seconds, clips, *, budget):
    """Return the 95 % interval of ``kept_gain`` when whole clips are drawn again; Nones for one clip."""
    if len(set(clips)) < 2:
        return [None, None]
    generator = np.random.default_rng(0)
    names = sorted(set(clips))
    members = {name: np.flatnonzero(np.array(clips) == name) for name in names}
    found = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([members[names[i]] for i in generator.integers(0, len(names), len(names))])
        part = Measured(*(getattr(measured, name)[drawn] for name in Measured.__dataclass_fields__))
        found.append(kept_gain(part, None if scores is None else scores[drawn], router_seconds, budget=budget))
    return [float(value) for value in np.quantile(found, [0.025, 0.975])]


def cell(kept):
    """Return a share with its interval and rank correlation, where there are any."""
    interval = "" if kept["low"] is None else f" [{kept['low']:.0%}, {kept['high']:.0%}]"
    rank = "" if kept["rank_correlation"] is None else f", r {kept['rank_correlation']:.2f}"
    return f"{kept['kept_gain']:.0%}{interval}{rank}"


def main() -> int:
    """Measure (or read what an earlier run measured), print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path, help="the data set's folder or manifest")
    parser.add_argument("--run", type=Path, required=True, help="RUN of vfidpa_model.train")
    parser.add_argument("--out", type=Path, default=Path("runs/dynamic-curve"))
    parser.add_argument("--split", default="test", help="its clips must be unseen in training")
    parser.add_argument("--resolution", help="one tier only")
    parser.add_argument("--fast", default="rife")
    parser.add_argument("--accurate", default="rife-full")
    parser.add_argument("--budget", type=float, default=0.5, help="share of the accurate model's time")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = select_device(options.device)
    items = manifest_items(options.manifest, split=options.split, resolution=options.resolution)
    names = (options.fast, options.accurate)
    models = {name: create_interpolator(name, device=device) for name in names}
    assessor = load_checkpoint(options.run, device=device, backend="auto")
    routers = {"VFI-DPA": ModelRouter(assessor), "flow magnitude": FlowMagnitude()}
    identity = {"run": [assessor.weights_sha256, assessor.backend], "models": list(names)}
    identity |= {"frames": frames_sha256(options.manifest), "device": describe_device(device)}
    plan = Plan("manifest", PROTOCOLS["rife"], models, routers, device, identity=identity)
    rows = measure(items, plan, journal=options.out / "pairs.jsonl")

    fast, accurate = (report.model_entry(rows, name) for name in names)
    measured = report.measured_pair(fast, accurate)
    clips = [row["sequence"] for row in rows]
    tried = {
        name: (report.router_values(rows, name, "score"), report.router_values(rows, name, "seconds").mean())
        for name in routers
    }
    tried |= {report.ORACLE: (None, 0.0), report.RANDOM: (None, 0.0)}  # the oracle depends on the measure
    results = {name: {"router_seconds": float(seconds)} for name, (_, seconds) in tried.items()}
    for measure_name, values in (("psnr", measured), ("squared_error", squared_error(measured))):
        tried[report.ORACLE] = (values.gains, 0.0)
        for name, (scores, seconds) in tried.items():
            kept = kept_gain(values, scores, seconds, budget=options.budget)
            low, high = interval(values, scores, seconds, clips, budget=options.budget)
            rank = None if scores is None else float(spearmanr(scores, values.gains).statistic)
            results[name][measure_name] = {"kept_gain": kept, "low": low, "high": high, "rank_correlation": rank}
    lines = [
        f"{len(rows)} triplets of {len(set(clips))} clips, split {options.split}, {identity['device']}",
        f"{names[0]}: {measured.fast_quality.mean():.3f} dB, {measured.fast_seconds.mean():.4f} s a pair; "
        f"{names[1]}: {measured.accurate_quality.mean():.3f} dB, {measured.accurate_seconds.mean():.4f} s a pair, "
        f"{squared_error(measured).gains.mean() / -squared_error(measured).fast_quality.mean():.1%} less squared error",
        "Kept, and in brackets its interval over clips; r: rank correlation of the scores with the gain.",
        "",
        f"| router | PSNR gain kept at {options.budget:g} of the time | error removed kept | seconds to route |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name} | {cell(r['psnr'])} | {cell(r['squared_error'])} | {r['router_seconds']:.4f} |"
            for name, r in results.items()
        ),
    ]
    found = report.curves(rows, fast, accurate)
    points = {name: [[p.share, p.seconds, p.quality] for p in line] for name, line in found.items()}
    write_json(options.out / "curve.json", {**identity, "kept_gain": results, "share_seconds_psnr": points})
    title = f"{names[0]} and {names[1]}, {len(rows)} triplets, {identity['device']}"
    write_bytes(options.out / "quality_time.png", report.draw_curves(found, title=title, alone=(fast, accurate)))
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
