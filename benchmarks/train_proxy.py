"""Does the model beat the trivial baselines? ``python benchmarks/train_proxy.py --clips CLIPS --out runs/proxy``

Extracts triplets of the demo clips and of the clips in a folder at 256p, predicts them with RIFE, takes levels from the
predictions' LPIPS (proxy levels), and cross-validates by clip: every clip is tested once, by a model and by baselines
that were fitted without it. Prints one table over all clips with 95 % intervals by clip, and the differences in SRCC.
Every step is resumable: run the same command again.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from dataset_tools import extract, predict
from dataset_tools.manifest import Manifest, read_manifest
from vfidpa_model.evaluation.baselines import score_baselines
from vfidpa_model.evaluation.comparison import MODEL, Evaluation, measure_row
from vfidpa_model.evaluation.report import to_markdown, to_png
from vfidpa_model.evaluation.run import evaluate, write_evaluation
from vfidpa_model.evaluation.scoring import levels_of
from vfidpa_model.inference.checkpoint import read_checkpoint
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.pairs.labels import select_samples
from vfidpa_model.pairs.sample import Sample
from vfidpa_model.training.config import Machine, TrainConfig
from vfidpa_model.training.run import train


def fold_splits(clips: list[str], *, folds: int, fold: int) -> dict[str, str]:
    """Return clip -> split for one fold: every ``folds``-th clip is tested, the next one validates."""
    tested = clips[fold::folds]
    rest = [clip for clip in clips if clip not in tested]
    following = clips.index(tested[0]) + 1
    validating = next(clip for clip in clips[following:] + clips[:following] if clip in rest)
    return {clip: "test" if clip in tested else "val" if clip == validating else "train" for clip in clips}


def make_set(clips: Path | None, out: Path, *, count: int, seed: int) -> Manifest:
    """Return the proxy-labelled manifest, extracted and predicted where it is not there yet."""
    sources = ["--source", "demo", *(["--source", f"videos:{clips}"] if clips else [])]
    options = ["--out", str(out), "--count", str(count), "--resolutions", "256p", "--seed", str(seed)]
    path = out / "data_manifest.parquet"
    for code in (extract.main([*sources, *options]), predict.main([str(path), "--proxy-levels"])):
        if code != 0:
            sys.exit(code)
    return read_manifest(path)


def run_fold(manifest: Manifest, out: Path, *, fold: int, folds: int, model: ModelConfig, config: TrainConfig) -> dict:
    """Train on one fold and return its test samples with the scores of the model and of the baselines."""
    rows = manifest.rows()
    clips = sorted({row["clip"] for row in rows})
    splits = fold_splits(clips, folds=folds, fold=fold)
    path = manifest.root / f"fold-{fold}-of-{folds}.parquet"  # beside the frames, whose paths are relative
    manifest.with_columns({"split": [splits[row["clip"]] for row in rows]}).write(path)
    run = out / f"{model.backbone}-{model.difference_form}-{model.rows}-rows-fold-{fold}-of-{folds}"
    train(path, run, model_config=model, config=config, machine=Machine("cpu"), resume=True)
    stored = run / "evaluation-test" / "evaluation.json"
    if not stored.exists():
        write_evaluation(evaluate(run, path, device="cpu"), stored.parent)
    scores = {pair["triplet_id"]: pair["score"] for pair in json.loads(stored.read_text())["pairs"]}
    samples = select_samples(read_manifest(path), resolution="256p", labels="proxy")
    tested = [sample for sample in samples if sample.split == "test"]
    baselines = score_baselines([sample for sample in samples if sample.split == "train"], tested)
    return {"samples": tested, "scores": [scores[s.triplet_id] for s in tested], "baselines": baselines, "run": run}


def pool(folds: list[dict], *, backbone: str) -> Evaluation:
    """Return one evaluation over the tests of all folds."""
    samples: list[Sample] = [sample for fold in folds for sample in fold["samples"]]
    clips, levels = [sample.clip for sample in samples], levels_of(samples)
    scores = np.concatenate([fold["scores"] for fold in folds])
    rows = {MODEL: measure_row(scores, levels, clips)}
    for name in folds[0]["baselines"]:
        parts = [fold["baselines"][name] for fold in folds]
        ranking = None if parts[0].ranking is None else np.concatenate([part.ranking for part in parts])
        rows[name] = measure_row(np.concatenate([part.scores for part in parts]), levels, clips, ranking=ranking)
    checkpoint = read_checkpoint(folds[0]["run"])
    facts = {
        "labels": "proxy (thresholds on pred_lpips)",
        "folds": len(folds),
        "backbone started from": checkpoint.config.pretrained,
        "epochs, batch, crop": str([checkpoint.meta["train"][name] for name in ("epochs", "batch", "crop")]),
        "device": checkpoint.meta["device"],
    }
    return Evaluation(
        f"{backbone} at 256p, {checkpoint.config.rows} rows seen, cross-validated by clip", samples, scores, rows, facts
    )


def main() -> None:
    """Make the set, run the folds, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, help="folder of clips beside the demo clips")
    parser.add_argument("--out", type=Path, default=Path("runs/proxy"), help="folder of the data set and the runs")
    parser.add_argument("--count", type=int, default=240, help="triplets")
    parser.add_argument("--folds", type=int, default=3, help="folds of clips")
    parser.add_argument("--backbones", default="efficientnet_lite0,swin_t", help="by comma")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--lr", type=float, default=TrainConfig.lr)
    parser.add_argument("--difference-form", default=ModelConfig.difference_form, help="absolute or signed")
    parser.add_argument("--input-height", type=int, default=0, help="rows the model sees; 0: all 256")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    config = TrainConfig(
        epochs=options.epochs,
        batch=options.batch,
        crop=options.crop,
        lr=options.lr,
        seed=options.seed,
        labels="proxy",
        patience=0,
    )
    manifest = make_set(options.clips, options.out / "data", count=options.count, seed=options.seed)
    for backbone in options.backbones.split(","):
        model = ModelConfig(
            backbone=backbone, difference_form=options.difference_form, input_height=options.input_height
        )
        work = {"folds": options.folds, "model": model, "config": config}
        found = pool([run_fold(manifest, options.out, fold=k, **work) for k in range(options.folds)], backbone=backbone)
        (options.out / f"{backbone}.png").write_bytes(to_png(found))
        (options.out / f"{backbone}.md").write_text(to_markdown(found))
        print(to_markdown(found))


if __name__ == "__main__":
    main()
