"""Command-line options that training, ablation and evaluation share, and how they become configs."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from dataset_tools.errors import UsageError
from vfidpa_model.networks.config import BACKBONES, SMALLEST_SIDE

LabelledManifest = Annotated[Path, typer.Argument(help="Manifest with labels (data_manifest.parquet).")]
Resolution = Annotated[str, typer.Option(help="Tier: 256p, 720p, 1080p, or all.")]
Labels = Annotated[str, typer.Option(help="human, proxy, or any; proxy only when asked for.")]
Backbone = Annotated[str, typer.Option(help=f"One of {', '.join(BACKBONES)}.")]
Head = Annotated[str, typer.Option(help="regression, or ordinal: trained on the votes, not only their consensus.")]
Upsample = Annotated[str, typer.Option(help="pixelshuffle or nearest.")]
TemporalDifference = Annotated[bool, typer.Option(help="Subtract the two frames' features.")]
DifferenceForm = Annotated[str, typer.Option(help="absolute, or signed: the plain subtraction.")]
InputHeight = Annotated[
    int, typer.Option(help="Rows the model sees; higher frames are brought down. 0: the tier's height.")
]
AhiqPatch = Annotated[int, typer.Option(help="Patch size of AHIQ's ViT: 8, or 16 for a quarter of the time.")]
Epochs = Annotated[int, typer.Option(min=1, help="Passes over the training pairs.")]
Batch = Annotated[int, typer.Option(min=1, help="Pairs per step, over all processes.")]
LearningRate = Annotated[float, typer.Option(min=0, help="Highest learning rate; the backbone takes a tenth.")]
WarmupSteps = Annotated[int, typer.Option(min=0, help="Steps over which the learning rate rises.")]
Ema = Annotated[float, typer.Option(min=0, max=0.9999, help="Decay of a running mean of the weights; 0: off.")]
Accumulate = Annotated[int, typer.Option(min=1, help="Parts of a batch, one after another, to save memory.")]
Target = Annotated[
    str, typer.Option(help="level, or gain: where an accurate model removes error (predict --as accurate).")
]
Start = Annotated[
    str,
    typer.Option(help="Checkpoint (or light) whose weights to start from, with the same layers.", show_default=False),
]
Pretrained = Annotated[
    str, typer.Option(help="ImageNet weights of the backbone: auto, required, none, or a file (timm's, torchvision's).")
]
Crop = Annotated[int, typer.Option(help=f"Side of the training crop, from {SMALLEST_SIDE} pixels; 0: whole frames.")]
AuxWeight = Annotated[float, typer.Option(min=0, help="Weight of the LPIPS loss; 0: off.")]
Patience = Annotated[int, typer.Option(min=0, help="Epochs without a better validation before stopping; 0: never.")]
Precision = Annotated[str, typer.Option(help="fp32, bf16 or fp16.")]
Seed = Annotated[
    int, typer.Option(min=0, max=2**31 - 1, help="Seed of everything random; of several trainings, the first one's.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that load frames; 0 loads in between steps.")]
Cache = Annotated[Path | None, typer.Option(help="Folder for decoded frames, for slow disks and large frames.")]
Logger = Annotated[str, typer.Option(help="Who is told beside metrics.jsonl: tensorboard, wandb or none.")]

Made = TypeVar("Made")


def from_options(make: Callable[..., Made], *given: Any, **options: Any) -> Made:
    """Return ``make(*given, **options)``: a config, or a changed one; what it refuses is wrong usage.

    Raises:
        UsageError: A value is not one of its choices or out of range.
    """
    try:
        return make(*given, **options)
    except ValueError as error:
        raise UsageError(str(error)) from error
