"""What a run keeps on disk to go on after a kill: one atomic file, and the checks that it is the same run.

There is no random state in it: the order of samples, the augmentation and each step's noise are functions of the seed
and the step (``data.batches_from``, ``augment.generator_for``, ``seed_step``). Weights, optimizer and counters are all
there is, and being in one file they are always of the same step.
"""

import json
import pickle
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim.swa_utils import AveragedModel

from dataset_tools.common.files import atomic_writer
from dataset_tools.errors import UsageError, WeightsError
from vfidpa_model.inference.checkpoint import flatten
from vfidpa_model.networks.vfidpa import VFIDPA
from vfidpa_model.training.config import RunConfig
from vfidpa_model.training.run_log import read_records

STATE_NAME = "training_state.pt"
CONFIG_NAME = "config.json"
_ONCE_UNRECORDED = ("train.start", "train.pretrained")  # options already, when config.json did not hold them
# How runs were trained before there was a choice, where that is not the default now.
_BEFORE_THE_CHOICE: dict[str, dict[str, Any]] = {"model": {}, "train": {"crop_labels": "frame"}}


@dataclass
class Counters:
    """Where a run stands.

    Attributes:
        step: Optimizer steps done.
        best_mae: Validation MAE of the best epoch so far, in levels; infinite before the first.
        best_srcc: Its rank correlation, by which epochs are compared; minus infinity before the first.
        best_epoch: Epoch of it, counted from 1; 0 before the first.
        is_finished: Whether training ended, by its last epoch or early.
    """

    step: int = 0
    best_mae: float = float("inf")
    best_srcc: float = float("-inf")
    best_epoch: int = 0
    is_finished: bool = False


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed torch for one step of one process, so that dropped paths are the same after a restart."""
    torch.manual_seed((seed * 1_000_003 + step) * 4099 + rank)


def save_state(
    folder: Path,
    counters: Counters,
    *,
    model: VFIDPA,
    optimizer: torch.optim.Optimizer,
    scaler: Any,
    ema: AveragedModel | None = None,
) -> None:
    """Write ``training_state.pt`` into ``folder`` atomically; ``scaler`` is of fp16 training, else None."""
    state = {
        "counters": asdict(counters),
        "model": model.state_dict(),
        "pretrained": model.config.pretrained,
        "optimizer": optimizer.state_dict(),
        "scaler": scaler.state_dict() if scaler is not None else {},
        "ema": ema.state_dict() if ema is not None else {},
    }
    with atomic_writer(folder / STATE_NAME) as file:
        torch.save(state, file)


def load_state(
    folder: Path,
    *,
    model: VFIDPA,
    optimizer: torch.optim.Optimizer,
    scaler: Any,
    device: torch.device,
    ema: AveragedModel | None = None,
) -> Counters:
    """Put the stored state into model, optimizer, scaler and running mean, and return where the run stands.

    Raises:
        WeightsError: The file is damaged or does not fit.
    """
    path = folder / STATE_NAME
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        model.config = replace(model.config, pretrained=state["pretrained"])
        optimizer.load_state_dict(state["optimizer"])
        if scaler is not None and state["scaler"]:
            scaler.load_state_dict(state["scaler"])
        if ema is not None:
            ema.load_state_dict(state["ema"])
            cast(VFIDPA, ema.module).config = model.config
        return Counters(**state["counters"])
    except pickle.UnpicklingError as error:  # PyTorch's own words would advise to load it unsafely
        raise WeightsError(f"cannot resume from {path}: not a saved state; train into another --out") from error
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError) as error:
        raise WeightsError(
            f"cannot resume from {path}: {str(error).splitlines()[0]}; train into another --out"
        ) from error


def check_same_run(out: Path, settings: Mapping[str, Any], *, resume: bool) -> bool:
    """Return whether there is a state to go on from, after checking that it is this run's.

    A start that failed before its first step left nothing to lose: its folder is as good as empty.

    Raises:
        UsageError: ``out`` holds a run and ``resume`` was not asked for; or it was trained on other pairs, or with
            other options, of which the first is named, or with a choice that was removed. A manifest with the same
            pairs may be another file.
    """
    stored_path, has_state = out / CONFIG_NAME, (out / "last" / STATE_NAME).exists()
    if not stored_path.exists() or not (has_state or read_records(out)):
        return False
    if not resume:
        raise UsageError(f"{out} holds a run already; add --resume to go on, or take another --out")
    try:
        stored = json.loads(stored_path.read_text())
    except json.JSONDecodeError as error:
        raise WeightsError(f"{stored_path} is not JSON: {error}") from error
    if stored.get("pairs_sha256") != settings["pairs_sha256"]:
        raise UsageError(f"{out} was trained on other labelled pairs than this manifest has; take another --out")
    try:  # fields that came later are filled with how the run was trained: by their defaults, where none stands above
        parts = {part: {**old, **stored.get(part, {})} for part, old in _BEFORE_THE_CHOICE.items()}
        was, names = flatten(RunConfig.from_dict(parts).to_dict()), flatten(stored)
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{stored_path}: {error}") from error
    for name, value in sorted(flatten({name: settings[name] for name in ("model", "train")}).items()):
        known = was.get(name, value)
        if known != value and not (name in _ONCE_UNRECORDED and name not in names):
            raise UsageError(f"{out} was trained with {name} {known!r}, not {value!r}; resume with the same options")
    return has_state


def git_state() -> str | None:
    """Return the commit of the source tree that runs, with ``+changes`` when it differs; None when git has it not."""
    folder = Path(__file__).parent
    # Installed into an environment that lies inside some other project, the commit would be that project's.
    is_tracked = ["ls-files", "--error-unmatch", Path(__file__).name]
    try:
        found = [
            subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=20, check=True).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no", "."], is_tracked)
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return found[0].strip() + ("+changes" if found[1].strip() else "")
