"""The paper's table of parts on any labelled manifest: ``python -m vfidpa_model.ablate MANIFEST --out DIR``.

Each row is a model with one part more; all are trained with the same steps, batches and seeds. What is finished is
kept: run the same command again to go on.
"""

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataset_tools.common import cli
from dataset_tools.common.markdown import to_table
from dataset_tools.errors import UsageError
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.training import options
from vfidpa_model.training.config import Machine, TrainConfig
from vfidpa_model.training.config_file import preset_config

if TYPE_CHECKING:
    from vfidpa_model.evaluation.cost import Cost

_PLAIN = ModelConfig(backbone="swin_t", upsample="nearest", temporal_difference=False)
# key -> (title, model, whether the auxiliary loss is on), in the order of the paper's table. ``full`` is the preset
# "default"; "paper" and "ahiq-own" bring their presets' recipe with them and share only the budget and the data.
ROWS: dict[str, tuple[str, ModelConfig, bool]] = {
    "ahiq": ("AHIQ (ViT-B + ResNet-50)", ModelConfig(backbone="ahiq"), False),
    "baseline": ("Swin-T baseline", _PLAIN, False),
    "pixelshuffle": ("+ PixelShuffle", replace(_PLAIN, upsample="pixelshuffle"), False),
    "temporal": ("+ temporal difference", ModelConfig(), False),
    "full": ("+ auxiliary loss = VFI-DPA", ModelConfig(), True),
    "light": ("light VFI-DPA (EfficientNet-Lite0)", ModelConfig(backbone="efficientnet_lite0"), True),
    "paper": ("VFI-DPA, preset paper", preset_config("paper").model, True),
    "ahiq-own": ("AHIQ, its own recipe", preset_config("ahiq").model, False),
}
_PRESET_OF = {"paper": "paper", "ahiq-own": "ahiq"}
_TABLE = tuple(key for key in ROWS if key not in _PRESET_OF)
_BUDGET = ("resolution", "labels", "epochs", "crop", "seed", "patience", "pretrained", "precision")
_ASPECT = 16 / 9  # of the pair whose cost is measured
_MEASURES = ("acc@0.25", "acc@0.5", "acc@0.75", "acc@1", "mae", "srcc", "plcc")


def ablate(
    manifest: Path,
    out: Path,
    *,
    rows: Sequence[str] = _TABLE,
    seeds: int = 3,
    config: TrainConfig,
    ahiq_patch: int = 8,
    split: str = "test",
    machine: Machine = Machine(),
) -> dict[str, Any]:
    """Train and evaluate every row with every seed, measure the costs together, and return the table as JSON values.

    A row with a seed lies in ``out/KEY/seed-S``; one that has its ``evaluation.json`` is not done again.

    Raises:
        UsageError: An unknown row or split; ``out`` was begun with other options.
        ManifestError: As in training and evaluation; nothing is labelled in ``split``.
    """
    unknown = [key for key in rows if key not in ROWS]
    if unknown:
        raise UsageError(f"row {unknown[0]!r} must be one of {', '.join(ROWS)}")
    models = {key: _model_of(key, tier=config.resolution, ahiq_patch=ahiq_patch) for key in rows}
    _check_split(manifest, split, config)
    records: dict[str, list[dict[str, Any]]] = {key: [] for key in rows}
    for seed in range(config.seed, config.seed + seeds):  # seed by seed: the table is complete early
        for key in rows:
            print(f"{ROWS[key][0]}, seed {seed}", file=sys.stderr)
            records[key].append(
                _row_with_seed(
                    manifest,
                    out / key / f"seed-{seed}",
                    model_config=models[key],
                    config=_config_of(key, replace(config, seed=seed)),
                    split=split,
                    machine=machine,
                    with_baselines=key == rows[0] and seed == config.seed,
                )
            )
    costs = _measure_costs([out / key / f"seed-{config.seed}" for key in rows], device=machine.device)
    table = _summarise(records, dict(zip(rows, costs, strict=True)))
    table["options"] = {**config.to_dict(), "seeds": seeds, "split": split, "ahiq_patch": ahiq_patch}
    return table


