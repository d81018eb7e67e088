"""Config files: YAML or JSON with the parts ``model``, ``train`` and ``machine``, over a preset, under the options."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from dataset_tools.common.yaml_file import read_yaml
from dataset_tools.errors import UsageError
from vfidpa_model.networks.config import BACKBONES, MODEL_CHOICES, RETIRED_FIELDS, ModelConfig, default_widths
from vfidpa_model.training.config import LOGGERS, TRAIN_CHOICES, Machine, RunConfig, TrainConfig
from vfidpa_model.training.presets import PRESETS

Parts = Mapping[str, Mapping[str, Any]]

_KINDS: dict[str, type] = {"model": ModelConfig, "train": TrainConfig, "machine": Machine}
_CHOICES = {"model": MODEL_CHOICES, "train": TRAIN_CHOICES, "machine": {"logger": LOGGERS}}
_RECORDS = ("pairs_sha256", "manifest")  # what else the config.json of a run holds: of its data, nothing to be told


def resolve_config(*, preset: str = "default", path: Path | None = None, options: Mapping[str, Any]) -> RunConfig:
    """Return the configuration of a preset, changed by a file, changed by options of the command line.

    Args:
        options: Name to value, of any part. ``resolution`` is the model's tier, too.

    Raises:
        UsageError: The preset or a name is unknown, the file cannot be read, or a value is refused.
    """
    if preset not in PRESETS:
        raise UsageError(f"--preset ({preset!r}) must be one of {', '.join(PRESETS)}")
    merged = _over({}, PRESETS[preset])
    if path is not None:
        merged = _over(merged, read_config(path))
        _made(merged, said_by=f"--config {path}: ")
    return _made(_over(merged, _by_part(options)))


def preset_config(name: str) -> RunConfig:
    """Return the configuration of a preset."""
    return resolve_config(preset=name, options={})


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """Return the parts of a config file: YAML or JSON, such as the ``config.json`` of a run.

    Raises:
        UsageError: It is missing, not YAML, has a name twice, or other parts or names than a configuration.
    """
    found = read_yaml(path, what="--config")
    parts = {} if found is None else found
    if not isinstance(parts, dict) or not all(isinstance(parts.get(part, {}), dict) for part in _KINDS):
        raise UsageError(f"--config {path} must hold {', '.join(_KINDS)}, each with names and values")
    unknown = [str(name) for name in parts if name not in (*_KINDS, *_RECORDS)]
    for part, kind in _KINDS.items():
        known = {*(field.name for field in fields(kind)), *(RETIRED_FIELDS if part == "model" else ())}
        unknown += [f"{part}.{name}" for name in parts.get(part, {}) if name not in known]
    if unknown:
        raise UsageError(f"--config {path} has unknown names: {', '.join(unknown)}; train --print-config lists all")
    read = {part: dict(parts.get(part, {})) for part in _KINDS}
    read["model"].pop("pretrained", None)  # a record of what another run began with
    return read


def to_yaml(config: RunConfig) -> str:
    """Return a configuration as YAML that ``--config`` reads, each choice with what else it may be."""
    lines = []
    for part, values in config.to_dict().items():
        lines.append(f"{part}:")
        for name, value in values.items():
            line = yaml.safe_dump({name: value}, default_flow_style=True, width=1000).strip()[1:-1]  # without braces
            choices = _CHOICES[part].get(name)
            lines.append(f"  {line}" + (f"  # {', '.join(map(str, choices))}" if choices else ""))
    return "\n".join(lines) + "\n"


def _by_part(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {
        part: {field.name: options[field.name] for field in fields(kind) if field.name in options}
        for part, kind in _KINDS.items()
    }
    return found


def _over(under: Parts, layer: Parts) -> dict[str, dict[str, Any]]:
    """Return ``under`` with what ``layer`` says in its place.

    Another backbone takes its own widths, where those below were only the old one's defaults; another resolution is
    the model's tier, unless the layer says which.
    """
    merged = {part: dict(under.get(part, {})) for part in _KINDS}
    model, train = layer.get("model", {}), layer.get("train", {})
    before = merged["model"].get("backbone", ModelConfig.backbone)
    if model.get("backbone", before) != before and before in BACKBONES:
        for name, width in default_widths(before).items():
            if _as_tuple(merged["model"].get(name)) == _as_tuple(width):
                del merged["model"][name]
    if "resolution" in train:
        merged["model"]["tier"] = train["resolution"]
    for part in _KINDS:
        merged[part].update(layer.get(part, {}))
    return merged


def _made(parts: Parts, *, said_by: str = "") -> RunConfig:
    try:
        return RunConfig.from_dict(parts)
    except ValueError as error:
        raise UsageError(f"{said_by}{error}") from error


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
