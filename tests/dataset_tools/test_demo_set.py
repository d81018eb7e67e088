"""``data_manifest.parquet`` at the root is the manifest of the demo set, extracted here afresh."""

import re
from pathlib import Path

import numpy as np
import pytest

from dataset_tools import materialize
from dataset_tools.frames import pixels_sha256, read_image, write_image
from dataset_tools.manifest import SCHEMA, Manifest, read_manifest

ROOT = Path(__file__).resolve().parents[2]
# A network's sums come in another order on another CPU; the frames themselves are equal by hash.
TOLERANCES = {"pred_psnr": 0.1, "pred_ssim": 2e-3, "pred_lpips": 2e-3, "inputs_lpips": 1e-3, "motion": 0.05}

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(900)]


def test_it_is_what_extraction_gives(demo_set):
    committed, fresh = (read_manifest(folder / "data_manifest.parquet") for folder in (ROOT, demo_set))
    assert committed.metadata == fresh.metadata
    for name in SCHEMA.names:
        expected, found = (manifest.table.column(name).to_pylist() for manifest in (committed, fresh))
        if name in TOLERANCES:
            assert found == pytest.approx(expected, abs=TOLERANCES[name]), name
        elif name != "pred_sha256":
            assert found == expected, name
    for row in fresh.rows():
        for name in ("img0", "gt", "img1", "pred"):
            assert pixels_sha256(read_image(fresh.file(row, name))) == row[f"{name}_sha256"]


def test_it_is_the_set_of_make_demo(demo_set):
    (command,) = re.findall(r"dataset_tools\.extract (.*)", (ROOT / "Makefile").read_text())
    options = command.replace("$(DEMO)", "demo").split()
    assert options == ["--source", "demo", "--out", "demo", "--count", "48", "--seed", "7"]
    rows = read_manifest(ROOT / "data_manifest.parquet").rows()
    assert len(rows) == 48
    assert {row["resolution"] for row in rows} == {"256p", "720p"}  # no demo clip has 1080 lines
    assert {row["predictor"] for row in rows} == {"rife-3.9"}


def test_it_can_be_materialized(demo_set, tmp_path, capsys):
    command = [str(ROOT / "data_manifest.parquet"), "--source", "demo", "--out", str(tmp_path)]
    assert materialize.main(command) == 0
    files = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.png")}
    assert files == {path.relative_to(demo_set) for path in (demo_set / "frames").rglob("*.png")}
    assert capsys.readouterr().out == f"{tmp_path}: {len(files)} frames equal, 0 within tolerance, 0 faults\n"


@pytest.mark.parametrize(
    ("change", "code", "said"), [(0, 0, "1 predictions equal, 0 within"), (9, 1, "a mean of 9/255")]
)
def test_predictions_can_be_made_again(demo_set, tmp_path, capsys, change, code, said):
    """From a manifest of one row whose prediction is there; the changed one is as if another machine had made it."""
    whole = read_manifest(demo_set / "data_manifest.parquet")
    one = Manifest(tmp_path / "set" / "data_manifest.parquet", whole.table.slice(47, 1), whole.metadata)
    (row,) = one.rows()
    pixels = read_image(whole.file(row, "pred"))
    pixels = np.where(pixels > 128, pixels - change, pixels + change).astype(np.uint8)
    write_image(one.file(row, "pred"), pixels)
    one.with_columns({"pred_sha256": [pixels_sha256(pixels)]}).write()
    command = [str(one.path), "--source", "demo", "--out", str(tmp_path / "new"), "--predictions", "--device", "cpu"]
    assert materialize.main(command) == code
    out = capsys.readouterr().out
    assert "3 frames equal, 0 within tolerance, 0 faults" in out
    assert said in out
