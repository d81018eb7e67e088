"""Names of Swin-T's weights in the files people have: torchvision's and timm's, brought onto torchvision's features."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from dataset_tools.errors import WeightsError

_PARTS = {"mlp.fc1": "mlp.0", "mlp.fc2": "mlp.3"}
_LEFT_OVER = ("norm.", "head.", "relative_position_index", "attn_mask")


def swin_features(state: Mapping[str, Tensor], *, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a Swin-T file under the names of torchvision's ``features``.

    Args:
        path: Where the state comes from, for the message.

    Raises:
        WeightsError: It is neither torchvision's nor timm's layout.
    """
    if any(name.startswith("features.") for name in state):
        return {name.removeprefix("features."): value for name, value in state.items() if name.startswith("features.")}
    if "patch_embed.proj.weight" not in state:
        raise WeightsError(
            f"weights file {path} must hold Swin-T in torchvision's layout (features.0.0.weight, ...) or in timm's "
            f"(patch_embed.proj.weight, ...); its first name is {next(iter(state), 'missing')!r}"
        )
    # Older timm puts a merging of patches at the end of a stage, newer timm at the beginning of the next.
    is_late = "layers.0.downsample.reduction.weight" in state
    renamed = {}
    for name, value in state.items():
        if not name.startswith(_LEFT_OVER) and not name.endswith(_LEFT_OVER):
            renamed[_feature_name(name, is_late=is_late, path=path)] = value
    return renamed


def _feature_name(name: str, *, is_late: bool, path: Path) -> str:
    if found := re.fullmatch(r"patch_embed\.(proj|norm)\.(\w+)", name):
        return f"0.{0 if found[1] == 'proj' else 2}.{found[2]}"
    if found := re.fullmatch(r"layers\.(\d)\.downsample\.(.+)", name):
        return f"{2 * (int(found[1]) + is_late)}.{found[2]}"
    if found := re.fullmatch(r"layers\.(\d)\.blocks\.(\d+)\.(.+)", name):
        inner = found[3]
        for timms, torchvisions in _PARTS.items():
            inner = inner.replace(timms, torchvisions)
        return f"{2 * int(found[1]) + 1}.{found[2]}.{inner}"
    raise WeightsError(f"weights file {path} holds {name!r}, which is not part of Swin-T")
