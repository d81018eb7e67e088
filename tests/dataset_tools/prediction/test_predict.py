"""Predictions: measured on what is stored, resumable, equal in any batch, never taken from under a vote."""

import errno
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime

import numpy as np
import pytest
import torch

from dataset_tools import predict
from dataset_tools.columns import results
from dataset_tools.common.files import try_lock
from dataset_tools.errors import VfiError
from dataset_tools.frames import fingerprint, pixels_sha256, read_image, to_rgb, to_tensor, write_image
from dataset_tools.interpolators import create_interpolator
from dataset_tools.manifest import from_rows, read_manifest
from dataset_tools.prediction import run
from dataset_tools.prediction.columns import COLUMNS
from dataset_tools.prediction.metrics import Lpips, mean_motion, psnr, ssim
from dataset_tools.prediction.predictor import Predictor
from dataset_tools.prediction.proxy_levels import proxy_level, with_proxy_levels
from dataset_tools.prediction.run import predict_manifest, predict_rows

VOTE = {"annotator": "ada", "level": 2, "created_at": datetime(2026, 1, 1, tzinfo=UTC), "seconds": 3, "flagged": False}


class Mean:
    """The plainest interpolator: the mean of both frames."""

    name, weights_sha256 = "mean", ""

    @classmethod
    def from_weights(cls, path, *, device):
        return cls()

    def interpolate(self, img0, img1, timestep=0.5):
        return (img0 + img1) / 2


MEAN = f"{__name__}:Mean"


def rewrite(manifest, **columns):
    manifest.with_columns(columns).write()
    return read_manifest(manifest.path)


def test_values_are_those_of_the_stored_pixels(predicted):
    network, lpips = create_interpolator("rife"), Lpips()
    for row in predicted.rows():
        img0, gt, img1, pred = (read_image(predicted.file(row, column)) for column in ("img0", "gt", "img1", "pred"))
        frame = to_rgb(network.interpolate(to_tensor(img0), to_tensor(img1)))
        assert np.abs(pred.astype(int) - frame).max() <= 1
        assert row["pred_sha256"] == pixels_sha256(pred)
        assert row["pred_fingerprint"] == fingerprint(pred)
        assert (row["predictor"], row["predictor_sha256"][:8]) == ("rife-3.9", "b234ad8d")
        measured = [psnr(pred, gt), ssim(pred, gt), lpips(pred, gt), lpips(img0, img1), mean_motion(img0, img1)]
        stored = [row[name] for name in ("pred_psnr", "pred_ssim", "pred_lpips", "inputs_lpips", "motion")]
        assert stored == pytest.approx(measured, rel=1e-4)
        assert row["pred_psnr"] > (10 if row["img0_index"] == 20 else 19)  # a cut lies in the former


def test_the_same_rows_give_the_same_bits_in_any_company(predicted, unpredicted):
    rows = unpredicted.rows()
    engine = Predictor(device="cpu")
    for subset in (rows[1:2], rows[2:5]):
        for place, result in engine.predict(subset, root=unpredicted.root):
            position = rows.index(subset[place])
            assert result["pred_sha256"] == predicted.rows()[position]["pred_sha256"]


def test_goes_on_where_a_killed_run_was(predicted):
    whole = predicted.rows()
    some = [row if number < 2 else {**row, **dict.fromkeys(COLUMNS)} for number, row in enumerate(whole)]
    predicted.file(whole[0], "pred").unlink()
    kept = predicted.file(whole[1], "pred")
    written_at = kept.stat().st_mtime_ns
    from_rows(predicted.path, some, metadata=predicted.metadata).write()
    outcome = predict_rows(predicted, device="cpu")
    assert (outcome.num_done, outcome.num_current, outcome.failures) == (len(whole) - 1, 1, [])
    assert read_manifest(predicted.path).rows() == whole
    assert kept.stat().st_mtime_ns == written_at


def test_older_predictions_without_fingerprints_are_kept(predicted):
    manifest = rewrite(predicted, pred_fingerprint=[None] * 5)
    outcome = predict_rows(manifest, device="cpu")
    assert (outcome.num_done, outcome.num_current) == (0, 5)


