"""What an accurate model adds: by cell, against independent sums; and the columns of ``predict --as accurate``."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_tools import predict
from dataset_tools.frames import read_image, to_rgb, to_tensor
from dataset_tools.interpolators import create_interpolator
from dataset_tools.manifest import read_manifest
from dataset_tools.prediction.columns import ACCURATE_COLUMNS, COLUMNS
from dataset_tools.prediction.gains import CELL, cell_grid, error_removed
from dataset_tools.prediction.metrics import Lpips
from tests.dataset_tools.prediction.test_predict import MEAN, VOTE, rewrite


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_each_cell_is_the_fall_of_its_mean_squared_error(height, width, seed):
    pred, accurate, gt = np.random.default_rng(seed).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    found = error_removed(pred, accurate, gt)
    assert found.shape == cell_grid(width, height)
    for row, column in np.ndindex(found.shape):
        cell = np.s_[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
        before, after = (np.mean((image[cell] / 1.0 - gt[cell]) ** 2) for image in (pred, accurate))
        assert found[row, column] == pytest.approx(before - after, rel=1e-5, abs=1e-3)


def test_an_accurate_model_is_measured_beside_the_prediction(predicted, capsys):
    before = rewrite(predicted, votes=[[VOTE], *[None] * 4])
    argv = [str(before.path), "--predictor", "rife-refined", "--as", "accurate", "--device", "cpu"]
    assert predict.main(argv) == 0
    assert "5 rows predicted, 0 up to date, 0 kept" in capsys.readouterr().out
    after, network, lpips = read_manifest(before.path), create_interpolator("rife-refined"), Lpips()
    for old, row in zip(before.rows(), after.rows(), strict=True):
        assert {name: row[name] for name in (*COLUMNS, "votes")} == {name: old[name] for name in (*COLUMNS, "votes")}
        assert row["accurate_predictor"].startswith("rife-3.9")
        assert len(row["accurate_predictor_sha256"]) == 64
        # The whole frame's error, from the cells and from the two PSNRs that were measured apart.
        rows, columns = cell_grid(row["width"], row["height"])
        areas = np.outer(
            *(
                np.minimum(CELL, side - CELL * np.arange(n))
                for side, n in ((row["height"], rows), (row["width"], columns))
            )
        )
        removed = (np.reshape(row["accurate_gain"], (rows, columns)) * areas).sum() / areas.sum()
        errors = [255**2 * 10 ** (-row[name] / 10) for name in ("pred_psnr", "accurate_psnr")]
        assert removed == pytest.approx(errors[0] - errors[1], rel=1e-3, abs=1e-3 * errors[0])
    img0, gt, img1 = (read_image(after.file(after.rows()[2], name)) for name in ("img0", "gt", "img1"))
    frame = to_rgb(network.interpolate(to_tensor(img0), to_tensor(img1)))
    assert after.rows()[2]["accurate_lpips"] == pytest.approx(lpips(frame, gt), abs=1e-3)
    assert sum(row["accurate_psnr"] > row["pred_psnr"] for row in after.rows()) >= 3
    assert predict.main(argv) == 0
    assert "0 rows predicted, 5 up to date" in capsys.readouterr().out


def test_a_gain_goes_with_the_prediction_it_was_measured_against(predicted, capsys):
    measured = {
        name: [1.0] * 5 if name in ("accurate_psnr", "accurate_lpips") else ["x"] * 5 for name in ACCURATE_COLUMNS
    }
    rewrite(predicted, **{**measured, "accurate_gain": [[0.5]] * 5}, votes=[[VOTE], *[None] * 4])
    assert predict.main([str(predicted.path), "--predictor", MEAN, "--device", "cpu"]) == 0
    kept = [row["accurate_gain"] for row in read_manifest(predicted.path).rows()]
    assert kept == [[0.5], None, None, None, None]  # people voted on the first one's prediction: it stays


def test_without_a_prediction_there_is_nothing_to_add_to(unpredicted, capsys):
    assert predict.main([str(unpredicted.path), "--predictor", MEAN, "--as", "accurate", "--device", "cpu"]) == 1
    captured = capsys.readouterr()
    assert "has no prediction to compare with; run dataset_tools.predict without --as first" in captured.err
    assert "0 rows predicted, 0 up to date, 0 kept because of their votes, 5 failed" in captured.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--as", "best"], "--as ('best') must be one of pred, accurate, measures"),
        (["--as", "accurate", "--proxy-levels"], "--proxy-levels goes with --as pred"),
    ],
)
def test_wrong_usage(unpredicted, capsys, options, says):
    assert predict.main([str(unpredicted.path), *options]) == 2
    assert says in capsys.readouterr().err
