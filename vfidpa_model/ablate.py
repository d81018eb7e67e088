"""The paper's table of parts on any labelled manifest: ``python -m vfidpa_model.ablate MANIFEST --out DIR``.

Each row is a model with one part more; all are trained with the same steps, batches and seeds. What is finished is
kept: run the same command again to go on.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataset_tools.common import cli
from dataset_tools.errors import UsageError
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.training import options
from vfidpa_model.training.config import Machine, TrainConfig
from vfidpa_model.training.parts import ROWS, TABLE, model_of

if TYPE_CHECKING:
    from vfidpa_model.evaluation.cost import Cost

_BACKBONES = ("", "swin_t", "efficientnet_lite0")
_ASPECT = 16 / 9  # of the pair whose cost is measured


def ablate(
    manifest: Path,
    out: Path,
    *,
    rows: Sequence[str] = TABLE,
    seeds: int = 3,
    config: TrainConfig,
    backbone: str = "",
    input_height: int = 0,
    ahiq_patch: int = 8,
    split: str = "test",
    machine: Machine = Machine(),
) -> dict[str, Any]:
    """Train and evaluate every row with every seed, measure the costs together, and return the table as JSON values.

    A row with a seed lies in ``out/KEY/seed-S``; one that has its ``evaluation.json`` is not done again.

    Args:
        backbone: Takes the place of Swin-T in every row; empty leaves each row its own.
        input_height: Rows that every model sees; 0 takes the tier's.

    Raises:
        UsageError: An unknown row or split; ``out`` was begun with other options.
        ManifestError: As in training and evaluation; nothing is labelled in ``split``.
    """
    from vfidpa_model.evaluation.ablation import summarise

    unknown = [key for key in rows if key not in ROWS]
    if unknown:
        raise UsageError(f"row {unknown[0]!r} must be one of {', '.join(ROWS)}")
    if backbone not in _BACKBONES:
        raise UsageError(f"--backbone ({backbone!r}) must be one of {', '.join(_BACKBONES[1:])}")
    shared: dict[str, Any] = {"tier": config.resolution, "input_height": input_height}
    models = {key: model_of(key, backbone=backbone, ahiq_patch=ahiq_patch, **shared) for key in rows}
    _check_split(manifest, split, config)
    records: dict[str, list[dict[str, Any]]] = {key: [] for key in rows}
    for seed in range(config.seed, config.seed + seeds):  # seed by seed: the table is complete early
        for key in rows:
            print(f"{ROWS[key].title}, seed {seed}", file=sys.stderr)
            records[key].append(
                _row_with_seed(
                    manifest,
                    out / key / f"seed-{seed}",
                    model_config=models[key],
                    config=ROWS[key].config(replace(config, seed=seed)),
                    split=split,
                    machine=machine,
                    with_baselines=key == rows[0] and seed == config.seed,
                )
            )
    costs = _measure_costs([out / key / f"seed-{config.seed}" for key in rows], device=machine.device)
    clips = _clips_of(manifest, records[rows[0]][0])
    table = summarise(
        records, titles={key: ROWS[key].title for key in rows}, costs=dict(zip(rows, costs, strict=True)), clips=clips
    )
    table["options"] = {
        **config.to_dict(), "seeds": seeds, "split": split, "backbone": backbone, "input_height": input_height,
        "ahiq_patch": ahiq_patch,
    }  # fmt: skip
    return table


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
    train(
        manifest,
        run,
        model_config=model_config,
        config=config,
        machine=machine,
        resume=True,
        lpips_folder=machine.cache or run.parents[1],  # one for all rows and seeds
    )
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


def _clips_of(manifest: Path, record: Mapping[str, Any]) -> list[str]:
    """Return the clip of each evaluated pair, in the record's order."""
    from dataset_tools.columns.file import open_manifest

    names = ("triplet_id", "clip")
    table = open_manifest(manifest).read(names)
    clips = dict(zip(*(table[name].to_pylist() for name in names), strict=True))
    return [clips[pair["triplet_id"]] for pair in record["pairs"]]


def ablate_command(
    manifest: options.LabelledManifest,
    out: Annotated[Path, typer.Option(help="Folder for all runs and the table.")],
    rows: Annotated[str, typer.Option(help=f"Rows, by comma: {','.join(ROWS)}.")] = ",".join(TABLE),
    seeds: Annotated[int, typer.Option(min=1, help="Trainings per row.")] = 3,
    seed: options.Seed = TrainConfig.seed,
    resolution: options.Resolution = TrainConfig.resolution,
    labels: options.Labels = TrainConfig.labels,
    split: Annotated[str, typer.Option(help="Split to evaluate on: val or test.")] = "test",
    epochs: options.Epochs = 10,
    batch: options.Batch = TrainConfig.batch,
    lr: options.LearningRate = TrainConfig.lr,
    crop: options.Crop = TrainConfig.crop,
    backbone: Annotated[
        str, typer.Option(help="In place of Swin-T in every row, for example efficientnet_lite0.")
    ] = "",
    aux_weight: options.AuxWeight = TrainConfig.aux_weight,
    input_height: options.InputHeight = 0,
    ahiq_patch: options.AhiqPatch = ModelConfig.ahiq_patch,
    device: options.Device = Machine.device,
    workers: options.Workers = Machine.workers,
    cache: options.Cache = Machine.cache,
) -> None:
    """Train and evaluate the paper's ablation rows under equal budget and print the table.

    No row stops early. --aux-weight is for the rows that have the auxiliary loss, --cache is shared by all. The rows
    paper and ahiq-own are trained by their presets, for as many epochs. Without ImageNet weights of Swin-T, --backbone
    efficientnet_lite0 tells the parts apart by a backbone whose weights come along.

    \b
    Example:
      python -m vfidpa_model.ablate data/data_manifest.parquet --out runs/ablation --labels proxy --seeds 3
    """
    from dataset_tools.common.files import write_bytes, write_json
    from vfidpa_model.evaluation.ablation import to_markdown

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
        backbone=backbone,
        input_height=input_height,
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
