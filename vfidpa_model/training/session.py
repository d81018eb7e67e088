"""The beginning of a training: every check, then model, optimizer, data and plan in one object."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from dataset_tools.columns.file import open_manifest
from dataset_tools.common.device import describe_device, select_device
from dataset_tools.common.extras import require
from dataset_tools.common.files import sha256_file, write_json
from dataset_tools.errors import UsageError
from dataset_tools.sampling.splits import SPLITS
from vfidpa_model.inference.checkpoint import load_model
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.head import LinearScale
from vfidpa_model.networks.vfidpa import VFIDPA, create_model
from vfidpa_model.pairs.gains import GainScale, gain_samples
from vfidpa_model.pairs.labels import check_trainable, proxy_pictures, training_samples
from vfidpa_model.pairs.loading import FrameReader, epoch_batches
from vfidpa_model.pairs.pairs_hash import pairs_sha256
from vfidpa_model.pairs.places import LpipsPlaces, measure_places
from vfidpa_model.pairs.sample import Sample
from vfidpa_model.pairs.sample_table import numbers_of, of_split
from vfidpa_model.training.config import Machine, TrainConfig
from vfidpa_model.training.losses import LpipsScale, fit_lpips_scale
from vfidpa_model.training.state import CONFIG_NAME, Counters, check_same_run, git_state, load_state

_START_SHARE = 0.1  # of the head's random last weights: every score then begins near the mean label


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
    train: Sequence[Sample]
    val: Sequence[Sample]
    reader: FrameReader
    out: Path
    settings: dict[str, Any]
    counters: Counters
    workers: int
    lpips_scale: LpipsScale
    shapes: list[tuple[int, int]] | None  # of the training pairs, where whole frames are taken
    ema: AveragedModel | None
    places: LpipsPlaces | None = None  # where crops have labels of their own

    @property
    def bare_model(self) -> VFIDPA:
        """The model itself, without wrappers."""
        return self.accelerator.unwrap_model(self.model)

    @property
    def kept_model(self) -> VFIDPA:
        """What is validated and saved for use: the running mean of the weights where there is one."""
        return self.bare_model if self.ema is None else cast(VFIDPA, self.ema.module)


def plan_steps(num_samples: int, config: TrainConfig, *, world: int, shapes: Sequence[Hashable] | None = None) -> Plan:
    """Return the plan for a training set.

    Args:
        shapes: Of the samples, when a batch must hold one shape only.

    Raises:
        UsageError: The batch cannot be shared equally by ``world`` processes.
    """
    if config.batch % (world * config.accumulate):
        parts = f" times --accumulate ({config.accumulate})" if config.accumulate > 1 else ""
        raise UsageError(f"--batch ({config.batch}) must be a multiple of the number of processes ({world}){parts}")
    share = world * config.accumulate
    batch = min(config.batch, num_samples // share * share)
    if batch == 0:
        raise UsageError(f"{num_samples} training pairs cannot be shared by {world} processes; start fewer")
    steps_per_epoch = len(epoch_batches(num_samples, batch=batch, seed=config.seed, epoch=0, shapes=shapes))
    num_steps = config.epochs * steps_per_epoch
    return Plan(batch, steps_per_epoch, num_steps, min(config.warmup_steps, num_steps // 2))


def prepare(
    manifest_path: Path,
    out: Path,
    *,
    model_config: ModelConfig,
    config: TrainConfig,
    machine: Machine,
    resume: bool,
    lpips_folder: Path | None = None,
) -> Session:
    """Check everything that can fail, then build the session; nothing is written before the checks are done."""
    samples, gain_scale = _samples(manifest_path, model_config, config)
    if machine.logger == "wandb":
        require("wandb")
    accelerator = _start_accelerator(machine.device, config.precision)
    by_split = {split: of_split(samples, split) for split in SPLITS}
    reader = FrameReader(model_config.rows, machine.cache)
    shapes = None if config.crop else [reader.size_of(sample) for sample in by_split["train"]]
    plan = plan_steps(len(by_split["train"]), config, world=accelerator.num_processes, shapes=shapes)
    settings: dict[str, Any] = {
        "model": model_config.to_dict(),
        "train": config.to_dict(),
        "pairs_sha256": pairs_sha256(samples),
        "manifest": {"name": manifest_path.name, "sha256": sha256_file(manifest_path)},
    }
    has_state = check_same_run(out, settings, resume=resume)
    torch.set_flush_denormal(True)  # a random Swin-T takes twice its time on denormals
    torch.manual_seed(config.seed)
    created = _first_model(model_config, by_split["train"], config, is_resumed=has_state)
    model: Any = created
    optimizer: Any = _make_optimizer(created, config)
    model, optimizer = accelerator.prepare(model, optimizer)
    bare = accelerator.unwrap_model(model)
    ema = running_mean(bare, config.ema) if config.ema else None
    counters = Counters()
    if has_state:
        counters = load_state(
            out / "last", model=bare, optimizer=optimizer, scaler=accelerator.scaler, device=accelerator.device, ema=ema
        )
    lpips_scale = _lpips_scale(by_split["train"])
    accelerator.wait_for_everyone()  # all have looked before one writes
    if accelerator.is_main_process:
        write_json(out / CONFIG_NAME, settings)
    settings["model"] = created.config.to_dict()  # now with what the backbone started from
    settings |= {"git": git_state(), "torch": torch.__version__, "device": describe_device(accelerator.device)}
    settings["lpips_scale"] = lpips_scale._asdict()
    if gain_scale is not None:
        settings["gain_scale"] = gain_scale._asdict()
    settings["num_samples"] = {split: len(some) for split, some in by_split.items()}
    return Session(
        accelerator=accelerator,
        model=model,
        optimizer=optimizer,
        config=config,
        plan=plan,
        train=by_split["train"],
        val=by_split["val"],
        reader=reader,
        out=out,
        settings=settings,
        counters=counters,
        workers=machine.workers,
        lpips_scale=lpips_scale,
        shapes=shapes,
        ema=ema,
        places=_places(
            manifest_path, by_split["train"], reader, config, accelerator, lpips_folder or machine.cache or out
        ),
    )


def _places(
    manifest_path: Path,
    train: Sequence[Sample],
    reader: FrameReader,
    config: TrainConfig,
    accelerator: Accelerator,
    folder: Path,
) -> LpipsPlaces | None:
    """Measure LPIPS by place where crops are to have labels of their own; every process its share."""
    is_proxy = config.target == "level" and config.labels != "human"
    if config.crop_labels == "frame" or not config.crop or not (is_proxy or config.aux_weight):
        return None
    pictures = proxy_pictures(open_manifest(manifest_path), resolution=config.resolution) if is_proxy else {}
    places = LpipsPlaces(folder / "lpips", reader=reader, pictures=pictures)
    with accelerator.split_between_processes(list(train)) as share:
        measure_places(places, share, device=accelerator.device)
    accelerator.wait_for_everyone()
    return places


def running_mean(model: VFIDPA, decay: float) -> AveragedModel:
    """Return a copy of ``model`` that follows it: decay 1/10, 2/11, ... up to ``decay``, which forgets the start.

    It counts its updates itself, in the state that ``training_state.pt`` keeps.
    """

    def follow(mean: Tensor, new: Tensor, num_averaged: Tensor | int) -> Tensor:
        count = float(num_averaged)
        return mean.lerp(new, 1 - min(decay, (1 + count) / (10 + count)))

    return AveragedModel(model, avg_fn=follow, use_buffers=False)


def _samples(
    manifest_path: Path, model_config: ModelConfig, config: TrainConfig
) -> tuple[Sequence[Sample], GainScale | None]:
    manifest = open_manifest(manifest_path)
    if config.target == "level":
        found = training_samples(
            manifest, resolution=config.resolution, labels=config.labels, aux_weight=config.aux_weight
        )
        return found, None
    if model_config.head != "regression" or model_config.backbone == "ahiq":
        chosen = f"--head {model_config.head}, --backbone {model_config.backbone}"
        raise UsageError(f"--target gain needs --head regression and swin_t or efficientnet_lite0, not {chosen}")
    gains, scale = gain_samples(manifest, resolution=config.resolution)
    check_trainable(gains, manifest, aux_weight=config.aux_weight)
    return gains, scale


def _first_model(
    model_config: ModelConfig, train: Sequence[Sample], config: TrainConfig, *, is_resumed: bool
) -> VFIDPA:
    """Return the model that training begins with: another's weights, or ImageNet's in the backbone."""
    if config.start and not is_resumed:  # then everything is in the saved state
        begun, checkpoint = load_model(Path(config.start))
        same = replace(begun.config, tier=model_config.tier, input_height=model_config.input_height, pretrained="none")
        if same != replace(model_config, pretrained="none"):
            differing = _differing(same, model_config)
            raise UsageError(f"--start {config.start} has other layers than this training: {differing}")
        begun.config = replace(model_config, pretrained=f"checkpoint {checkpoint.weights_sha256[:12]}")
        return begun
    created = create_model(model_config, pretrained="none" if is_resumed else config.pretrained)
    start_at(created, float(numbers_of(train, "level").mean()))
    return created


def start_at(model: VFIDPA, level: float) -> None:
    """Let every score begin near ``level``: random last weights alone put the first scores anywhere."""
    head = getattr(model.body, "head", None)
    if head is None or not isinstance(model.scale, LinearScale):
        return
    with torch.no_grad():
        head.score.weight.mul_(_START_SHARE)
        head.score.bias.fill_(level - model.scale.middle)


def _differing(one: ModelConfig, other: ModelConfig) -> str:
    names = [name for name, value in one.to_dict().items() if value != other.to_dict()[name] and name != "pretrained"]
    return ", ".join(f"{name} {one.to_dict()[name]!r} against {other.to_dict()[name]!r}" for name in names)


def _start_accelerator(device: str, precision: str) -> Accelerator:
    chosen = select_device(device)
    if precision == "fp16" and chosen.type != "cuda":
        raise UsageError("--precision fp16 needs a CUDA device; elsewhere take fp32 (or bf16)")
    if chosen.type == "cuda" and chosen.index is not None:
        torch.cuda.set_device(chosen)
    return Accelerator(cpu=chosen.type == "cpu", mixed_precision="no" if precision == "fp32" else precision)


def _lpips_scale(train: Sequence[Sample]) -> LpipsScale:
    """Return how LPIPS becomes a level; where no pair has it, the auxiliary loss is off and any scale will do."""
    lpips = numbers_of(train, "inputs_lpips")
    return fit_lpips_scale(lpips, numbers_of(train, "level")) if np.isfinite(lpips).any() else LpipsScale(0.0, 0.0)


def _make_optimizer(model: VFIDPA, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW or Adam. The backbone takes smaller steps (``lr_share``); biases and scales of norms do not decay."""
    groups = []
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    for is_backbone, share in ((True, config.backbone_lr_share), (False, 1.0)):
        part = [parameter for name, parameter in named if name.startswith("body.backbone.") == is_backbone]
        for weights, decay in (
            ([p for p in part if p.dim() > 1], config.weight_decay),
            ([p for p in part if p.dim() <= 1], 0.0),
        ):
            if weights:
                groups.append({"params": weights, "weight_decay": decay, "lr_share": share})
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.lr)
