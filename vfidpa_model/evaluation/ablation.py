"""The table of an ablation: what each row reached over its seeds, and how far it is from the whole model."""

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dataset_tools.common.markdown import to_table
from dataset_tools.common.statistics import interval95
from vfidpa_model.evaluation.comparison import MODEL
from vfidpa_model.evaluation.measures import Values, bootstrap_by_clip

if TYPE_CHECKING:
    from vfidpa_model.evaluation.cost import Cost

MEASURES = ("acc@0.25", "acc@0.5", "acc@0.75", "acc@1", "mae", "srcc", "plcc")
REFERENCE = "full"  # what all are compared with; the first row where it was not asked for


def summarise(
    records: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    titles: Mapping[str, str],
    costs: "Mapping[str, Cost]",
    clips: Sequence[str],
) -> dict[str, Any]:
    """Return the rows of the table as JSON values.

    Each has ``measures`` (name to one value per seed) and, for models, ``srcc_gain``: how far its mean SRCC is above
    the reference row's, with a 95 % interval over clips; the baselines of the first evaluation follow.

    Args:
        records: Row to the evaluations of its seeds (``evaluation.json``), all of the same pairs in the same order.
        clips: The clip of each pair.
    """
    reference = REFERENCE if REFERENCE in records else next(iter(records))
    draws = {key: _mean_draws(found, clips) for key, found in records.items()}
    rows = []
    for key, found in records.items():
        values = {name: [record["rows"][MODEL]["measures"][name] for record in found] for name in MEASURES}
        row = {"title": titles[key], "started_from": found[0]["facts"]["backbone started from"], "measures": values}
        gain = None if key == reference else _gain(values["srcc"], draws[key] - draws[reference], records[reference])
        rows.append({**row, "srcc_gain": gain, "cost": costs[key].to_dict()})
    first = next(iter(records.values()))[0]
    for name, competitor in sorted(first["rows"].items()):
        if name != MODEL:
            values = {measure: [competitor["measures"][measure]] for measure in MEASURES}
            rows.append({"title": name, "started_from": "", "measures": values, "srcc_gain": None, "cost": None})
    facts = {name: first[name] for name in ("num_pairs", "num_clips")}
    return {"rows": rows, "reference": titles[reference], **facts, "device": first["facts"]["device"]}


def _mean_draws(found: Sequence[Mapping[str, Any]], clips: Sequence[str]) -> Values:
    """Return the SRCC on resampled clips, the mean over the seeds; the same draws for every row."""
    draws = []
    for record in found:
        scores, levels = (np.array([pair[name] for pair in record["pairs"]], float) for name in ("score", "level"))
        draws.append(bootstrap_by_clip(scores, levels, clips)["srcc"])
    return np.asarray(np.mean(draws, axis=0))


def _gain(values: Sequence[float | None], draws: Values, reference: Sequence[Mapping[str, Any]]) -> list[float] | None:
    others = [record["rows"][MODEL]["measures"]["srcc"] for record in reference]
    if None in (*values, *others) or not np.isfinite(draws).any():
        return None
    difference = statistics.mean(value for value in values if value is not None) - statistics.mean(others)
    return [difference, *interval95(draws)]


def to_markdown(table: Mapping[str, Any]) -> str:
    """Return the table as Markdown: mean ± standard deviation over the seeds."""
    options = table["options"]
    head = ["model", "backbone from", *MEASURES, "srcc above reference [95 % over clips]"]
    head += ["parameters (M)", "GMACs", "ms per pair"]
    backbone = f"backbone {options['backbone']} in place of Swin-T; " if options["backbone"] else ""
    seen = f", {options['input_height']} rows seen" if options["input_height"] else ""
    lines = [
        f"Trained on {options['labels']} labels at {options['resolution']} for {options['epochs']} epochs, batch "
        f"{options['batch']}, crop {options['crop']}{seen}, {options['seeds']} seeds; {backbone}"
        f"{table['num_pairs']} {options['split']} pairs of {table['num_clips']} clips; {table['device']}; "
        f"AHIQ with patches of {options['ahiq_patch']}; reference: {table['reference']}.",
        "",
    ]
    rows = []
    for row in table["rows"]:
        cost, gain = row["cost"], row["srcc_gain"]
        numbers = ["", "", ""]
        if cost:
            numbers = [f"{cost['parameters'] / 1e6:.1f}", f"{cost['gmacs']:.1f}", f"{cost['milliseconds']:.0f}"]
        ahead = "{:+.3f} [{:+.3f}, {:+.3f}]".format(*gain) if gain else ""
        cells = [row["title"], row["started_from"], *(_spread(row["measures"][name]) for name in MEASURES)]
        rows.append([*cells, ahead, *numbers])
    return "\n".join([*lines, to_table(head, rows)]) + "\n"


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean = f"{statistics.mean(known):.3f}"
    return f"{mean} ± {statistics.stdev(known):.3f}" if len(known) > 1 else mean
