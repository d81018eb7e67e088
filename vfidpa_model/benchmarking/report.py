"""What a benchmark prints and writes: the table in the shape of the paper's first, details with intervals, a plot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dataset_tools.common.markdown import to_table
from vfidpa_model.benchmarking.pair_measurement import Row
from vfidpa_model.benchmarking.times import typical_seconds
from vfidpa_model.evaluation.charts import png_bytes
from vfidpa_model.routing.quality_cost import Measured, Point, Values, curve, mean_with_interval, random_curve
from vfidpa_model.routing.shares import hardest_first

METRICS = ("psnr", "ssim", "lpips", "ie")
ORACLE, RANDOM = "oracle (true gain)", "random"
FIXED_SHARES = (0.1, 0.2, 0.3, 0.5)  # of the pairs that the accurate model gets
_SEED = 0  # of the bootstrap: a report is the same each time it is written


@dataclass(frozen=True)
class Entry:
    """One line of the table: a model alone, or a dynamic setting.

    Attributes:
        values: Metric to value per triplet; nan where it was not measured.
        seconds: Per triplet, assessment included: the median of its frame size, see ``times``.
        share: Which triplets went to the accurate model, 0 or 1 (or a share); None for a model alone.
    """

    name: str
    values: dict[str, Values]
    seconds: Values
    share: Values | None


def model_entry(rows: Sequence[Row], name: str) -> Entry:
    """Return the line of a model alone."""
    found = [row["models"][name] for row in rows]
    values = {metric: _column(found, metric) for metric in METRICS}
    return Entry(name, values, typical_seconds(rows, _column(found, "seconds")), None)


def dynamic_entry(name: str, fast: Entry, accurate: Entry, share: Values, *, router_seconds: Values | float) -> Entry:
    """Return the line of a dynamic setting.

    Args:
        share: Per triplet, 1 where the accurate model is used, 0 where the fast one; between for an expectation.
        router_seconds: Time of the assessment.
    """
    values = {metric: _mix(fast.values[metric], accurate.values[metric], share) for metric in METRICS}
    return Entry(name, values, _mix(fast.seconds, accurate.seconds, share) + router_seconds, share)


def measured_pair(fast: Entry, accurate: Entry) -> Measured:
    """Return PSNR and time of both models, for curves."""
    return Measured(fast.values["psnr"], accurate.values["psnr"], fast.seconds, accurate.seconds)


def router_values(rows: Sequence[Row], name: str, value: str) -> Values:
    """Return a router's ``score`` or ``seconds`` per triplet; seconds are typical ones of the frame's size."""
    found = _column([row["routers"][name] for row in rows], value)
    return typical_seconds(rows, found) if value == "seconds" else found


def top_share(scores: Values, share: float) -> Values:
    """Return 1 for the hardest ``share`` of the triplets (rounded to whole triplets; ties in order), else 0."""
    chosen = np.zeros(len(scores))
    chosen[hardest_first(scores)[: round(share * len(scores))]] = 1.0
    return chosen


def curves(rows: Sequence[Row], fast: Entry, accurate: Entry) -> dict[str, list[Point]]:
    """Return the quality-time curve of every router, the oracle and random."""
    measured = measured_pair(fast, accurate)
    found = {}
    for name in rows[0]["routers"]:
        seconds = float(router_values(rows, name, "seconds").mean())
        found[name] = curve(measured, router_values(rows, name, "score"), router_seconds=seconds)
    found[ORACLE] = curve(measured, measured.gains)
    found[RANDOM] = random_curve(measured)
    return found


def shares_table(rows: Sequence[Row], fast: Entry, accurate: Entry) -> str:
    """Return Markdown: every router at the same shares of the pairs, so that no threshold decides who looks best.

    A cell holds PSNR in dB and how much of the squared error that the accurate model removes is removed, in %, pooled.
    """
    scores = {name: router_values(rows, name, "score") for name in rows[0]["routers"]}
    scores[ORACLE] = measured_pair(fast, accurate).gains
    errors = [10 ** (-entry.values["psnr"] / 10) for entry in (fast, accurate)]
    removable = (errors[0] - errors[1]).sum()
    lines = []
    for name in [*scores, RANDOM]:
        cells = []
        for share in FIXED_SHARES:
            chosen = top_share(scores[name], share) if name in scores else np.full(len(rows), share)
            quality = _mix(fast.values["psnr"], accurate.values["psnr"], chosen).mean()
            removed = (errors[0] - _mix(errors[0], errors[1], chosen)).sum()
            cells.append(f"{quality:.3f} / {100 * removed / removable:.0f}" if removable > 0 else f"{quality:.3f} / –")
        lines.append([name, *cells])
    return to_table(["PSNR / error removed, %, at", *(f"{share:.0%} accurate" for share in FIXED_SHARES)], lines)


def main_table(rows: Sequence[Row], entries: Sequence[Entry]) -> str:
    """Return Markdown: a line per entry, PSNR/SSIM per subset, seconds per pair, share of the accurate model."""
    subsets = _subsets(rows)
    lines = []
    for entry in entries:
        cells = []
        for subset in subsets:
            chosen = _members(rows, subset)
            quality, similarity = (float(entry.values[name][chosen].mean()) for name in ("psnr", "ssim"))
            cells.append(f"{quality:.2f}/{similarity:.4f}")
        share = "" if entry.share is None else f"{entry.share.mean():.0%}"
        lines.append([entry.name, *cells, f"{entry.seconds.mean():.4f}", share])
    return to_table(["", *subsets, "seconds per pair", "accurate"], lines)


def details(rows: Sequence[Row], entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return, per entry and subset, the means, and the 95 % interval of PSNR by bootstrap over sequences."""
    found = []
    for entry in entries:
        for subset in _subsets(rows):
            chosen = _members(rows, subset)
            sequences = [row["sequence"] for row in rows if row["subset"] == subset]
            psnr, low, high = mean_with_interval(
                entry.values["psnr"][chosen], sequences, generator=np.random.default_rng(_SEED)
            )
            means = {name: float(entry.values[name][chosen].mean()) for name in METRICS}
            record = {"model": entry.name, "subset": subset, **means, "psnr": psnr, "psnr_low": low, "psnr_high": high}
            record["seconds"] = float(entry.seconds[chosen].mean())
            record["accurate_share"] = None if entry.share is None else float(entry.share[chosen].mean())
            record["triplets"], record["sequences"] = int(chosen.sum()), len(set(sequences))
            found.append({key: None if value != value else value for key, value in record.items()})
    return found


