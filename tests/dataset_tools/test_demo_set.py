"""``data_manifest.parquet`` at the root is that of the demo set, extracted here afresh; the notebook runs on it."""

import re
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from dataset_tools import materialize
from dataset_tools.checks.pixels import MAX_PREDICTION_DIFFERENCE
from dataset_tools.frames import fingerprint, fingerprint_difference, pixels_sha256, read_image, write_image
from dataset_tools.manifest import SCHEMA, Manifest, read_manifest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
# A network's sums come in another order on another CPU; the frames themselves are equal by hash.
TOLERANCES = {"pred_psnr": 0.1, "pred_ssim": 2e-3, "pred_lpips": 2e-3, "inputs_lpips": 1e-3, "motion": 0.05}

pytestmark = pytest.mark.timeout(900)


def test_it_is_what_extraction_gives(demo_set):
    committed, fresh = (read_manifest(folder / "data_manifest.parquet") for folder in (ROOT, demo_set))
    assert committed.metadata == fresh.metadata
    for name in SCHEMA.names:
        expected, found = (manifest.table.column(name).to_pylist() for manifest in (committed, fresh))
        if name in TOLERANCES:
            assert found == pytest.approx(expected, abs=TOLERANCES[name]), name
        elif name == "pred_fingerprint":
            assert max(map(fingerprint_difference, expected, found)) <= MAX_PREDICTION_DIFFERENCE
        elif name not in ("pred_sha256", "decoder"):  # which names the version that is installed
            assert found == expected, name
    for row in fresh.rows():
        for name in ("img0", "gt", "img1", "pred"):
            pixels = read_image(fresh.file(row, name))
            assert (pixels_sha256(pixels), fingerprint(pixels)) == (row[f"{name}_sha256"], row[f"{name}_fingerprint"])


def test_it_is_the_set_of_make_demo(demo_set):
    (command,) = re.findall(r"dataset_tools\.extract (.*)", (ROOT / "Makefile").read_text())
    options = command.replace("$(DEMO)", "demo").split()
    assert options == ["--source", "demo", "--out", "demo", "--count", "72", "--seed", "7"]
    rows = read_manifest(ROOT / "data_manifest.parquet").rows()
    assert len(rows) == 72
    assert {row["resolution"] for row in rows} == {"256p", "720p"}  # no demo clip has 1080 lines
    assert {row["predictor"] for row in rows} == {"rife-3.9"}


def test_it_can_be_materialized(demo_set, tmp_path, capsys):
    command = [str(ROOT / "data_manifest.parquet"), "--source", "demo", "--out", str(tmp_path)]
    assert materialize.main(command) == 0
    files = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.png")}
    assert files == {path.relative_to(demo_set) for path in (demo_set / "frames").rglob("*.png")}
    assert capsys.readouterr().out == f"{tmp_path}: {len(files)} frames equal, 0 accepted with differences, 0 faults\n"


@pytest.mark.parametrize(
    ("every", "levels", "has_original", "code", "said"),
    [
        (1, 0, True, 0, "1 predictions equal, 0 accepted with differences, 0 faults"),
        (1, 9, True, 1, "differs by a mean of 9/255, at most 0.1/255 is accepted"),
        (1, 9, False, 1, "in block means, at most 0.1/255 is accepted"),
        (5, 1, False, 0, "0 predictions equal, 1 accepted with differences, 0 faults"),  # every 25th pixel
    ],
)
def test_predictions_can_be_made_again(demo_set, tmp_path, capsys, every, levels, has_original, code, said):
    """From a manifest of one row; a changed prediction is as if another machine had made it."""
    whole = read_manifest(demo_set / "data_manifest.parquet")
    one = Manifest(tmp_path / "set" / "data_manifest.parquet", whole.table.slice(47, 1), whole.metadata)
    (row,) = one.rows()
    pixels = read_image(whole.file(row, "pred")).copy()
    part = pixels[::every, ::every]
    part[...] = np.where(part > 128, part - levels, part + levels)
    if has_original:
        write_image(one.file(row, "pred"), pixels)
    one.with_columns({"pred_sha256": [pixels_sha256(pixels)], "pred_fingerprint": [fingerprint(pixels)]}).write()
    command = [str(one.path), "--source", "demo", "--out", str(tmp_path / "new"), "--predictions", "--device", "cpu"]
    assert materialize.main(command) == code
    out = capsys.readouterr().out
    assert "3 frames equal, 0 accepted with differences, 0 faults" in out
    assert said in out


def test_the_notebook_runs_to_its_end(demo_set, tmp_path):
    shutil.copytree(demo_set, tmp_path / "quickstart" / "demo")  # extraction finds its work done
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    settings = next(cell for cell in notebook.cells if cell.cell_type == "code")
    for name, small in {
        "COUNT, EPOCHS, CROP = 72, 30, 224": "COUNT, EPOCHS, CROP = 72, 1, 64",
        "SECONDS = 2": "SECONDS = 0.2",
    }.items():
        assert name in settings.source
        settings.source = settings.source.replace(name, small)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()

    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 2
    assert "{'train': 24, 'val': 12, 'test': 12}" in [output.get("data", {}).get("text/plain") for output in outputs]
    assert (tmp_path / "quickstart" / "run" / "best" / "README.md").exists()
    assert (tmp_path / "quickstart" / "routed.mp4").stat().st_size > 10_000


def test_the_notebook_is_committed_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook.cells)
