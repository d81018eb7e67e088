"""Charts that the training report and the evaluation share. Each draws into the axes it is given."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dataset_tools.levels import HARD_ABOVE, LEVELS
from vfidpa_model.evaluation.measures import Values

_INK, _BLUE, _ORANGE = "#333333", "#2a6f97", "#d1495b"


def draw_confusion(axes: Axes, table: npt.NDArray[np.int64]) -> None:
    """Draw a confusion matrix, rows = given level, shaded by the share of its row."""
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(table.shape):
        axes.text(
            column,
            row,
            str(table[row, column]),
            ha="center",
            va="center",
            color="white" if share[row, column] > 0.6 else _INK,
        )
    axes.set(
        xticks=range(len(LEVELS)),
        yticks=range(len(LEVELS)),
        xticklabels=LEVELS,
        yticklabels=LEVELS,
        xlabel="nearest level of the score",
        ylabel="level given",
        title="Confusion",
    )


def draw_scatter(axes: Axes, scores: Values, levels: Values) -> None:
    """Draw score against level; levels are spread sideways a little (seeded) so that points do not hide each other."""
    spread = np.random.default_rng(0).uniform(-0.15, 0.15, len(levels))
    axes.plot([0.7, 4.3], [0.7, 4.3], color=_INK, linewidth=0.8, linestyle=":")
    axes.axhline(HARD_ABOVE, color=_ORANGE, linewidth=0.8)
    axes.scatter(levels + spread, scores, s=14, alpha=0.6, color=_BLUE, edgecolors="none")
    axes.set(xticks=LEVELS, xlabel="level given", ylabel="score", title="Score against level")


def draw_curve(axes: Axes, records: Sequence[Mapping[str, Any]], name: str, *, title: str, smooth: int = 1) -> None:
    """Draw one value over the steps; with ``smooth`` > 1 a running mean lies over the raw line."""
    points = [(record["step"], record[name]) for record in records if record.get(name) is not None]
    axes.set(xlabel="step", title=title)
    axes.grid(alpha=0.2)
    if not points:
        return
    steps, values = np.asarray(points, dtype=np.float64).T
    window = min(smooth, len(values))
    axes.plot(steps, values, color=_BLUE, alpha=0.35 if window > 1 else 1.0, marker="" if len(values) > 60 else ".")
    if window > 1:
        axes.plot(steps[window - 1 :], np.convolve(values, np.ones(window) / window, mode="valid"), color=_BLUE)


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return buffer.getvalue()
