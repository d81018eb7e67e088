"""python -m vfidpa_model.benchmark: interpolators and the dynamic pipeline on a benchmark set."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataset_tools.common import cli
from dataset_tools.errors import UsageError
from dataset_tools.levels import HARD_ABOVE
from vfidpa_model.benchmarking.sets import parse_weights
from vfidpa_model.routing.shares import is_hard, lopsided

if TYPE_CHECKING:
    import torch

    from dataset_tools.interpolators import Interpolator
    from vfidpa_model.benchmarking.pair_measurement import Plan, Row
    from vfidpa_model.benchmarking.report import Entry
    from vfidpa_model.routing.dynamic import Router
    from vfidpa_model.routing.quality_cost import Point

FLOW = "flow magnitude"
ACCURATE = "rife-full"


@dataclass(frozen=True)
class Setup:
    """What is compared.

    Attributes:
        models: By registry name; always the fast and the accurate ones.
        routers: By the name they get in the table.
        identity: What must agree for an interrupted run to be gone on with.
    """

    models: "dict[str, Interpolator]"
    routers: "dict[str, Router]"
    identity: dict[str, Any]


def benchmark(
    set_name: Annotated[
        str,
        typer.Argument(
            metavar="SET",
            help="snu-film, xiph-2k, xiph-4k, vimeo90k, ucf101, middlebury or manifest.",
            show_default=False,
        ),
    ],
    root: Annotated[Path, typer.Option(help="Folder of the set; for manifest the Parquet file.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder for the results; runs/benchmark-SET by default.")] = None,
    fast: Annotated[str, typer.Option(help="Fast interpolator.")] = "rife",
    accurate: Annotated[
        list[str] | None, typer.Option(help=f"Accurate interpolator; may be repeated. {ACCURATE} by default.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="A further interpolator to compare; may be repeated.")] = None,
    weights: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE: weights of an interpolator; may be repeated.")
    ] = None,
    run: Annotated[
        list[Path] | None, typer.Option(help="A VFI-DPA run or checkpoint to route with; may be repeated.")
    ] = None,
    threshold: Annotated[
        list[float] | None, typer.Option(help=f"Scores up to it are fast; may be repeated. {HARD_ABOVE} by default.")
    ] = None,
    spatial: Annotated[bool, typer.Option("--spatial", hidden=True)] = False,  # gone: refused in words
    protocol: Annotated[
        str, typer.Option(help="Padding and rounding of which authors: upr, rife or vfiformer.")
    ] = "rife",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N triplets of each subset.")] = None,
    lpips: Annotated[bool, typer.Option(help="Measure LPIPS too.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    backend: Annotated[
        str,
        typer.Option(
            help="Engine of RIFE's convolutions: torch, ncnn (extra ncnn, CPU), vulkan or vulkan:N (ncnn on a graphics "
            "card); auto: ncnn where installed."
        ),
    ] = "auto",
) -> int:
    """Measure interpolators and dynamic settings on a benchmark set.

    Prints a Markdown table and writes table.md, results.json and quality_time.png. Every triplet is interpolated once
    by every model; run the same command again to go on after an interruption. Triplets whose frames are missing or
    damaged are left out for all models and counted above the table; the exit code is then 1.

    \b
    Example, the paper's first table:
      python -m vfidpa_model.benchmark snu-film --root SNU-FILM --run runs/256p --protocol upr \\
          --accurate upr-net --weights upr-net=upr-base.pkl --accurate vfiformer --weights vfiformer=vfiformer.pth
    """
    from dataset_tools.common.device import select_device
    from vfidpa_model.benchmarking.pair_measurement import check_none_left_out, measure
    from vfidpa_model.benchmarking.protocols import PROTOCOLS
    from vfidpa_model.benchmarking.sets import load_set

    if protocol not in PROTOCOLS:
        raise UsageError(f"--protocol {protocol!r} must be one of {', '.join(PROTOCOLS)}")
    if spatial:
        raise UsageError(
            "--spatial is gone: the cascade refines parts of frames (vfidpa_model.interpolate --effort), and "
            "benchmarks/dynamic_curve.py measures it beside score maps; leave the option out"
        )
    chosen = select_device(device)
    items = _limited(load_set(set_name, root), limit)
    slow = list(dict.fromkeys(accurate or [ACCURATE]))
    if fast in slow:
        raise UsageError(f"--accurate {fast!r} must be another interpolator than --fast")
    names = list(dict.fromkeys([fast, *slow, *(model or [])]))
    thresholds = threshold or [HARD_ABOVE]
    setup = _set_up(set_name, names, weights or [], run or [], chosen, backend)
    out = out or Path("runs") / f"benchmark-{set_name}"
    plan = _plan(setup, set_name, root, protocol=protocol, lpips=lpips, device=chosen)
    left_out: dict[str, str] = {}
    rows = measure(items, plan, journal=out / "pairs.jsonl", left_out=left_out)
    if rows:
        _report(rows, out, plan.ssim_name, setup, fast, slow, thresholds, left_out)
    check_none_left_out(left_out, len(items))
    return cli.OK


def _plan(setup: Setup, set_name: str, root: Path, *, protocol: str, lpips: bool, device: "torch.device") -> "Plan":
    from dataset_tools.common.device import describe_device
    from dataset_tools.prediction.metrics import Lpips
    from vfidpa_model.benchmarking.pair_measurement import Plan
    from vfidpa_model.benchmarking.protocols import PROTOCOLS
    from vfidpa_model.benchmarking.sets import frames_sha256

    setup.identity.update(set=set_name, protocol=protocol, lpips=lpips, device=describe_device(device))
    if set_name == "manifest":  # the other sets hold the same frames wherever they lie
        setup.identity["frames"] = frames_sha256(root)
    measured = Lpips(device) if lpips else None
    return Plan(set_name, PROTOCOLS[protocol], setup.models, setup.routers, device, measured, identity=setup.identity)


def _report(
    rows: "Sequence[Row]",
    out: Path,
    ssim_name: str,
    setup: Setup,
    fast_name: str,
    accurate_names: Sequence[str],
    thresholds: Sequence[float],
    left_out: Mapping[str, str],
) -> None:
    from dataset_tools.common.files import write_bytes, write_json
    from vfidpa_model.benchmarking import report
    from vfidpa_model.benchmarking.times import unsteady

    alone = [report.model_entry(rows, name) for name in setup.models]
    by_name = {entry.name: entry for entry in alone}
    fast, several = by_name[fast_name], len(accurate_names) > 1
    _warn_of_lopsided(rows, thresholds)
    dynamic: list[Entry] = []
    found: dict[str, list[Point]] = {}
    shares = []
    for accurate in (by_name[name] for name in accurate_names):
        # With several accurate models each line says which of them it goes to.
        to = f" to {accurate.name}" if several else ""
        dynamic += dynamic_entries(rows, fast, accurate, thresholds, to=to)
        found |= {f"{name}{to}": points for name, points in report.curves(rows, fast, accurate).items()}
        shares.append((f"Routed{to}:\n\n" if several else "") + report.shares_table(rows, fast, accurate))
    records = report.details(rows, [*alone, *dynamic])
    identity = setup.identity
    heading = (
        f"{identity['set']}, protocol {identity['protocol']}, PSNR/{ssim_name}, {identity['device']}, "
        f"{len(rows)} triplets{_counted(left_out)}; fast {fast.name}, accurate {', '.join(accurate_names)}"
    )
    table = "\n\n".join([report.main_table(rows, [*alone, *dynamic]), *shares])
    write_json(
        out / "results.json",
        {
            **identity,
            "ssim": ssim_name,
            "fast": fast.name,
            "accurate": accurate_names[0] if not several else list(accurate_names),
            "left_out": dict(left_out),
            "results": records,
            "curves": {
                name: [{"share": p.share, "seconds": p.seconds, "psnr": p.quality} for p in points]
                for name, points in found.items()
            },
        },
    )
    write_bytes(out / "table.md", f"{heading}\n\n{table}\n\n{report.details_table(records)}\n".encode())
    for warning in unsteady(rows):
        cli.say(f"warning: {warning}", is_error=True)
    write_bytes(out / "quality_time.png", report.draw_curves(found, title=heading.split(";")[0], alone=alone))
    print(f"{heading}\n\n{table}\n\nwritten: {out}")


def _counted(left_out: Mapping[str, str]) -> str:
    """Return how many triplets are not in the table, for its heading."""
    if not left_out:
        return ""
    subsets = Counter(key.split("/")[0] for key in left_out)
    parts = ", ".join(f"{count} of {subset}" for subset, count in subsets.items())
    return f" ({len(left_out)} left out: {parts})"


def _warn_of_lopsided(rows: "Sequence[Row]", thresholds: Sequence[float]) -> None:
    from vfidpa_model.benchmarking import report

    for name in (router for router in rows[0]["routers"] if router != FLOW):
        scores = report.router_values(rows, name, "score")
        for threshold in thresholds:
            if warning := lopsided(float(is_hard(scores, threshold).mean()), pairs=len(scores), threshold=threshold):
                cli.say(f"warning: {name}: {warning}", is_error=True)


def dynamic_entries(
    rows: "Sequence[Row]", fast: "Entry", accurate: "Entry", thresholds: Sequence[float], *, to: str = ""
) -> "list[Entry]":
    """Return a line per model and threshold, then the other routers at the share of the first such line.

    Without a model the others get a share of one half. ``to`` is put behind each name.
    """
    from vfidpa_model.benchmarking import report

    entries = []
    for name in rows[0]["routers"]:
        if name == FLOW:
            continue
        scores, seconds = (report.router_values(rows, name, value) for value in ("score", "seconds"))
        for threshold in thresholds:
            share = is_hard(scores, threshold).astype(float)
            label = f"dynamic, {name}, threshold {threshold:g}{to}"
            entries.append(report.dynamic_entry(label, fast, accurate, share, router_seconds=seconds))
    part = float(entries[0].share.mean()) if entries and entries[0].share is not None else 0.5
    everyone = fast.seconds * 0 + part
    flow, seconds = (report.router_values(rows, FLOW, value) for value in ("score", "seconds"))
    gains = accurate.values["psnr"] - fast.values["psnr"]
    return [
        *entries,
        report.dynamic_entry(f"dynamic, {report.RANDOM}{to}", fast, accurate, everyone, router_seconds=0.0),
        report.dynamic_entry(
            f"dynamic, {FLOW}{to}", fast, accurate, report.top_share(flow, part), router_seconds=seconds
        ),
        report.dynamic_entry(
            f"dynamic, {report.ORACLE}{to}", fast, accurate, report.top_share(gains, part), router_seconds=0.0
        ),
    ]


def _set_up(
    set_name: str,
    names: Sequence[str],
    weights: Sequence[str],
    runs: Sequence[Path],
    device: "torch.device",
    backend: str,
) -> Setup:
    from dataset_tools.interpolators import create_interpolator
    from vfidpa_model.benchmarking.protocols import model_options
    from vfidpa_model.inference.assessor import load_checkpoint
    from vfidpa_model.routing.dynamic import ModelRouter
    from vfidpa_model.routing.routers import FlowMagnitude

    files = parse_weights(weights, models=names)
    models = {
        name: create_interpolator(
            name, weights=files.get(name), device=device, backend=backend, **model_options(name, set_name)
        )
        for name in names
    }
    routers: dict[str, Router] = {}
    known = {}
    for path in runs:
        assessor = load_checkpoint(path, device=device, backend="auto")
        name = _label(path, routers)
        routers[name], known[name] = ModelRouter(assessor), [assessor.weights_sha256, assessor.backend]
    routers[FLOW] = FlowMagnitude()
    identity = {"models": {name: [made.name, made.weights_sha256] for name, made in models.items()}, "routers": known}
    return Setup(models, routers, identity)


def _label(path: Path, taken: Mapping[str, Any]) -> str:
    name = path.resolve().name
    if name in ("best", "last"):
        name = path.resolve().parent.name
    return name if name not in taken else f"{name} ({len(taken) + 1})"


def _limited(items: Sequence[Any], limit: int | None) -> list[Any]:
    counts: dict[str, int] = {}
    kept = []
    for item in items:
        counts[item.subset] = counts.get(item.subset, 0) + 1
        if limit is None or counts[item.subset] <= limit:
            kept.append(item)
    return kept


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return cli.run(benchmark, argv, prog="python -m vfidpa_model.benchmark")


if __name__ == "__main__":
    sys.exit(main())