def test_keeps_results_while_it_runs_and_writes_the_manifest_once(unpredicted, monkeypatch):
    ticks = iter(range(0, 10_000, 60))
    kept, written = [], []

    def flush(journal):
        flush_for_real(journal)
        kept.append(len(list(unpredicted.root.glob(".prediction/*/*.parquet"))))

    def rewrite(*arguments, **options):
        written.append(len(kept))
        return rewrite_for_real(*arguments, **options)

    flush_for_real, rewrite_for_real = results.ResultsJournal.flush, run.rewrite_manifest
    monkeypatch.setattr(results.ResultsJournal, "flush", flush)
    monkeypatch.setattr(run, "rewrite_manifest", rewrite)
    predict_rows(unpredicted, predictor=MEAN, device="cpu", clock=lambda: next(ticks))
    assert kept == [1, 2, 3, 4, 5, 5]  # a file of its own for each; nothing new at the end
    assert written == [6]
    assert not (unpredicted.root / ".prediction").exists()


def test_a_full_disk_loses_nothing(unpredicted, predicted, monkeypatch, capsys):
    writes = iter(range(100))

    def write_until_full(path, rgb):
        if next(writes) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_image(path, rgb)

    monkeypatch.setattr("dataset_tools.prediction.predictor.write_image", write_until_full)
    assert predict.main([str(unpredicted.path), "--device", "cpu"]) == 1
    assert re.search(r"predict: \S+\.png: No space left on device\n", capsys.readouterr().err)
    assert list(unpredicted.root.glob(".prediction/*/*.parquet"))
    assert predict.main([str(unpredicted.path), "--device", "cpu"]) == 0
    assert "5 rows predicted" not in capsys.readouterr().out  # what was done is taken over
    assert read_manifest(unpredicted.path).rows() == predicted.rows()


