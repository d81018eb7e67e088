"""The rows of the ablation: models that differ in one part each, and how each is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vfidpa_model.networks.config import WIDTH_NAMES, ModelConfig
from vfidpa_model.training import options
from vfidpa_model.training.config import TrainConfig
from vfidpa_model.training.config_file import preset_config

_PLAIN = ModelConfig(backbone="swin_t", upsample="nearest", temporal_difference=False)
_BUDGET = ("resolution", "labels", "epochs", "crop", "seed", "patience", "pretrained", "precision")


@dataclass(frozen=True)
class Part:
    """One row of the table.

    Attributes:
        preset: Preset whose recipe it is trained by; empty for the recipe that all others share.
        train: Where it differs from that recipe.
    """

    title: str
    model: ModelConfig
    preset: str = ""
    train: Mapping[str, Any] = field(default_factory=dict)

    def config(self, shared: TrainConfig) -> TrainConfig:
        """Return how it is trained: budget and data are those of ``shared``, a preset's recipe its own."""
        if self.preset:
            budget = {name: getattr(shared, name) for name in _BUDGET}
            return replace(preset_config(self.preset).train, **budget)
        return replace(shared, **self.train)


# In the order of the paper's table, then what else is worth asking. ``full`` is the preset "default".
ROWS: dict[str, Part] = {
    "ahiq": Part("AHIQ (ViT-B + ResNet-50)", ModelConfig(backbone="ahiq"), train={"aux_weight": 0.0}),
    "baseline": Part("Swin-T baseline", _PLAIN, train={"aux_weight": 0.0}),
    "pixelshuffle": Part("+ PixelShuffle", replace(_PLAIN, upsample="pixelshuffle"), train={"aux_weight": 0.0}),
    "temporal": Part("+ temporal difference", ModelConfig(), train={"aux_weight": 0.0}),
    "full": Part("+ auxiliary loss = VFI-DPA", ModelConfig()),
    "light": Part("light VFI-DPA (EfficientNet-Lite0)", ModelConfig(backbone="efficientnet_lite0")),
    "paper": Part("VFI-DPA, preset paper", preset_config("paper").model, "paper"),
    "ahiq-own": Part("AHIQ, its own recipe", preset_config("ahiq").model, "ahiq"),
    "frame-labels": Part("VFI-DPA, labels of whole frames", ModelConfig(), train={"crop_labels": "frame"}),
    "no-channel-swap": Part("VFI-DPA, channels as they are", ModelConfig(), train={"augment_channels": False}),
}
TABLE = ("ahiq", "baseline", "pixelshuffle", "temporal", "full", "light")


def model_of(key: str, *, backbone: str = "", ahiq_patch: int = 8, **changed: Any) -> ModelConfig:
    """Return the model of a row.

    Args:
        backbone: Takes the place of Swin-T; empty leaves the row its own.
        ahiq_patch: Of AHIQ's ViT.
        changed: Other fields of ``ModelConfig``.

    Raises:
        UsageError: A value is not possible.
    """
    model = ROWS[key].model
    if model.backbone == "ahiq":
        changed["ahiq_patch"] = ahiq_patch
    elif backbone and model.backbone == "swin_t":
        changed |= {"backbone": backbone, **_widths_for(model, backbone)}
    return options.from_options(replace, model, **changed)


def _widths_for(model: ModelConfig, backbone: str) -> dict[str, Any]:
    """Return the widths that belong to another backbone where a row leaves them to it; a preset's own stay."""
    own = ModelConfig(backbone=model.backbone)
    other = ModelConfig(backbone=backbone)
    return {name: getattr(other, name) for name in WIDTH_NAMES if getattr(model, name) == getattr(own, name)}