def _config_of(key: str, config: TrainConfig) -> TrainConfig:
    """Return how a row is trained: all alike but for the auxiliary loss; a preset's row by its own recipe."""
    if key in _PRESET_OF:
        same = {name: getattr(config, name) for name in _BUDGET}
        return replace(preset_config(_PRESET_OF[key]).train, **same)
    return config if ROWS[key][2] else replace(config, aux_weight=0.0)


def _model_of(key: str, *, tier: str, ahiq_patch: int) -> ModelConfig:
    model = ROWS[key][1]
    patch = ahiq_patch if model.backbone == "ahiq" else model.ahiq_patch
    return options.from_options(replace, model, tier=tier, ahiq_patch=patch)


def _check_split(manifest: Path, split: str, config: TrainConfig) -> None:
    """See before hours of training that there is something to evaluate on after them."""
    from dataset_tools.columns.file import open_manifest
    from vfidpa_model.pairs.labels import samples_of_split, training_samples

    samples = training_samples(
        open_manifest(manifest), resolution=config.resolution, labels=config.labels, aux_weight=config.aux_weight
    )
    samples_of_split(samples, split, manifest=manifest, labels=config.labels)


def _row_with_seed(
    manifest: Path,
    run: Path,
    *,
    model_config: ModelConfig,
    config: TrainConfig,
    split: str,
    machine: Machine,
    with_baselines: bool,
) -> dict[str, Any]:
    from vfidpa_model.evaluation.run import evaluate, write_evaluation
    from vfidpa_model.training.run import train

    # A finished run is only checked: other options or another manifest are refused.
    train(manifest, run, model_config=model_config, config=config, machine=machine, resume=True)
    stored = run / f"evaluation-{split}" / "evaluation.json"
    record: dict[str, Any] = json.loads(stored.read_text()) if stored.exists() else {"rows": {}}
    if not record["rows"] or (with_baselines and not record["srcc_gains"]):  # it was not the first row last time
        found = evaluate(
            run, manifest, split=split, device=machine.device, workers=machine.workers, with_baselines=with_baselines
        )
        write_evaluation(found, stored.parent)
        record = found.to_dict()
    return record


def _measure_costs(runs: Sequence[Path], *, device: str) -> "list[Cost]":
    from dataset_tools.common.device import select_device
    from vfidpa_model.evaluation.cost import measure_costs
    from vfidpa_model.inference.checkpoint import load_model

    models = {str(run): load_model(run)[0] for run in runs}
    height = next(iter(models.values())).config.rows or 256
    width = round(height * _ASPECT / 16) * 16
    found = measure_costs(models, height=height, width=width, device=select_device(device))
    return [found[str(run)] for run in runs]


def _summarise(records: Mapping[str, Sequence[Mapping[str, Any]]], costs: "Mapping[str, Cost]") -> dict[str, Any]:
    """Return the rows with mean and standard deviation over the seeds, and the baselines of the first evaluation."""
    from vfidpa_model.evaluation.comparison import MODEL

    rows = []
    for key, found in records.items():
        values = {name: [record["rows"][MODEL]["measures"][name] for record in found] for name in _MEASURES}
        started_from = found[0]["facts"]["backbone started from"]
        rows.append(
            {"title": ROWS[key][0], "started_from": started_from, "measures": values, "cost": costs[key].to_dict()}
        )
    first = next(iter(records.values()))[0]
    for name, row in sorted(first["rows"].items()):
        if name != MODEL:
            values = {measure: [row["measures"][measure]] for measure in _MEASURES}
            rows.append({"title": name, "started_from": "", "measures": values, "cost": None})
    facts = {name: first[name] for name in ("num_pairs", "num_clips")}
    return {"rows": rows, **facts, "device": first["facts"]["device"]}


