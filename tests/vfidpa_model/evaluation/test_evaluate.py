"""Evaluation of a checkpoint on real frames, beside baselines and people."""

import json

import numpy as np
import pytest
import torch
from sklearn import metrics

from dataset_tools.frames import read_image
from dataset_tools.manifest import read_manifest
from tests.vfidpa_model.labelled_set import labelled_manifest
from vfidpa_model.evaluate import main
from vfidpa_model.evaluation.comparison import HUMAN, MODEL, Evaluation, human_row, measure_row
from vfidpa_model.evaluation.report import LABELS, to_markdown
from vfidpa_model.evaluation.scoring import levels_of
from vfidpa_model.inference.assessor import load_checkpoint
from vfidpa_model.inference.checkpoint import save_checkpoint
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.pairs.labels import select_samples

COMPETITORS = [MODEL, "constant (median)", "frame difference", "optical flow (DIS)", "LPIPS of the inputs", HUMAN]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory, demo_clips):
    return labelled_manifest(tmp_path_factory.mktemp("labelled"), demo_clips)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A checkpoint, untrained: what is tested here is the measuring."""
    from vfidpa_model.networks.vfidpa import create_model

    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("run")
    meta = {"train": {"labels": "human"}, "num_samples": {"train": 48}}
    save_checkpoint(out / "best", create_model(ModelConfig(backbone="efficientnet_lite0")), meta=meta)
    return out


def changed(manifest, name, change):
    """Writes the manifest under another name with every row passed through ``change``; returns its path."""
    rows = [{**row, **change(row)} for row in manifest.rows()]
    columns = {
        column: [row[column] for row in rows] for column in ("level", "level_source", "votes", "split", "resolution")
    }
    manifest.with_columns({**columns, "img1": [row["img1"] for row in rows]}).write(manifest.root / name)
    return manifest.root / name


def test_everything_is_measured_on_the_same_pairs(run, manifest, tmp_path, capsys):
    assert main([str(run), str(manifest.path), "--out", str(tmp_path), "--device", "cpu"]) == 0
    page = capsys.readouterr().out
    assert page == (tmp_path / "evaluation.md").read_text()
    assert all(f" {word} |" in page for word in (*COMPETITORS, *LABELS.values()))
    assert "12 pairs of 3 clips. With 3 clips the intervals are rough" in page
    assert "- trained on: other labels or clips: see that none of these was among them" in page
    assert (tmp_path / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    assert read_image(tmp_path / "evaluation.png").shape[1] > 1000
    record = json.loads((tmp_path / "evaluation.json").read_text(), parse_constant=pytest.fail)  # no NaN in JSON
    assert sorted(record["rows"]) == sorted(COMPETITORS)
    assert record["rows"]["constant (median)"]["measures"]["srcc"] is None
    levels, scores = np.array([(pair["level"], pair["score"]) for pair in record["pairs"]]).T
    found = record["rows"][MODEL]["measures"]
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(levels, scores))
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(levels > 2.5, scores))
    for row in record["rows"].values():
        for name, value in row["measures"].items():
            low, high = row["intervals"][name]
            assert value is None or low - 1e-9 <= value <= high + 1e-9
    assert set(record["srcc_gains"]) == {"frame difference", "optical flow (DIS)", "LPIPS of the inputs"}


def test_scores_are_those_of_the_python_interface(run, manifest, tmp_path):
    assert main([str(run), str(manifest.path), "--split", "val", "--out", str(tmp_path)]) == 0
    rows = {row["triplet_id"]: row for row in manifest.rows()}
    assessor = load_checkpoint(run)
    for pair in json.loads((tmp_path / "evaluation.json").read_text())["pairs"][::4]:
        row = rows[pair["triplet_id"]]
        score = assessor.predict(read_image(manifest.file(row, "img0")), read_image(manifest.file(row, "img1")))
        assert score[0] == pytest.approx(pair["score"], abs=1e-4)


@pytest.mark.parametrize(
    ("change", "options", "code", "words"),
    [
        (lambda row: {}, ["--split", "exam"], 2, "--split ('exam') must be one of train, val, test"),
        (lambda row: {"resolution": "1080p"}, [], 2, "resolution (256p) must be a tier of"),
        (lambda row: {"level": None} if row["split"] == "test" else {}, [], 1, "no human labels at 256p in split test"),
        (lambda row: {}, ["--labels", "proxy"], 1, "has no proxy labels at 256p, only human"),
        (lambda row: {"img1": "frames/gone.png"}, [], 1, "60 frames of"),
    ],
)
def test_refusals(run, manifest, tmp_path, capsys, change, options, code, words):
    path = changed(manifest, "changed.parquet", change)
    assert main([str(run), str(path), "--out", str(tmp_path / "no"), *options]) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_no_checkpoint_is_one_line(manifest, tmp_path, capsys):
    assert main([str(tmp_path), str(manifest.path)]) == 1
    assert "no checkpoint in" in capsys.readouterr().err


def test_without_training_rows_or_votes_the_model_stands_alone(run, manifest, tmp_path):
    path = changed(manifest, "bare.parquet", lambda row: {"split": "test", "votes": None})
    assert main([str(run), str(path), "--out", str(tmp_path)]) == 0
    assert list(json.loads((tmp_path / "evaluation.json").read_text())["rows"]) == [MODEL]


def test_pairs_of_one_clip_have_no_intervals(run, manifest, tmp_path, capsys):
    keep = "videos/bikes-5"
    path = changed(
        manifest,
        "one.parquet",
        lambda row: {} if row["split"] != "test" or keep in row["triplet_id"] else {"level": None},
    )
    assert main([str(run), str(path), "--out", str(tmp_path)]) == 0
    page = capsys.readouterr().out
    assert "4 pairs of one clip, so there are no intervals." in page
    assert "nan" not in page
    json.loads((tmp_path / "evaluation.json").read_text(), parse_constant=pytest.fail)


def samples_of(manifest, split):
    samples = select_samples(read_manifest(manifest.path), resolution="256p", labels="human")
    return [sample for sample in samples if sample.split == split]


def test_people_are_measured_against_the_consensus_of_the_others(manifest):
    """ada and cyd agree; ben is one level above them on every second pair, except at level 4."""
    samples = samples_of(manifest, "train")
    off = [sample.votes["ben"] - sample.votes["ada"] for sample in samples]
    # ben against (l, l): off by one; ada against (l, l + 1): the upper median is ben's, off by one; cyd likewise.
    assert human_row(samples, num_resamples=5).measures["mae"] == pytest.approx(np.mean(off))


def test_gain_over_a_baseline_has_a_paired_interval(manifest):
    samples = samples_of(manifest, "train")
    levels, clips = levels_of(samples), [sample.clip for sample in samples]
    rng = np.random.default_rng(0)
    worse = levels + rng.normal(0, 2, len(levels))
    rows = {
        MODEL: measure_row(levels, levels, clips, num_resamples=50),
        "noise": measure_row(worse, levels, clips, num_resamples=50),
    }
    evaluation = Evaluation("perfect", samples, levels, rows, {})
    value, low, high = evaluation.gains()["noise"]
    assert 0 < low < value < high
    assert "| MAE | 0.000 [0.000, 0.000] |" in to_markdown(evaluation)
