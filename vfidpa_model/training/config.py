"""How a model is trained: one frozen dataclass that travels in every checkpoint, and the machine it runs on."""

from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from vfidpa_model.networks.config import SMALLEST_SIDE, TIERS, check_choices
from vfidpa_model.pairs.labels import LABEL_CHOICES

TARGETS = ("level", "gain")
_TRAIN_CHOICES = {
    "resolution": TIERS,
    "target": TARGETS,
    "labels": LABEL_CHOICES,
    "precision": ("fp32", "bf16", "fp16"),
}
RETIRED_OPTIONS = {"loss_norm": "l1"}  # that config.json of older runs carries, with the value that is still trained
_TRAIN_LEAST = {"epochs": 1, "batch": 1, "accumulate": 1}  # of the other numbers: 0
_TRAIN_MOST = {"seed": 2**31 - 1, "ema": 0.9999}  # NumPy and PyTorch take no larger seeds once steps are mixed in


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained. The paper states none of these numbers.

    Attributes:
        resolution: Tier whose triplets are used, or ``all``.
        target: ``level`` (labels of people, or proxies) or ``gain``: the error an accurate model removes, by place.
        batch: Pairs per optimizer step, over all processes.
        accumulate: Parts in which a batch is worked off one after another: less memory, the same step.
        lr: Highest learning rate.
        backbone_lr_share: What the backbone takes of it: it is trained already, or too deep for large steps.
        warmup_steps: Steps over which the learning rate rises; at most half of all. In steps, because a small set has
            epochs of four, after which AdamW's estimates are still wild.
        ema: Decay of a running mean of the weights, which is what is validated and kept; 0 keeps the last weights.
        crop: Side of the square training crop, pixels, at least 64; smaller frames are mirrored up to it. 0 takes whole
            frames, whose label is exact.
        aux_weight: Weight of the auxiliary loss; 0 turns it off.
        labels: ``human``, ``proxy`` or ``any``: proxy labels are used only when asked for.
        precision: ``fp32``, ``bf16`` or ``fp16`` (mixed).
        patience: Epochs without a better validation result before training stops; 0 never stops early.
        clip_grad_norm: Largest norm of all gradients together; 0 leaves them.
    """

    resolution: str = "256p"
    target: str = "level"
    epochs: int = 30
    batch: int = 8
    accumulate: int = 1
    lr: float = 5e-4
    backbone_lr_share: float = 0.1
    weight_decay: float = 1e-2
    warmup_steps: int = 200
    ema: float = 0.0
    crop: int = 224
    aux_weight: float = 0.1
    labels: str = "human"
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
            if name in _TRAIN_MOST and value > _TRAIN_MOST[name]:
                raise ValueError(f"{name} ({value}) must be at most {_TRAIN_MOST[name]}")
        if 0 < self.crop < SMALLEST_SIDE:
            raise ValueError(f"crop ({self.crop}) must be 0 (whole frames) or at least {SMALLEST_SIDE}")
        if self.batch % self.accumulate:
            raise ValueError(f"batch ({self.batch}) must be a multiple of accumulate ({self.accumulate})")

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