def test_killed_and_run_again_gives_the_same(unpredicted, predicted):
    command = [sys.executable, "-m", "dataset_tools.predict", str(unpredicted.path), "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not list(unpredicted.root.glob("pred/**/*.png")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait(timeout=60)
    assert predict.main([str(unpredicted.path), "--device", "cpu"]) == 0
    assert read_manifest(unpredicted.path).rows() == predicted.rows()
    assert not list(unpredicted.root.glob("pred/**/*.tmp"))


def test_one_bad_row_stops_nothing(unpredicted, capsys):
    rows = unpredicted.rows()
    unpredicted.file(rows[0], "gt").write_bytes(b"no picture")
    unpredicted.file(rows[3], "img1").unlink()
    assert predict.main([str(unpredicted.path), "--predictor", MEAN, "--device", "cpu"]) == 1
    captured = capsys.readouterr()
    assert captured.out.endswith("3 rows predicted, 0 up to date, 0 kept because of their votes, 2 failed\n")
    assert f"{rows[0]['triplet_id']}: cannot read" in captured.err
    assert f"{rows[3]['triplet_id']}: cannot read" in captured.err
    assert [row["pred"] is None for row in read_manifest(unpredicted.path).rows()] == [True, False, False, True, False]


def test_size_must_be_that_of_the_manifest(unpredicted):
    manifest = rewrite(unpredicted, width=[142] + [144] * 4)
    results = dict(Predictor(MEAN, device="cpu").predict(manifest.rows(), root=manifest.root))
    assert isinstance(results[0], VfiError)
    assert "is 144x256, must be 142x256" in str(results[0])
    assert not any(isinstance(results[position], VfiError) for position in range(1, 5))


def test_another_predictor_and_votes(predicted, capsys):
    before = predicted.rows()
    manifest = rewrite(predicted, votes=[[VOTE], [], [], [], []], level=[2.0, None, None, None, None])
    path = str(manifest.path)
    assert predict.main([path, "--predictor", MEAN, "--only-missing", "--device", "cpu"]) == 0
    assert "0 rows predicted, 5 up to date" in capsys.readouterr().out
    assert predict.main([path, "--predictor", MEAN, "--device", "cpu"]) == 0
    assert "4 rows predicted, 0 up to date, 1 kept because of their votes" in capsys.readouterr().out
    after = read_manifest(manifest.path).rows()
    assert [row["predictor"] for row in after] == ["rife-3.9"] + ["mean"] * 4
    assert [row["motion"] for row in after] == [row["motion"] for row in before]
    assert all((manifest.root / row["pred"]).is_file() for row in before + after)  # old files stay
    assert predict.main([path, "--predictor", MEAN, "--overwrite", "--device", "cpu"]) == 0
    assert "4 rows predicted, 0 up to date, 1 kept" in capsys.readouterr().out
    assert predict.main([path, "--overwrite", "--device", "cpu"]) == 0  # by the same network, perhaps elsewhere
    assert "4 rows predicted, 0 up to date, 1 kept" in capsys.readouterr().out


def test_two_runs_at_once_are_refused(unpredicted, capsys):
    leftover = unpredicted.root / "pred" / ".a.png.tmp"
    leftover.parent.mkdir()
    leftover.touch()
    descriptor = os.open(unpredicted.root, os.O_RDONLY)
    try:
        assert try_lock(descriptor)
        assert predict.main([str(unpredicted.path), "--predictor", MEAN, "--device", "cpu"]) == 2
    finally:
        os.close(descriptor)
    assert "another run is predicting in" in capsys.readouterr().err
    assert leftover.exists()  # it could be the other run's
    assert predict.main([str(unpredicted.path), "--predictor", MEAN, "--device", "cpu"]) == 0
    assert not leftover.exists()


def test_votes_that_come_meanwhile_are_kept(predicted):
    """A run of hours and an export of labels write to the same manifest."""
    rows = predicted.rows()
    moments = iter([0.0, 60.0])  # the second is the first save

    def clock():
        moment = next(moments, 1e6)
        if moment == 60.0:
            rewrite(predicted, votes=[[VOTE], None, None, None, None], level=[2.0] * 5, level_source=["human"] * 5)
        return moment

    outcome = predict_rows(predicted, predictor=MEAN, device="cpu", clock=clock)
    after = read_manifest(predicted.path).rows()
    assert outcome.manifest.whole().rows() == after
    assert [row["level_source"] for row in after] == ["human"] * 5
    assert after[0]["votes"] == [VOTE]
    assert after[0]["pred"] == rows[0]["pred"]  # what was judged stays
    assert [row["predictor"] for row in after] == ["rife-3.9"] + ["mean"] * 4


def test_rows_that_cannot_be_predicted_stop_no_others(unpredicted, capsys):
    rows = unpredicted.rows()
    small = np.zeros((40, 40, 3), np.uint8)
    for column in ("img0", "gt", "img1"):
        write_image(unpredicted.root / "tiny.png", small)
        rows[1][column] = "tiny.png"
    rows[1] |= {"width": 40, "height": 40}
    rows[2] |= {"gt": None, "width": None}
    from_rows(unpredicted.path, rows).write()
    assert predict.main([str(unpredicted.path), "--predictor", MEAN, "--device", "cpu"]) == 1
    captured = capsys.readouterr()
    assert f"{rows[1]['triplet_id']}: 40x40 must be at least 64 pixels each way for LPIPS" in captured.err
    assert f"{rows[2]['triplet_id']}: gt, width must not be null" in captured.err
    assert "3 rows predicted, 0 up to date, 0 kept because of their votes, 2 failed" in captured.out


def test_proxy_levels_never_touch_people(predicted):
    sources = ["human", None, None, None, None]
    manifest = rewrite(predicted, level=[3.5, None, None, None, None], level_source=sources)
    assert predict.main([str(manifest.path), "--proxy-levels", "--device", "cpu"]) == 0
    rows = read_manifest(manifest.path).rows()
    assert [row["level_source"] for row in rows] == ["human"] + ["proxy"] * 4
    assert [row["level"] for row in rows] == [3.5] + [proxy_level(row["pred_lpips"]) for row in rows[1:]]
    changed = manifest.with_columns(
        {"level": [1.0] * 5, "level_source": ["proxy", None, "human", "proxy", None], "pred_lpips": [0.5] * 4 + [None]}
    )
    assert [row["level"] for row in with_proxy_levels(changed, add=False).rows()] == [4, 1, 1, 4, 1]
    assert with_proxy_levels(manifest, add=False) is manifest


@pytest.mark.parametrize(
    ("lpips", "level"), [(0, 1), (0.0199, 1), (0.02, 2), (0.0599, 2), (0.06, 3), (0.15, 4), (2, 4)]
)
def test_proxy_thresholds(lpips, level):
    assert proxy_level(lpips) == level


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--predictor", "rief"], 2, "did you mean 'rife'?"),
        (["--predictor", "upr-net"], 2, "needs a weights file"),
        (["--weights", "none.pkl"], 1, "weights file none.pkl does not exist"),
        (["--device", "tpu"], 2, "must be auto, cpu, cuda"),
        (["--overwrite", "--only-missing"], 2, "exclude each other"),
    ],
)
def test_usage(unpredicted, capsys, arguments, code, says):
    assert predict.main([str(unpredicted.path), *arguments]) == code
    assert says in capsys.readouterr().err


def test_threads_are_given_back(unpredicted):
    torch.set_num_threads(2)
    try:
        predict_manifest(unpredicted, predictor=MEAN, device="cpu")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
