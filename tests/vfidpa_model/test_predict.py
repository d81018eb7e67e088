"""The predict command: one pair, a whole manifest, and what it never touches."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from dataset_tools.frames import read_image, write_image
from dataset_tools.manifest import read_manifest
from tests.vfidpa_model.labelled_set import labelled_manifest
from tests.vfidpa_model.light_checkpoint import save_light_run
from vfidpa_model.inference import scoring
from vfidpa_model.inference.assessor import load_checkpoint
from vfidpa_model.predict import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training run with a light model for 256p."""
    folder = tmp_path_factory.mktemp("run")
    save_light_run(folder)
    return folder


@pytest.fixture
def manifest(tmp_path, demo_clips):
    """A labelled manifest of 72 real pairs, one of them in another tier, one without its frame."""
    made = labelled_manifest(tmp_path / "set", demo_clips)
    rows = made.rows()
    resolutions = ["720p" if index == 3 else row["resolution"] for index, row in enumerate(rows)]
    old = pa.array([0.5] * len(rows), type=pa.float32())
    made = made.with_columns({"resolution": pa.array(resolutions).dictionary_encode(), "score": old})
    made.write()
    return read_manifest(made.path)


def test_a_pair_and_its_map(run, manifest, tmp_path, capsys):
    row = manifest.rows()[0]
    files = [str(manifest.file(row, column)) for column in ("img0", "img1")]
    assert main([str(run), *files, "--map", str(tmp_path / "map.png")]) == 0
    expected = load_checkpoint(run).predict(*map(read_image, map(type(tmp_path), files)))[0]
    assert capsys.readouterr().out.startswith(f"{expected:.3f} (")
    assert read_image(tmp_path / "map.png").shape == (64, 64, 3)


def test_a_manifest_gets_scores_and_keeps_everything_else(run, manifest, capsys):
    broken = manifest.rows()[5]
    manifest.file(broken, "img1").write_bytes(b"no image")
    broken_ids = {row["triplet_id"] for row in manifest.rows() if broken["img1"] in (row["img0"], row["img1"])}
    assert main([str(run), "--manifest", str(manifest.path), "--device", "cpu"]) == 1
    printed = capsys.readouterr()
    scored = read_manifest(manifest.path)
    assert scored.table.drop_columns("score").equals(manifest.table.drop_columns("score"))
    assessor = load_checkpoint(run)
    kept = 0
    for index, row in enumerate(scored.rows()):
        if index == 3 or row["triplet_id"] in broken_ids:
            assert row["score"] == (0.5 if index == 3 else None)  # of another tier; no stale one where it failed
            kept += 1
        elif index % 9 == 0:
            images = [read_image(scored.file(row, column)) for column in ("img0", "img1")]
            np.testing.assert_allclose(row["score"], assessor.predict(*images)[0], atol=1e-4)
    assert (
        f"{72 - kept} pairs scored, 1 of another tier, {len(broken_ids - {scored.rows()[3]['triplet_id']})} failed"
        in (printed.out)
    )
    assert broken["triplet_id"] in printed.err
    assert assessor.weights_sha256 in scored.metadata["scored_by"]


def test_labels_that_come_while_it_scores_are_kept(run, manifest, monkeypatch):
    batches = scoring._batches

    def label_meanwhile(*arguments):
        yield from batches(*arguments)
        manifest.with_columns({"level": [4.0] * len(manifest)}).write()

    monkeypatch.setattr(scoring, "_batches", label_meanwhile)
    assert main([str(run), "--manifest", str(manifest.path), "--device", "cpu"]) == 0
    scored = read_manifest(manifest.path)
    assert set(scored.table.column("level").to_pylist()) == {4.0}
    assert scored.table.column("score").null_count == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "arguments (1) must be two frames, or a run and two frames, or --manifest"),
        (["a.png", "b.png", "c.png"], "arguments (4) must be two frames"),
        (["a.png", "b.png", "--manifest", "m.parquet"], "arguments (3) must be at most a run"),
        (["--manifest", "m.parquet", "--map", "x.png"], "--map goes with two frames"),
    ],
)
def test_wrong_usage(run, arguments, message, capsys):
    assert main([str(run), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_frames_of_two_sizes_and_a_manifest_of_another_tier_are_refused(run, manifest, tmp_path, capsys):
    for name, width in (("a", 64), ("b", 70)):
        write_image(tmp_path / f"{name}.png", np.zeros((64, width, 3), np.uint8))
    assert main([str(run), str(tmp_path / "a.png"), str(tmp_path / "b.png")]) == 2
    assert "must have one size" in capsys.readouterr().err
    write_image(tmp_path / "small.png", np.zeros((64, 63, 3), np.uint8))
    assert main([str(run), str(tmp_path / "small.png"), str(tmp_path / "small.png")]) == 1
    assert "frame size (63x64) must be at least 64 a side" in capsys.readouterr().err
    manifest.with_columns({"resolution": pa.array(["1080p"] * 72).dictionary_encode()}).write()
    assert main([str(run), "--manifest", str(manifest.path)]) == 2
    assert "no pair of tier 256p" in capsys.readouterr().err


def test_help_needs_no_pytorch():
    code = (
        "import sys, vfidpa_model.predict as p, vfidpa_model.export as e;"
        "assert p.main(['--help']) == 0 == e.main(['--help']); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Examples:" in done.stdout
