"""An evaluation as a Markdown page and as one picture."""

import math

import numpy as np
from matplotlib.figure import Figure

from dataset_tools.common.markdown import to_table
from dataset_tools.levels import HARD_ABOVE, LEVELS
from vfidpa_model.evaluation.charts import draw_confusion, draw_scatter, png_bytes
from vfidpa_model.evaluation.comparison import MODEL, Evaluation
from vfidpa_model.evaluation.measures import TOLERANCES, confusion
from vfidpa_model.evaluation.scoring import levels_of
from vfidpa_model.routing.shares import is_hard, lopsided

LABELS = {
    **{f"acc@{tolerance:g}": f"accuracy, tolerance {tolerance:g}" for tolerance in TOLERANCES},
    "mae": "MAE",
    "rmse": "RMSE",
    "srcc": "SRCC",
    "plcc": "PLCC",
    "krcc": "KRCC",
    "qwk": "quadratic kappa",
    "easy_hard": "easy/hard accuracy at 2.5",
    "auc": "easy/hard AUC",
}
_FEW_CLIPS = 10


def to_markdown(evaluation: Evaluation) -> str:
    """Return the page: a table of measures by competitor with 95 % intervals, the gains, the confusion matrix."""
    names = list(evaluation.rows)
    lines = [
        f"# {evaluation.title}",
        "",
        _counts(evaluation),
        "",
        to_table(
            ["measure", *names],
            [[label, *(_cell(evaluation, name, measure) for name in names)] for measure, label in LABELS.items()],
        ),
    ]
    lines += ["", "In brackets: 95 % interval, bootstrap over clips. –: not defined (a constant cannot rank)."]
    gains = evaluation.gains()
    if gains:
        lines += ["", f"SRCC of {MODEL} above each baseline, paired over the same draws of clips:", ""]
        lines += [f"- {name}: {_with_interval(gain, form='+.3f')}" for name, gain in gains.items()]
    levels = levels_of(evaluation.samples)
    predicted, given = (float(is_hard(values, HARD_ABOVE).mean()) for values in (evaluation.scores, levels))
    lines += ["", f"Above {HARD_ABOVE:g} lie {predicted:.0%} of the scores and {given:.0%} of the levels."]
    if warning := lopsided(predicted, pairs=len(levels), threshold=HARD_ABOVE):
        lines += ["", f"**Warning:** {warning}."]
    lines += ["", f"Confusion of {MODEL} (row: level given, column: nearest level of the score):", ""]
    table = confusion(evaluation.scores, levels)
    lines.append(to_table(["", *LEVELS], [[level, *row] for level, row in zip(LEVELS, table, strict=True)]))
    lines += ["", *(f"- {name}: {value}" for name, value in evaluation.facts.items())]
    return "\n".join(lines) + "\n"


def to_png(evaluation: Evaluation) -> bytes:
    """Return one picture: accuracy by tolerance with the model's intervals, SRCC with all, confusion, scatter."""
    figure = Figure(figsize=(12, 9), layout="constrained")
    (accuracy, rank), (table, scatter) = figure.subplots(2, 2)
    figure.suptitle(evaluation.title)
    colours = {name: f"C{place}" for place, name in enumerate(evaluation.rows)}
    for name, row in evaluation.rows.items():
        values = [row.measures[f"acc@{tolerance:g}"] for tolerance in TOLERANCES]
        width = 2.5 if name == MODEL else 1
        accuracy.plot(TOLERANCES, values, marker="o", label=name, linewidth=width, color=colours[name])
        if name == MODEL:  # bands of all rows would cover each other
            bands = np.array([row.intervals[f"acc@{tolerance:g}"] for tolerance in TOLERANCES])
            accuracy.fill_between(TOLERANCES, *bands.T, alpha=0.2, color=colours[name], linewidth=0)
    accuracy.set(
        xlabel="tolerance, levels",
        title=f"Share of scores within the tolerance; {MODEL} with its 95 % interval",
        ylim=(0, 1.02),
        xticks=TOLERANCES,
    )
    accuracy.grid(alpha=0.2)
    # Below the axes: inside, it would lie over a curve wherever it is put.
    accuracy.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    ranked = [name for name, row in evaluation.rows.items() if not math.isnan(row.measures["srcc"])]
    for place, name in enumerate(ranked):
        row = evaluation.rows[name]
        low, high = row.intervals["srcc"]
        rank.plot([low, high], [place, place], linewidth=3, alpha=0.5, color=colours[name])
        rank.plot(row.measures["srcc"], place, "o", color="black")
    rank.set(yticks=range(len(ranked)), yticklabels=ranked, title="SRCC, 95 % interval by clip")
    rank.grid(alpha=0.2)
    rank.invert_yaxis()
    levels = levels_of(evaluation.samples)
    draw_confusion(table, confusion(evaluation.scores, levels))
    draw_scatter(scatter, np.asarray(evaluation.scores), levels)
    return png_bytes(figure)


def _counts(evaluation: Evaluation) -> str:
    num_clips = len({sample.clip for sample in evaluation.samples})
    if num_clips == 1:
        return f"{len(evaluation.samples)} pairs of one clip, so there are no intervals."
    text = f"{len(evaluation.samples)} pairs of {num_clips} clips."
    if num_clips < _FEW_CLIPS:
        text += f" With {num_clips} clips the intervals are rough, and rather too narrow."
    return text


def _cell(evaluation: Evaluation, name: str, measure: str) -> str:
    row = evaluation.rows[name]
    return _with_interval((row.measures[measure], *row.intervals[measure]), form=".3f")


def _with_interval(found: tuple[float, float, float], *, form: str) -> str:
    value, low, high = found
    if math.isnan(value):
        return "–"
    return f"{value:{form}}" if math.isnan(low) else f"{value:{form}} [{low:{form}}, {high:{form}}]"
