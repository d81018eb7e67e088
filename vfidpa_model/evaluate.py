"""Evaluate a trained model beside trivial baselines and people: ``python -m vfidpa_model.evaluate RUN MANIFEST``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.common import cli
from vfidpa_model.training.options import Device, LabelledManifest


def evaluate_command(
    run: Annotated[Path, typer.Argument(help="Folder of a training run, or of a checkpoint.")],
    manifest: LabelledManifest,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    labels: Annotated[str | None, typer.Option(help="human, proxy or any; default: as in training.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results; default: RUN/evaluation-SPLIT.")] = None,
    device: Device = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that load frames.")] = 0,
) -> None:
    """Measure a model on a split, beside trivial baselines and people; prints Markdown, writes it with JSON and a PNG.

    \b
    Example:
      python -m vfidpa_model.evaluate runs/light data/data_manifest.parquet --split test
    """
    from vfidpa_model.evaluation.report import to_markdown
    from vfidpa_model.evaluation.run import evaluate, write_evaluation

    found = evaluate(run, manifest, split=split, labels=labels, device=device, workers=workers)
    write_evaluation(found, out or run / f"evaluation-{split}")
    print(to_markdown(found), end="")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return cli.run(evaluate_command, argv, prog="python -m vfidpa_model.evaluate")


if __name__ == "__main__":
    sys.exit(main())
