"""Checkpoints: ``model.safetensors`` beside a readable ``checkpoint.json``; and the Assessor that uses one.

``load_checkpoint("runs/a").predict(img0, img1)`` gives the difficulty of a frame pair.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from dataset_tools.common.files import write_bytes, write_json
from dataset_tools.errors import VfiError
from dataset_tools.manifest import created_by
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.vfidpa import VFIDPA, is_finite

FORMAT_VERSION = 1
WEIGHTS_NAME, RECORD_NAME = "model.safetensors", "checkpoint.json"
# Models that come with the toolkit: name -> folder. A folder of that name where the command runs wins.
SHIPPED = {"light": Path(__file__).parents[1] / "pretrained" / "light"}


class CheckpointError(VfiError):
    """A checkpoint is missing, damaged, changed by hand, or written by a newer version."""


@dataclass(frozen=True)
class Checkpoint:
    """What ``checkpoint.json`` says.

    Attributes:
        meta: What the training recorded: options, data, metrics, git state.
    """

    folder: Path
    config: ModelConfig
    meta: dict[str, Any]
    weights_sha256: str


def save_checkpoint(folder: Path, model: VFIDPA, *, meta: Mapping[str, Any]) -> None:
    """Write a model to ``folder``, replacing the checkpoint that may be there.

    A crash at any moment leaves the old checkpoint or the new one: while the weights are replaced, the record holds
    both descriptions, and the hash of the weights says which one is true.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    data = save(state, metadata={"format": "pt"})
    record = {
        "format_version": FORMAT_VERSION,
        "created_by": created_by(),
        "config": model.config.to_dict(),
        "meta": dict(meta),
        "num_parameters": sum(value.numel() for value in model.parameters()),
        "weights_sha256": hashlib.sha256(data).hexdigest(),
    }
    path = folder / RECORD_NAME
    if path.exists():
        previous = json.loads(path.read_bytes())
        previous.pop("previous", None)
        write_json(path, {**record, "previous": previous})
    write_bytes(folder / WEIGHTS_NAME, data)
    write_json(path, record)


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint folder meant by ``path``: itself, ``best`` inside a training run, or a name of ``SHIPPED``.

    Raises:
        CheckpointError: There is none.
    """
    shipped = [SHIPPED[str(path)]] if str(path) in SHIPPED else []
    for folder in (path, path / "best", *shipped):
        if (folder / RECORD_NAME).is_file():
            return folder
    raise CheckpointError(
        f"no checkpoint in {path}: it must hold {RECORD_NAME} or best/{RECORD_NAME}, or be {' or '.join(SHIPPED)}"
    )


def read_checkpoint(path: Path) -> Checkpoint:
    """Return the description of the checkpoint at ``path``; its weights are hashed, not loaded.

    Raises:
        CheckpointError: Missing, damaged or newer, or the weights are not those that the record describes.
    """
    return _read(path)[0]


def load_model(path: Path, *, device: torch.device | str = "cpu") -> tuple[VFIDPA, Checkpoint]:
    """Return the model stored at ``path``, in eval mode, and its description.

    Raises:
        CheckpointError: As ``read_checkpoint``, or the weights do not fit the config or are not finite.
    """
    checkpoint, data = _read(path)
    try:
        model = VFIDPA(checkpoint.config)
        model.load_state_dict(load(data))
    except (SafetensorError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(f"weights in {checkpoint.folder} do not fit their config: {reason}") from error
    if not is_finite(model):
        raise CheckpointError(f"weights in {checkpoint.folder} are not finite numbers: every score would be nan")
    return model.to(device).eval(), checkpoint


def _read(path: Path) -> tuple[Checkpoint, bytes]:
    folder = find_checkpoint(path)
    try:
        record = json.loads((folder / RECORD_NAME).read_bytes())
        data = (folder / WEIGHTS_NAME).read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"checkpoint {folder} has no {WEIGHTS_NAME}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"checkpoint {folder}: {RECORD_NAME} is not JSON: {error}") from error
    sha256 = hashlib.sha256(data).hexdigest()
    if not isinstance(record, dict):
        raise CheckpointError(f"checkpoint {folder}: {RECORD_NAME} must be a JSON object")
    if record.get("weights_sha256") != sha256 and isinstance(record.get("previous"), dict):
        record = record["previous"]
    version = record.get("format_version")
    if not isinstance(version, int):
        raise CheckpointError(f"checkpoint {folder}: {RECORD_NAME} has no format_version: it is not a checkpoint")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"checkpoint {folder} has format_version {version}, newer than {FORMAT_VERSION}; update vfi-difficulty"
        )
    if record.get("weights_sha256") != sha256:
        raise CheckpointError(f"checkpoint {folder}: {WEIGHTS_NAME} is damaged or not the one {RECORD_NAME} describes")
    config, meta = record.get("config"), record.get("meta", {})
    if not isinstance(config, dict) or not isinstance(meta, dict):
        raise CheckpointError(f"checkpoint {folder}: config and meta in {RECORD_NAME} must be JSON objects")
    try:
        return Checkpoint(folder, ModelConfig.from_dict(config), meta, sha256), data
    except ValueError as error:
        raise CheckpointError(f"checkpoint {folder}: {error}") from error


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level with dotted names; tuples become lists, as JSON has them."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = list(value) if isinstance(value, tuple) else value
    return flat
