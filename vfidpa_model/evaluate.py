"""Evaluate a trained model beside trivial baselines and people: ``python -m vfidpa_model.evaluate RUN MANIFEST``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools import cli
from vfidpa_model.train_options import Device, LabelledManifest

if TYPE_CHECKING:
    from vfidpa_model.evaluation import Evaluation


def evaluate(
    run: Path,
    manifest_path: Path,
    *,
    split: str = "test",
    labels: str | None = None,
    device: str = "auto",
    workers: int = 0,
    with_baselines: bool = True,
) -> "Evaluation":
    """Return the evaluation of a run's best checkpoint on one split of a manifest; nothing is written.

    Args:
        labels: ``human``, ``proxy`` or ``any``; None takes what the model was trained with.

    Raises:
        UsageError: An unknown split, or the manifest holds no triplets of the model's tier.
        ManifestError: No labels in that split, a clip in two splits, missing frames.
    """
    from dataset_tools.device import describe_device, select_device
    from dataset_tools.files import sha256_file
    from dataset_tools.manifest import read_manifest
    from dataset_tools.progress import track
    from vfidpa_model.baselines import score_baselines
    from vfidpa_model.checkpoint import load_checkpoint
    from vfidpa_model.data import FrameReader
    from vfidpa_model.evaluation import HUMAN, MODEL, Evaluation, human_row, measure_row
    from vfidpa_model.labels import check_frames_exist, pairs_sha256, samples_of_split, select_samples
    from vfidpa_model.scoring import levels_of, score_samples
    from vfidpa_model.training_state import flatten

    chosen = select_device(device)
    assessor = load_checkpoint(run, device=chosen)
    trained = flatten(assessor.meta)
    kind = labels or trained.get("train.labels", "human")
    samples = select_samples(read_manifest(manifest_path), resolution=assessor.config.tier, labels=kind)
    evaluated = samples_of_split(samples, split, manifest=manifest_path, labels=kind)
    train = [sample for sample in samples if sample.split == "train"]
    check_frames_exist([*evaluated, *train], manifest_path)
    with track("evaluating", len(evaluated)) as progress:
        scores = score_samples(
            assessor.assess, evaluated, reader=FrameReader(), device=chosen, workers=workers, advance=progress.advance
        )
    is_known = trained.get("pairs_sha256") == pairs_sha256(samples)
    levels, clips = levels_of(evaluated), [sample.clip for sample in evaluated]
    rows = {MODEL: measure_row(scores, levels, clips)}
    if train and with_baselines:  # without training rows there is nothing to fit a baseline on
        for name, baseline in score_baselines(train, evaluated, device=str(chosen)).items():
            rows[name] = measure_row(baseline.scores, levels, clips, ranking=baseline.ranking)
    people = human_row(evaluated)
    if people is not None:
        rows[HUMAN] = people
    return Evaluation(
        title=f"{assessor.config.backbone} at {assessor.config.tier} on split {split} of {manifest_path.name}",
        samples=evaluated,
        scores=scores,
        rows=rows,
        facts={
            "labels": kind,
            "manifest sha256": sha256_file(manifest_path),
            "trained on": "this manifest"
            if is_known
            else "other labels or clips: see that none of these was among them",
            "checkpoint": f"{run.name}, trained on {trained.get('num_samples.train', '?')} pairs",
            "backbone started from": assessor.config.pretrained,
            "device": describe_device(chosen),
        },
    )


def write_evaluation(evaluation: "Evaluation", out: Path) -> None:
    """Write ``evaluation.json``, ``evaluation.md`` and ``evaluation.png`` into ``out``, the JSON last."""
    from dataset_tools.files import write_bytes, write_json
    from vfidpa_model.evaluation_report import to_markdown, to_png

    write_bytes(out / "evaluation.md", to_markdown(evaluation).encode())
    write_bytes(out / "evaluation.png", to_png(evaluation))
    write_json(out / "evaluation.json", evaluation.to_dict())


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
    from vfidpa_model.evaluation_report import to_markdown

    found = evaluate(run, manifest, split=split, labels=labels, device=device, workers=workers)
    write_evaluation(found, out or run / f"evaluation-{split}")
    print(to_markdown(found), end="")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return cli.run(evaluate_command, argv, prog="python -m vfidpa_model.evaluate")


if __name__ == "__main__":
    sys.exit(main())
