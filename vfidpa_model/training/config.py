"""How a model is trained: one frozen dataclass that travels in every checkpoint, and the machine it runs on."""

from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from vfidpa_model.networks.config import SMALLEST_SIDE, TIERS, check_choices
from vfidpa_model.pairs.labels import LABEL_CHOICES

_TRAIN_CHOICES = {
    "resolution": TIERS,
    "labels": LABEL_CHOICES,
    "loss_norm": ("l1", "l2"),
    "precision": ("fp32", "bf16", "fp16"),
}


_TRAIN_LEAST = {"epochs": 1, "batch": 1, "crop": SMALLEST_SIDE}  # of the other numbers: 0


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained. The paper states none of these numbers.

    Attributes:
        resolution: Tier whose triplets are used, or ``all``.
        batch: Pairs per optimizer step, over all processes.
        lr: Highest learning rate; the backbone takes a tenth of it.
        crop: Side of the square training crop, pixels, at least 64; smaller frames are mirrored up to it.
        aux_weight: Weight of the auxiliary loss; 0 turns it off.
        labels: ``human``, ``proxy`` or ``any``: proxy labels are used only when asked for.
        loss_norm: ``l1`` or ``l2``, of both losses.
        precision: ``fp32``, ``bf16`` or ``fp16`` (mixed).
        patience: Epochs without a better validation result before training stops; 0 never stops early.
        clip_grad_norm: Largest norm of all gradients together; 0 leaves them.
    """

    resolution: str = "256p"
    epochs: int = 30
    batch: int = 8
    lr: float = 1e-3
    weight_decay: float = 1e-2
    warmup_epochs: float = 1.0
    crop: int = 224
    aux_weight: float = 0.1
    labels: str = "human"
    loss_norm: str = "l1"
    seed: int = 0
    precision: str = "fp32"
    patience: int = 8
    clip_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ValueError: A value is not one of its choices or out of range.
        """
        check_choices(self, _TRAIN_CHOICES)
        for name, value in asdict(self).items():
            least = _TRAIN_LEAST.get(name, 0)
            if name not in _TRAIN_CHOICES and not (isfinite(value) and value >= least):
                raise ValueError(f"{name} ({value}) must be a number from {least}")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Machine:
    """Where a training runs. Nothing here changes its result, so a run may go on elsewhere.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        workers: Processes that load frames; 0 loads in between steps.
        cache: Folder for decoded frames.
    """

    device: str = "auto"
    workers: int = 0
    cache: Path | None = None
