"""How a model is trained: frozen dataclasses that travel in every checkpoint, and the machine it runs on.

``RunConfig`` is the one home of what a training can be told: presets, config files and command lines all become one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Self

from vfidpa_model.networks.config import SMALLEST_SIDE, TIERS, ModelConfig, check_choices, checked_fields
from vfidpa_model.pairs.labels import LABEL_CHOICES

TARGETS = ("level", "gain")
LOGGERS = ("tensorboard", "wandb", "none")
TRAIN_CHOICES: dict[str, tuple[Any, ...]] = {
    "resolution": TIERS,
    "target": TARGETS,
    "labels": LABEL_CHOICES,
    "loss_norm": ("l1", "l2"),
    "crop_labels": ("frame", "crop"),
    "optimizer": ("adamw", "adam"),
    "precision": ("fp32", "bf16", "fp16"),
}
_TRAIN_TEXT = ("pretrained", "start")
_TRAIN_LEAST = {"epochs": 1, "batch": 1, "accumulate": 1}  # of the other numbers: 0
_TRAIN_MOST = {"seed": 2**31 - 1, "ema": 0.9999}  # NumPy and PyTorch take no larger seeds once steps are mixed in


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained. The paper states none of these numbers.

    Attributes:
        resolution: Tier whose triplets are used, or ``all``.
        target: ``level`` (labels of people, or proxies) or ``gain``: the error an accurate model removes, by place.
        pretrained: ImageNet weights of the backbone: ``auto``, ``required``, ``none``, or a file.
        start: Checkpoint whose weights training begins with, in place of ImageNet's; empty for none.
        batch: Pairs per optimizer step, over all processes.
        accumulate: Parts in which a batch is worked off one after another: less memory, the same step.
        optimizer: ``adamw``, or ``adam``, whose weight decay joins the gradient.
        lr: Highest learning rate.
        lr_period: Steps in which the learning rate falls to 0 and rises again, over and over, without warm-up; 0 lets
            it rise once and fall once.
        backbone_lr_share: What the backbone takes of it: it is trained already, or too deep for large steps.
        warmup_steps: Steps over which the learning rate rises; at most half of all. In steps, because a small set has
            epochs of four, after which AdamW's estimates are still wild.
        ema: Decay of a running mean of the weights, which is what is validated and kept; 0 keeps the last weights.
        crop: Side of the square training crop, pixels, at least 64; smaller frames are mirrored up to it. 0 takes whole
            frames, whose label is exact.
        crop_labels: ``crop``: the auxiliary loss asks for the LPIPS of what the crop shows, and proxy levels are those
            of the crop, which makes better models (``docs/results.md``). ``frame``: a crop has the whole frame's
            labels, for data sets too large for measuring LPIPS of every pair first.
        augment_flip, augment_turn, augment_backwards, augment_channels: Whether pairs are mirrored, turned by quarter
            turns, played backwards, and their channels reversed, each at random.
        loss_norm: ``l1`` or ``l2`` (squares), of all losses but the ordinal one.
        aux_weight: Weight of the auxiliary loss; 0 turns it off.
        labels: ``human``, ``proxy`` or ``any``: proxy labels are used only when asked for.
        precision: ``fp32``, ``bf16`` or ``fp16`` (mixed).
        patience: Epochs without a better validation result before training stops; 0 never stops early.
        clip_grad_norm: Largest norm of all gradients together; 0 leaves them.
    """

    resolution: str = "256p"
    target: str = "level"
    labels: str = "human"
    pretrained: str = "auto"
    start: str = ""
    epochs: int = 30
    batch: int = 8
    accumulate: int = 1
    optimizer: str = "adamw"
    lr: float = 5e-4
    lr_period: int = 0
    backbone_lr_share: float = 0.1
    weight_decay: float = 1e-2
    warmup_steps: int = 200
    clip_grad_norm: float = 1.0
    ema: float = 0.0
    crop: int = 224
    crop_labels: str = "crop"
    augment_flip: bool = True
    augment_turn: bool = True
    augment_backwards: bool = True
    augment_channels: bool = True
    loss_norm: str = "l1"
    aux_weight: float = 0.1
    patience: int = 8
    precision: str = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ValueError: A value is not one of its choices or out of range.
        """
        check_choices(self, TRAIN_CHOICES)
        for name, value in asdict(self).items():
            least = _TRAIN_LEAST.get(name, 0)
            is_number = name not in (*TRAIN_CHOICES, *_TRAIN_TEXT)
            if is_number and not (isfinite(value) and value >= least):
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
    """Where a training runs, and who is told. Nothing here changes its result, so a run may go on elsewhere.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        workers: Processes that load frames; 0 loads in between steps.
        cache: Folder for decoded frames, and for LPIPS by place.
        logger: ``tensorboard``, ``wandb`` or ``none``, beside ``metrics.jsonl``, which is always written.
    """

    device: str = "auto"
    workers: int = 0
    cache: Path | None = None
    logger: str = "tensorboard"

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            ValueError: The logger is not one of its choices, or there are fewer than no workers.
        """
        check_choices(self, {"logger": LOGGERS})
        if self.workers < 0:
            raise ValueError(f"workers ({self.workers}) must be a number from 0")


@dataclass(frozen=True)
class RunConfig:
    """Everything a training can be told, in three parts."""

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    machine: Machine = field(default_factory=Machine)

    @classmethod
    def from_dict(cls, values: Mapping[str, Mapping[str, Any]]) -> Self:
        """Return the config of its parts ``model``, ``train`` and ``machine``; what is missing takes its default.

        Raises:
            ValueError: An unknown name, or a value of a wrong type or out of range.
        """
        machine = dict(values.get("machine", {}))
        cache = machine.pop("cache", None)
        if not isinstance(cache, str | Path | None):
            raise ValueError(f"cache ({cache!r}) must be a folder")
        train = TrainConfig(**checked_fields(TrainConfig, values.get("train", {})))
        return cls(
            ModelConfig.from_dict(values.get("model", {})),
            train,
            Machine(**checked_fields(Machine, machine), cache=Path(cache) if cache else None),
        )

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the parts as JSON values, without the record of what the backbone started from."""
        model = {name: value for name, value in self.model.to_dict().items() if name != "pretrained"}
        machine = {**asdict(self.machine), "cache": str(self.machine.cache) if self.machine.cache else None}
        return {"model": model, "train": self.train.to_dict(), "machine": machine}
