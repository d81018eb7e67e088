"""Train VFI-DPA on a labelled manifest: ``python -m vfidpa_model.train MANIFEST --out RUN``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.common import cli
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.training import options
from vfidpa_model.training.config import Machine, TrainConfig


def train_command(
    manifest: options.LabelledManifest,
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    resolution: options.Resolution = TrainConfig.resolution,
    labels: options.Labels = TrainConfig.labels,
    target: options.Target = TrainConfig.target,
    start: options.Start = None,
    pretrained: options.Pretrained = "auto",
    backbone: options.Backbone = ModelConfig.backbone,
    head: options.Head = ModelConfig.head,
    upsample: options.Upsample = ModelConfig.upsample,
    temporal_difference: options.TemporalDifference = ModelConfig.temporal_difference,
    difference_form: options.DifferenceForm = ModelConfig.difference_form,
    input_height: options.InputHeight = ModelConfig.input_height,
    ahiq_patch: options.AhiqPatch = ModelConfig.ahiq_patch,
    epochs: options.Epochs = TrainConfig.epochs,
    batch: options.Batch = TrainConfig.batch,
    lr: options.LearningRate = TrainConfig.lr,
    warmup_steps: options.WarmupSteps = TrainConfig.warmup_steps,
    accumulate: options.Accumulate = TrainConfig.accumulate,
    ema: options.Ema = TrainConfig.ema,
    crop: options.Crop = TrainConfig.crop,
    aux_weight: options.AuxWeight = TrainConfig.aux_weight,
    patience: options.Patience = TrainConfig.patience,
    precision: options.Precision = TrainConfig.precision,
    seed: options.Seed = TrainConfig.seed,
    device: options.Device = Machine.device,
    workers: options.Workers = Machine.workers,
    cache: options.Cache = Machine.cache,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
) -> None:
    """Train VFI-DPA on the labelled triplets of a manifest, or on where an accurate model gains (--target gain).

    \b
    Examples:
      python -m vfidpa_model.train data/data_manifest.parquet --out runs/light --backbone efficientnet_lite0
      torchrun --nproc-per-node 2 -m vfidpa_model.train data/data_manifest.parquet --out runs/a
    """
    from accelerate import PartialState

    from vfidpa_model.training.run import train

    config = options.from_options(
        TrainConfig, resolution=resolution, epochs=epochs, batch=batch, lr=lr, crop=crop, aux_weight=aux_weight,
        labels=labels, seed=seed, precision=precision, patience=patience, target=target, warmup_steps=warmup_steps,
        accumulate=accumulate, ema=ema,
    )  # fmt: skip
    model_config = options.from_options(
        ModelConfig, backbone=backbone, head=head, upsample=upsample, temporal_difference=temporal_difference,
        difference_form=difference_form, tier=resolution, input_height=input_height, ahiq_patch=ahiq_patch,
    )  # fmt: skip
    machine = Machine(device, workers, cache)
    train(manifest, out, model_config=model_config, config=config, machine=machine, resume=resume,
          start=Path(start) if start else None, pretrained=pretrained)  # fmt: skip
    if PartialState().is_main_process:
        print(out)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return cli.run(train_command, argv, prog="python -m vfidpa_model.train")


if __name__ == "__main__":
    sys.exit(main())