def details_table(records: Sequence[Mapping[str, Any]]) -> str:
    """Return ``details`` as Markdown."""
    titles = ["", "subset", "PSNR [95 % interval]", "SSIM", "LPIPS", "IE", "seconds", "accurate", "triplets"]
    lines = []
    for record in records:
        interval = f"{record['psnr']:.2f}"
        if record["psnr_low"] is not None:
            interval += f" [{record['psnr_low']:.2f}, {record['psnr_high']:.2f}]"
        numbers = [_number(record[name], "{:.4f}") for name in ("ssim", "lpips")]
        share = _number(record["accurate_share"], "{:.0%}")
        rest = [_number(record["ie"], "{:.3f}"), _number(record["seconds"], "{:.4f}"), share]
        counts = f"{record['triplets']} of {record['sequences']} sequences"
        lines.append([record["model"], record["subset"], interval, *numbers, *rest, counts])
    return to_table(titles, lines)


def draw_curves(found: Mapping[str, Sequence[Point]], *, title: str, alone: Sequence[Entry] = ()) -> bytes:
    """Return a PNG: quality against time, a line per router, a dot per model alone."""
    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    for name, points in found.items():
        ordered = sorted(points, key=lambda point: point.share)
        style: dict[str, Any] = {"color": "grey", "linestyle": "--"} if name.startswith(RANDOM) else {}
        axes.plot([p.seconds for p in ordered], [p.quality for p in ordered], label=name, linewidth=1.5, **style)
    for entry in alone:
        axes.plot(entry.seconds.mean(), entry.values["psnr"].mean(), "o", color="black", markersize=4)
        axes.annotate(entry.name, (entry.seconds.mean(), entry.values["psnr"].mean()), fontsize=8)
    axes.set(xlabel="seconds per pair, assessment included", ylabel="PSNR, dB", title=title)
    axes.grid(alpha=0.2)
    axes.legend(fontsize=8, loc="lower right")
    return png_bytes(figure)


def _subsets(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["subset"] for row in rows))


def _members(rows: Sequence[Row], subset: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.array([row["subset"] == subset for row in rows])


def _column(found: Sequence[Mapping[str, Any]], name: str) -> Values:
    return np.array([np.nan if entry[name] is None else entry[name] for entry in found], dtype=np.float64)


def _mix(fast: Values, accurate: Values, share: Values) -> Values:
    return fast * (1 - share) + accurate * share


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
