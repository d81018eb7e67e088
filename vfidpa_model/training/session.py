"""The beginning of a training: every check, then model, optimizer, data and plan in one object."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from dataset_tools.common.device import describe_device, select_device
from dataset_tools.common.files import sha256_file, write_json
from dataset_tools.errors import UsageError
from dataset_tools.manifest import read_manifest
from dataset_tools.sampling.splits import SPLITS
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.vfidpa import VFIDPA, create_model
from vfidpa_model.pairs.labels import Sample, pairs_sha256, training_samples
from vfidpa_model.pairs.loading import FrameReader
from vfidpa_model.training.config import Machine, TrainConfig
from vfidpa_model.training.losses import LpipsScale, fit_lpips_scale
from vfidpa_model.training.state import CONFIG_NAME, Counters, check_same_run, git_state, load_state

_BACKBONE_LR_SHARE = 0.1  # it is trained already, or too deep for large steps; the rest starts from nothing


@dataclass(frozen=True)
class Plan:
    """How many steps there are.

    Attributes:
        batch: Pairs per step over all processes: the asked for, or less when there are fewer training pairs.
    """

    batch: int
    steps_per_epoch: int
    num_steps: int
    warmup_steps: int


@dataclass
class Session:
    """Everything the loop works with."""

    accelerator: Accelerator
    model: Any  # as prepared: wrapped when several processes train
    optimizer: Any
    config: TrainConfig
    plan: Plan
    train: list[Sample]
    val: list[Sample]
    reader: FrameReader
    out: Path
    settings: dict[str, Any]
    counters: Counters
    workers: int
    lpips_scale: LpipsScale

    @property
    def bare_model(self) -> VFIDPA:
        """The model itself, without wrappers."""
        return self.accelerator.unwrap_model(self.model)


def plan_steps(num_samples: int, config: TrainConfig, *, world: int) -> Plan:
    """Return the plan for a training set.

    Raises:
        UsageError: The batch cannot be shared equally by ``world`` processes.
    """
    if config.batch % world:
        raise UsageError(f"--batch ({config.batch}) must be a multiple of the number of processes ({world})")
    batch = min(config.batch, num_samples // world * world)
    if batch == 0:
        raise UsageError(f"{num_samples} training pairs cannot be shared by {world} processes; start fewer")
    steps_per_epoch = num_samples // batch
    num_steps = config.epochs * steps_per_epoch
    warmup_steps = min(round(config.warmup_epochs * steps_per_epoch), num_steps // 2)
    return Plan(batch, steps_per_epoch, num_steps, warmup_steps)


def prepare(
    manifest_path: Path,
    out: Path,
    *,
    model_config: ModelConfig,
    config: TrainConfig,
    machine: Machine,
    resume: bool,
) -> Session:
    """Check everything that can fail, then build the session; nothing is written before the checks are done."""
    manifest = read_manifest(manifest_path)
    samples = training_samples(
        manifest, resolution=config.resolution, labels=config.labels, aux_weight=config.aux_weight
    )
    accelerator = _start_accelerator(machine.device, config.precision)
    by_split = {split: [sample for sample in samples if sample.split == split] for split in SPLITS}
    plan = plan_steps(len(by_split["train"]), config, world=accelerator.num_processes)
    settings: dict[str, Any] = {
        "model": model_config.to_dict(),
        "train": config.to_dict(),
        "pairs_sha256": pairs_sha256(samples),
        "manifest": {"name": manifest_path.name, "sha256": sha256_file(manifest_path)},
    }
    has_state = check_same_run(out, settings, resume=resume)
    accelerator.wait_for_everyone()  # all have looked before one writes
    if accelerator.is_main_process:
        write_json(out / CONFIG_NAME, settings)
    torch.set_flush_denormal(True)  # a random Swin-T takes twice its time on denormals
    torch.manual_seed(config.seed)
    created = create_model(model_config, pretrained=not has_state)
    model: Any = created
    optimizer: Any = _make_optimizer(created, config)
    model, optimizer = accelerator.prepare(model, optimizer)
    bare = accelerator.unwrap_model(model)
    counters = Counters()
    if has_state:
        counters = load_state(
            out / "last", model=bare, optimizer=optimizer, scaler=accelerator.scaler, device=accelerator.device
        )
    lpips_scale = _lpips_scale(by_split["train"])
    settings["model"] = created.config.to_dict()  # now with what the backbone started from
    settings |= {"git": git_state(), "torch": torch.__version__, "device": describe_device(accelerator.device)}
    settings["lpips_scale"] = lpips_scale._asdict()
    settings["num_samples"] = {split: len(of_split) for split, of_split in by_split.items()}
    return Session(
        accelerator=accelerator,
        model=model,
        optimizer=optimizer,
        config=config,
        plan=plan,
        train=by_split["train"],
        val=by_split["val"],
        reader=FrameReader(model_config.rows, machine.cache),
        out=out,
        settings=settings,
        counters=counters,
        workers=machine.workers,
        lpips_scale=lpips_scale,
    )


def _start_accelerator(device: str, precision: str) -> Accelerator:
    chosen = select_device(device)
    if precision == "fp16" and chosen.type == "cpu":
        raise UsageError("--precision fp16 needs a CUDA device; on the CPU take fp32 (or bf16)")
    if chosen.type == "cuda" and chosen.index is not None:
        torch.cuda.set_device(chosen)
    return Accelerator(cpu=chosen.type == "cpu", mixed_precision="no" if precision == "fp32" else precision)


def _lpips_scale(train: list[Sample]) -> LpipsScale:
    """Return how LPIPS becomes a level; where no pair has it, the auxiliary loss is off and any scale will do."""
    known = [sample for sample in train if math.isfinite(sample.inputs_lpips)]
    if not known:
        return LpipsScale(0.0, 0.0)
    return fit_lpips_scale([sample.inputs_lpips for sample in known], [sample.level for sample in known])


def _make_optimizer(model: VFIDPA, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW. The backbone takes smaller steps (``lr_share``); biases and scales of normalisations do not decay."""
    groups = []
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    for is_backbone, share in ((True, _BACKBONE_LR_SHARE), (False, 1.0)):
        part = [parameter for name, parameter in named if name.startswith("body.backbone.") == is_backbone]
        for weights, decay in (
            ([p for p in part if p.dim() > 1], config.weight_decay),
            ([p for p in part if p.dim() <= 1], 0.0),
        ):
            if weights:
                groups.append({"params": weights, "weight_decay": decay, "lr_share": share})
    return torch.optim.AdamW(groups, lr=config.lr)
