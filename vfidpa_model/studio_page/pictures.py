"""Pictures of the studio page: difficulty over time, and frames with a line around what would be refined."""

import io
from collections.abc import Sequence

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dataset_tools.levels import HARD_ABOVE, LEVEL_NAMES, LEVELS
from vfidpa_model.interpolation.preview import framed, jpeg
from vfidpa_model.interpolation.tensors import to_pixels, to_tensor
from vfidpa_model.routing.dynamic import Pipeline
from vfidpa_model.studio_page.analysis import Clip, KeptPair

_INK, _CURVE, _CUT, _HARD = "#333333", "#2a6f97", "#8a8f98", "#d1495b"
_DOTS_BELOW = 40  # pairs: fewer are shown one by one


def draw_difficulty(clip: Clip) -> bytes:
    """Return the difficulty over time with the cuts as a PNG file."""
    figure = Figure(figsize=(9, 2.7), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.axhspan(HARD_ABOVE, LEVELS[-1] + 0.2, color=_HARD, alpha=0.07, linewidth=0)
    axes.axhline(HARD_ABOVE, color=_HARD, linewidth=0.8)
    for number, at in enumerate(clip.cuts):
        axes.axvline(at, color=_CUT, linewidth=1, linestyle="--", label="cut" if number == 0 else None)
    marker = "o" if len(clip.scored) < _DOTS_BELOW else ""
    axes.plot(
        [pair.seconds for pair in clip.scored],
        [pair.score for pair in clip.scored],
        color=_CURVE,
        linewidth=1.4,
        marker=marker,
        markersize=3.5,
        label="difficulty (VFI-DPA)",
    )
    axes.set(xlim=(0, max(clip.seconds, 0.01)), ylim=(LEVELS[0] - 0.2, LEVELS[-1] + 0.2), xlabel="seconds")
    axes.set_yticks(LEVELS, [f"{level} {LEVEL_NAMES[level]}" for level in LEVELS])
    axes.tick_params(colors=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper right", ncols=2, frameon=False, fontsize="small")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


@torch.inference_mode()
def draw_refined(
    pairs: Sequence[KeptPair], dynamic: Pipeline, device: torch.device
) -> list[tuple[KeptPair, float, bytes]]:
    """Return each pair, the share of its area that would be refined, and the made frame with a line around that."""
    drawn = []
    dynamic.restore("")
    for pair in pairs:
        img0, img1 = to_tensor(pair.img0, device), to_tensor(pair.img1, device)
        frames, (decision,) = dynamic.render(img0, img1, decisions=dynamic.decide(img0, img1, cuts=[False]))
        picture = framed(to_pixels(frames[0], deep=False), decision.tiles)
        drawn.append((pair, decision.area or 0.0, jpeg(picture)))
    return drawn
