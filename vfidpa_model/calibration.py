"""python -m vfidpa_model.calibration: find the threshold that meets a goal, on a manifest's triplets.

Both interpolators and the assessment run once on every triplet; the curve of quality against time follows, and any
goal can be read off it later. Labels are not needed: the true middle frames are.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataset_tools.common import cli
from dataset_tools.errors import UsageError
from dataset_tools.levels import HARD_ABOVE
from dataset_tools.sampling.splits import SPLITS
from vfidpa_model.routing.calibrated import FILE_NAME, Calibration, CalibrationError
from vfidpa_model.routing.shares import lopsided

if TYPE_CHECKING:
    import torch

    from dataset_tools.interpolators import Interpolator
    from vfidpa_model.benchmarking.sets import Item
    from vfidpa_model.routing.quality_cost import Point

PICTURE_NAME = "quality_time.png"


def calibrate(
    items: "Sequence[Item]",
    *,
    assessor: Any,
    fast: "Interpolator",
    accurate: "Interpolator",
    device: "torch.device",
    journal: Path | None = None,
    identity: dict[str, Any] | None = None,
    left_out: dict[str, str] | None = None,
) -> Calibration:
    """Return the calibration measured on triplets.

    Args:
        assessor: An ``Assessor`` (see ``vfidpa_model.inference.assessor``).
        journal: File in which the measurements are kept, so that a killed run can go on.
        identity: What must agree for it to go on.
        left_out: Is given the reason, by key, for each triplet that cannot be read; without it the first is an error.

    Raises:
        CalibrationError: There are no triplets, or none can be read.
    """
    from dataset_tools.common.device import describe_device
    from vfidpa_model.benchmarking import report
    from vfidpa_model.benchmarking.pair_measurement import Plan, measure
    from vfidpa_model.benchmarking.protocols import PROTOCOLS
    from vfidpa_model.benchmarking.times import unsteady
    from vfidpa_model.routing.dynamic import ModelRouter
    from vfidpa_model.routing.quality_cost import curve

    if not items:
        raise CalibrationError("no triplets to calibrate on; see --split and --resolution")
    models, routers = {"fast": fast, "accurate": accurate}, {"model": ModelRouter(assessor)}
    plan = Plan("manifest", PROTOCOLS["rife"], models, routers, device, identity=identity or {})
    rows = measure(items, plan, journal=journal, left_out=left_out)
    if not rows:
        raise CalibrationError(f"none of {len(items)} triplets can be read; python -m dataset_tools.verify tells why")
    for warning in unsteady(rows):
        cli.say(f"warning: {warning}", is_error=True)
    measured = report.measured_pair(report.model_entry(rows, "fast"), report.model_entry(rows, "accurate"))
    scores, seconds = (report.router_values(rows, "model", value) for value in ("score", "seconds"))
    return Calibration(
        fast=fast.name,
        accurate=accurate.name,
        fast_seconds=float(measured.fast_seconds.mean()),
        accurate_seconds=float(measured.accurate_seconds.mean()),
        accurate_psnr=float(measured.accurate_quality.mean()),
        points=curve(measured, scores, router_seconds=float(seconds.mean())),
        pairs=len(rows),
        device=describe_device(device),
    )


def draw(calibration: Calibration, chosen: "Point | None" = None) -> bytes:
    """Return a PNG of the curve, with the chosen setting."""
    from matplotlib.figure import Figure

    from vfidpa_model.evaluation.charts import png_bytes

    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    points = sorted(calibration.points, key=lambda point: point.share)
    axes.plot([p.seconds / calibration.accurate_seconds for p in points], [p.quality for p in points], marker=".")
    axes.plot(1.0, calibration.accurate_psnr, "o", color="black", label=f"{calibration.accurate} alone")
    if chosen is not None:
        place = (chosen.seconds / calibration.accurate_seconds, chosen.quality)
        axes.plot(*place, "o", color="#d1495b", label=f"threshold {chosen.threshold:.3f}, {chosen.share:.0%} accurate")
    title = f"{calibration.fast} and {calibration.accurate}, {calibration.pairs} triplets, {calibration.device}"
    axes.set(xlabel="share of the accurate model's time", ylabel="PSNR, dB", title=title)
    axes.grid(alpha=0.2)
    axes.legend(fontsize=8)
    return png_bytes(figure)


def command(
    manifest: Annotated[Path, typer.Argument(help="Manifest (or its folder) to calibrate on.", show_default=False)],
    run: Annotated[Path, typer.Option(help="VFI-DPA run or checkpoint.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for calibration.json and the curve.")] = Path("runs/calibration"),
    fast: Annotated[str, typer.Option(help="Fast interpolator.")] = "rife",
    accurate: Annotated[str, typer.Option(help="Accurate interpolator.")] = "rife-full",
    weights: Annotated[list[str] | None, typer.Option(help="NAME=FILE: weights of an interpolator.")] = None,
    budget: Annotated[float | None, typer.Option(help="Largest share of the accurate model's time.")] = None,
    quality: Annotated[float | None, typer.Option(help="Largest loss against the accurate model, dB.")] = None,
    split: Annotated[str, typer.Option(help="train, val, test or all: unseen clips give an honest curve.")] = "val",
    resolution: Annotated[str | None, typer.Option(help="Only this tier, e.g. 720p; all by default.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    backend: Annotated[
        str,
        typer.Option(
            help="Engine of RIFE's convolutions: torch, ncnn (extra ncnn, CPU), vulkan or vulkan:N (ncnn on a graphics "
            "card); auto: ncnn where installed."
        ),
    ] = "auto",
) -> int:
    """Find the threshold that keeps to a budget or a quality, and save the curve.

    Prints the threshold for --budget or --quality, or both models' figures without a goal. Times hold for this device.

    \b
    Example:
      python -m vfidpa_model.calibration data --run runs/256p --budget 0.4
    """
    from dataset_tools.common.device import describe_device, select_device
    from dataset_tools.common.files import write_bytes
    from dataset_tools.interpolators import create_interpolator
    from vfidpa_model.benchmarking.pair_measurement import check_none_left_out
    from vfidpa_model.benchmarking.sets import frames_sha256, manifest_items, parse_weights
    from vfidpa_model.inference.assessor import load_checkpoint

    if budget is not None and quality is not None:
        raise UsageError("give either --budget or --quality")
    if split not in (*SPLITS, "all"):
        raise UsageError(f"--split {split!r} must be one of {', '.join(SPLITS)} or all")
    chosen = select_device(device)
    files = parse_weights(weights or [], models=(fast, accurate))
    models = {
        name: create_interpolator(name, weights=files.get(name), device=chosen, backend=backend)
        for name in (fast, accurate)
    }
    items = manifest_items(manifest, split=None if split == "all" else split, resolution=resolution)
    assessor = load_checkpoint(run, device=chosen, backend="auto")
    left_out: dict[str, str] = {}
    calibration = calibrate(
        items,
        assessor=assessor,
        fast=models[fast],
        accurate=models[accurate],
        device=chosen,
        journal=out / "pairs.jsonl",
        identity={
            "models": {name: [model.name, model.weights_sha256] for name, model in models.items()},
            "run": [assessor.weights_sha256, assessor.backend],
            "frames": frames_sha256(manifest),
            "device": describe_device(chosen),
        },
        left_out=left_out,
    )
    calibration.write(out / FILE_NAME)
    goal = None if budget is None and quality is None else calibration.point(budget=budget, quality=quality)
    write_bytes(out / PICTURE_NAME, draw(calibration, goal))
    print(_summary(calibration, goal, out))
    shown = goal or min(calibration.points, key=lambda point: abs(point.threshold - HARD_ABOVE))
    if warning := lopsided(shown.share, pairs=calibration.pairs, threshold=shown.threshold):
        cli.say(f"warning: {warning}", is_error=True)
    check_none_left_out(left_out, len(items))
    return cli.OK


def _summary(calibration: Calibration, goal: "Point | None", out: Path) -> str:
    if goal is None:
        share = calibration.fast_seconds / calibration.accurate_seconds
        return f"{calibration.fast} takes {share:.2f} of the time of {calibration.accurate}; curve in {out}"
    part = goal.seconds / calibration.accurate_seconds
    loss = calibration.accurate_psnr - goal.quality
    return f"threshold {goal.threshold:.4f}: {goal.share:.0%} accurate, {part:.2f} of its time, {loss:.3f} dB below"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return cli.run(command, argv, prog="python -m vfidpa_model.calibration")


if __name__ == "__main__":
    sys.exit(main())
