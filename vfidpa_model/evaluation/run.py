"""One evaluation from a checkpoint and a manifest to its three files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataset_tools.columns.file import ManifestFile
    from vfidpa_model.evaluation.comparison import Evaluation
    from vfidpa_model.pairs.sample import Sample


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
        labels: ``human``, ``proxy`` or ``any``; None takes what the model was trained with. A model of gain is
            judged on gain.

    Raises:
        UsageError: An unknown split, or the manifest holds no triplets of the model's tier.
        ManifestError: No labels in that split, a clip in two splits, missing frames.
    """
    from dataset_tools.columns.file import open_manifest
    from dataset_tools.common.device import describe_device, select_device
    from dataset_tools.common.files import sha256_file
    from dataset_tools.common.progress import track
    from vfidpa_model.evaluation.baselines import score_baselines
    from vfidpa_model.evaluation.comparison import HUMAN, MODEL, Evaluation, human_row, measure_row
    from vfidpa_model.evaluation.scoring import levels_of, score_samples
    from vfidpa_model.inference.assessor import load_checkpoint
    from vfidpa_model.inference.checkpoint import flatten
    from vfidpa_model.pairs.labels import check_frames_exist, samples_of_split
    from vfidpa_model.pairs.loading import FrameReader
    from vfidpa_model.pairs.pairs_hash import pairs_sha256
    from vfidpa_model.pairs.sample_table import of_split

    chosen = select_device(device)
    assessor = load_checkpoint(run, device=chosen)
    trained = flatten(assessor.meta)
    manifest = open_manifest(manifest_path)
    kind, samples = _labelled(manifest, trained, tier=assessor.config.tier, labels=labels)
    evaluated = samples_of_split(samples, split, manifest=manifest_path, labels=kind)
    train = of_split(samples, "train")
    check_frames_exist(evaluated, train, manifest=manifest)
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


def _labelled(
    manifest: "ManifestFile", trained: Mapping[str, Any], *, tier: str, labels: str | None
) -> tuple[str, "Sequence[Sample]"]:
    """Return what a model is judged on, by what it was trained on, and the pairs that have it."""
    from vfidpa_model.pairs.gains import GainScale, gain_samples
    from vfidpa_model.pairs.labels import select_samples

    if trained.get("train.target") == "gain":
        scale = GainScale(trained["gain_scale.unit"], trained["gain_scale.top"])
        return "gain", gain_samples(manifest, resolution=tier, scale=scale)[0]
    kind = labels or trained.get("train.labels", "human")
    return kind, select_samples(manifest, resolution=tier, labels=kind)


def write_evaluation(evaluation: "Evaluation", out: Path) -> None:
    """Write ``evaluation.json``, ``evaluation.md`` and ``evaluation.png`` into ``out``, the JSON last."""
    from dataset_tools.common.files import write_bytes, write_json
    from vfidpa_model.evaluation.report import to_markdown, to_png

    write_bytes(out / "evaluation.md", to_markdown(evaluation).encode())
    write_bytes(out / "evaluation.png", to_png(evaluation))
    write_json(out / "evaluation.json", evaluation.to_dict())
