"""Train VFI-DPA on a labelled manifest: ``python -m vfidpa_model.train MANIFEST --out RUN``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.common import cli
from dataset_tools.errors import UsageError
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.training import options
from vfidpa_model.training.config import Machine, TrainConfig
from vfidpa_model.training.presets import PRESETS


def train_command(
    ctx: typer.Context,
    manifest: Annotated[
        Path | None, typer.Argument(help="Manifest with labels (data_manifest.parquet).", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default=False)] = None,
    preset: Annotated[str, typer.Option(help=f"What the rest begins with: {', '.join(PRESETS)}.")] = "default",
    config: Annotated[
        Path | None,
        typer.Option(help="YAML or JSON with parts model, train, machine; options win.", show_default=False),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the whole configuration as YAML and end.")
    ] = False,
    resolution: options.Resolution = TrainConfig.resolution,
    labels: options.Labels = TrainConfig.labels,
    target: options.Target = TrainConfig.target,
    start: options.Start = TrainConfig.start,
    pretrained: options.Pretrained = TrainConfig.pretrained,
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
    logger: options.Logger = Machine.logger,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
) -> None:
    """Train VFI-DPA on the labelled triplets of a manifest, or on where an accurate model gains (--target gain).

    Defaults are those of the preset "default". What has no option here (widths, losses, augmentation) has a name in
    the config file.

    \b
    Examples:
      python -m vfidpa_model.train data/data_manifest.parquet --out runs/light --backbone efficientnet_lite0
      python -m vfidpa_model.train --preset paper --print-config > run.yaml
      python -m vfidpa_model.train data/data_manifest.parquet --out runs/paper --config run.yaml
      torchrun --nproc-per-node 2 -m vfidpa_model.train data/data_manifest.parquet --out runs/a
    """
    from vfidpa_model.training.config_file import resolve_config, to_yaml

    # Only what was typed goes over preset and file, so Typer is asked which options that were.
    typed = {name: ctx.params[name] for name in ctx.params if _is_typed(ctx, name)}
    chosen = resolve_config(preset=preset, path=config, options=typed)
    if print_config:
        print(to_yaml(chosen), end="")
        return
    if manifest is None or out is None:
        raise UsageError("a training needs MANIFEST and --out")
    from accelerate import PartialState

    from vfidpa_model.training.run import train

    train(manifest, out, model_config=chosen.model, config=chosen.train, machine=chosen.machine, resume=resume)
    if PartialState().is_main_process:
        print(out)


def _is_typed(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"  # by name: Typer may ship its own copy of Click


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return cli.run(train_command, argv, prog="python -m vfidpa_model.train")


if __name__ == "__main__":
    sys.exit(main())
