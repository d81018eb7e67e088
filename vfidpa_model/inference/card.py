"""The model card of a checkpoint: what it is, what it learned from, how good it is, and what it is not good for."""

from collections.abc import Mapping
from typing import Any

from dataset_tools.common.markdown import to_table
from dataset_tools.sampling.splits import SPLITS
from vfidpa_model.networks.config import ModelConfig

_HEAD = """---
library_name: vfi-difficulty
tags:
- video-frame-interpolation
- difficulty-assessment
---
"""
_USE = """
    import vfidpa_model

    assessor = vfidpa_model.load_assessor("THIS_FOLDER_OR_HUB_ID")
    scores = assessor(img0, img1)  # arrays, tensors, PIL images or paths, one pair or many; 1 easy to 4 failed
"""
_SOURCES = {
    "human": "levels that people gave",
    "proxy": "**proxy** levels: LPIPS of one interpolator's prediction, no people",
    "any": "levels that people gave, and proxy levels (LPIPS of one interpolator's prediction)",
}
_MEASURES = {"srcc": "SRCC", "mae": "MAE, levels", "acc@0.5": "within half a level", "auc": "easy or hard, AUC"}


def to_card(config: ModelConfig, meta: Mapping[str, Any]) -> str:
    """Return the card as Markdown with the hub's header, from what the checkpoint records."""
    train, counts = meta.get("train", {}), meta.get("num_samples", {})
    lines = [
        _HEAD,
        f"# VFI-DPA, {config.backbone}, {config.tier}",
        "",
        "Says from two frames how hard it is to put one between them, from 1 (easy) to 4 (failed), without",
        "interpolating.",
        f"Frames are brought down to {config.rows} rows first." if config.rows else "Frames keep their size.",
        _USE,
        "## What it learned from",
        "",
    ]
    if train.get("target") == "gain":
        lines.append("Where an accurate interpolator removes error, by place.")
    elif "labels" in train:
        lines.append(f"Labels: {_SOURCES[train['labels']]}.")
    if counts:
        lines.append(f"Pairs: {', '.join(f'{counts[split]} for {split}' for split in SPLITS if split in counts)}.")
    lines.append(f"The backbone started from: {config.pretrained}.")
    lines += ["", "## Figures", "", *_figures(meta), "", "## Limits", ""]
    lines.append(
        "A score is the difficulty at the tier and for the interpolator of the labels. The validation pairs chose "
        "the epoch and the map onto the levels, so the figures above flatter it; `python -m vfidpa_model.evaluate` "
        "measures on clips it never saw, beside trivial baselines."
    )
    return "\n".join(lines) + "\n"


def _figures(meta: Mapping[str, Any]) -> list[str]:
    found = meta.get("val", {})
    rows = [[title, f"{found[name]:.3f}"] for name, title in _MEASURES.items() if found.get(name) is not None]
    if not rows:
        return ["There was no validation split."]
    pairs = meta.get("num_samples", {}).get("val", "?")
    return [to_table([f"on {pairs} validation pairs", "value"], rows)]