def to_markdown(table: Mapping[str, Any]) -> str:
    """Return the table of ``ablate`` as Markdown: mean ± standard deviation over the seeds."""
    options = table["options"]
    head = ["model", "backbone from", *_MEASURES, "parameters (M)", "GMACs", "ms per pair"]
    lines = [
        f"Trained on {options['labels']} labels at {options['resolution']} for {options['epochs']} epochs, batch "
        f"{options['batch']}, crop {options['crop']}, {options['seeds']} seeds; "
        f"{table['num_pairs']} {options['split']} pairs of {table['num_clips']} clips; {table['device']}; "
        f"AHIQ with patches of {options['ahiq_patch']}.",
        "",
    ]
    rows = []
    for row in table["rows"]:
        cost = row["cost"]
        numbers = (
            [f"{cost['parameters'] / 1e6:.1f}", f"{cost['gmacs']:.1f}", f"{cost['milliseconds']:.0f}"]
            if cost
            else ["", "", ""]
        )
        cells = [row["title"], row["started_from"], *(_spread(row["measures"][name]) for name in _MEASURES), *numbers]
        rows.append(cells)
    return "\n".join([*lines, to_table(head, rows)]) + "\n"


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean = f"{statistics.mean(known):.3f}"
    return f"{mean} ± {statistics.stdev(known):.3f}" if len(known) > 1 else mean


def ablate_command(
    manifest: options.LabelledManifest,
    out: Annotated[Path, typer.Option(help="Folder for all runs and the table.")],
    rows: Annotated[str, typer.Option(help=f"Rows, by comma: {','.join(ROWS)}.")] = ",".join(_TABLE),
    seeds: Annotated[int, typer.Option(min=1, help="Trainings per row.")] = 3,
    seed: options.Seed = TrainConfig.seed,
    resolution: options.Resolution = TrainConfig.resolution,
    labels: options.Labels = TrainConfig.labels,
    split: Annotated[str, typer.Option(help="Split to evaluate on: val or test.")] = "test",
    epochs: options.Epochs = 10,
    batch: options.Batch = TrainConfig.batch,
    lr: options.LearningRate = TrainConfig.lr,
    crop: options.Crop = TrainConfig.crop,
    aux_weight: options.AuxWeight = TrainConfig.aux_weight,
    ahiq_patch: options.AhiqPatch = ModelConfig.ahiq_patch,
    device: options.Device = Machine.device,
    workers: options.Workers = Machine.workers,
    cache: options.Cache = Machine.cache,
) -> None:
    """Train and evaluate the paper's ablation rows under equal budget and print the table.

    No row stops early. --aux-weight is for the rows that have the auxiliary loss, --cache is shared by all. The rows
    paper and ahiq-own are trained by their presets, for as many epochs.

    \b
    Example:
      python -m vfidpa_model.ablate data/data_manifest.parquet --out runs/ablation --labels proxy --seeds 3
    """
    from dataset_tools.common.files import write_bytes, write_json

    config = options.from_options(
        TrainConfig, resolution=resolution, epochs=epochs, batch=batch, lr=lr, crop=crop, aux_weight=aux_weight,
        labels=labels, seed=seed, patience=0,
    )  # fmt: skip
    table = ablate(
        manifest,
        out,
        rows=list(dict.fromkeys(key.strip() for key in rows.split(","))),
        seeds=seeds,
        config=config,
        ahiq_patch=ahiq_patch,
        split=split,
        machine=Machine(device, workers, cache),
    )
    page = to_markdown(table)
    write_bytes(out / "ablation.md", page.encode())
    write_json(out / "ablation.json", table)
    print(page, end="")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return cli.run(ablate_command, argv, prog="python -m vfidpa_model.ablate")


if __name__ == "__main__":
    sys.exit(main())
