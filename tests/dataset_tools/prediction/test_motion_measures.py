"""FloLPIPS and PSNR_DIV: against sums written out, their limits, and errors on real frames; and their columns."""

import lpips as published
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from dataset_tools import predict
from dataset_tools.frames import read_image, to_tensor
from dataset_tools.manifest import SCHEMA, read_manifest
from dataset_tools.prediction.columns import COLUMNS, MEASURE_COLUMNS
from dataset_tools.prediction.metrics import Lpips, optical_flow, psnr
from dataset_tools.prediction.motion_measures import flolpips, measure_motion, psnr_div
from dataset_tools.prediction.predictor import Predictor
from dataset_tools.prediction.ray_predictor import Making, predict_block
from tests.dataset_tools.prediction.test_predict import MEAN, VOTE, rewrite


@pytest.fixture(scope="module")
def lpips():
    return Lpips()


@pytest.fixture
def frames(unpredicted):
    """img0, gt, img1 of a real triplet with motion, and the blend of the outer two: a prediction with ghosts."""
    row = unpredicted.rows()[0]
    img0, gt, img1 = (read_image(unpredicted.file(row, name)) for name in ("img0", "gt", "img1"))
    return img0, gt, img1, ((img0.astype(np.uint16) + img1) // 2).astype(np.uint8)


def constant(shape, x, y):
    return np.broadcast_to(np.float32([x, y]), (*shape[:2], 2)).copy()


def test_layers_are_those_of_lpips(lpips, frames):
    _, gt, _, pred = frames
    layers = lpips.layers(pred, gt)
    assert [layer.shape[1] for layer in layers] == [1] * 5
    assert sum(float(layer.mean()) for layer in layers) == pytest.approx(lpips(pred, gt), rel=1e-5)


@pytest.mark.parametrize("flow", [(3.0, -1.5), (0.25, 0.0), (0.0, 0.0)])
def test_flolpips_with_the_same_motion_error_everywhere_is_lpips(lpips, frames, flow):
    _, gt, _, pred = frames
    differences = [constant(gt.shape, *flow), constant(gt.shape, *flow[::-1])]
    assert flolpips(pred, gt, differences, lpips=lpips) == pytest.approx(lpips(pred, gt), rel=1e-5)


def test_identical_frames_are_at_the_ends_of_the_scales(lpips, frames):
    img0, gt, img1, _ = frames
    assert measure_motion(gt, gt, img0, img1, lpips=lpips) == {"pred_flolpips": 0.0, "pred_psnr_div": 100.0}


def resized(plane, height, width):
    """Bilinear, pixel centres at halves, no smoothing: written out with interp along each axis."""
    rows, columns = (
        (np.arange(n) + 0.5) * size / n - 0.5 for n, size in ((height, len(plane)), (width, plane.shape[1]))
    )
    wide = np.array([np.interp(columns, np.arange(plane.shape[1]), line) for line in plane])
    return np.array([np.interp(rows, np.arange(len(plane)), line) for line in wide.T]).T


def test_flolpips_is_the_sum_written_out(lpips, frames):
    """Features from the published package's own network, the rest in NumPy."""
    img0, gt, img1, pred = frames
    differences = [optical_flow(pred, img) - optical_flow(gt, img) for img in (img0, img1)]
    network = lpips._network
    with torch.no_grad():
        ours, theirs = (network.net.forward(network.scaling_layer(to_tensor(image) * 2 - 1)) for image in (pred, gt))
    expected = []
    for difference in differences:
        total = 0.0
        for one, other, line in zip(ours, theirs, network.lins, strict=True):
            a, b = (published.normalize_tensor(x)[0].numpy().astype(np.float64) for x in (one, other))
            distance = np.tensordot(line.model[-1].weight.numpy()[0, :, 0, 0], (a - b) ** 2, 1)
            weight = np.hypot(*(resized(difference[..., axis].astype(np.float64), *distance.shape) for axis in (0, 1)))
            total += (distance * weight).sum() / weight.sum()
        expected.append(total)
    assert flolpips(pred, gt, differences, lpips=lpips) == pytest.approx(np.mean(expected), rel=1e-4)
    assert measure_motion(pred, gt, img0, img1, lpips=lpips)["pred_flolpips"] == pytest.approx(
        np.mean(expected), rel=1e-4
    )


def test_psnr_div_is_the_psnr_of_luma_where_the_field_is_singular():
    """A field with one source: its divergence, by hand, is 2 inside and 0 outside."""
    generator = np.random.default_rng(3)
    gt = generator.integers(0, 256, (80, 90, 3), dtype=np.uint8)
    pred = generator.integers(0, 256, gt.shape, dtype=np.uint8)
    y, x = np.mgrid[:80, :90].astype(np.float32)
    flow = np.stack([np.clip(x, 30, 50), np.clip(y, 20, 40)], 2)
    inside = np.zeros((80, 90), bool)
    inside[:, 30:51] = inside[20:41] = True  # the derivative of either part is not 0
    luma = (pred.astype(float) - gt)[..., 0] * 0.2126 + (pred.astype(float) - gt)[..., 1] * 0.7152
    luma += (pred.astype(float) - gt)[..., 2] * 0.0722
    assert psnr_div(pred, gt, flow) == pytest.approx(10 * np.log10(255**2 / (luma[inside] ** 2).mean()), rel=1e-9)
    assert psnr_div(pred, gt, constant(gt.shape, 2, 1)) == pytest.approx(10 * np.log10(255**2 / (luma**2).mean()))
    rotation = np.stack([-y, x], 2)  # turns, spreads nowhere: the derivatives the other way round would not cancel
    rotation[..., 0] += 0.5 * x
    rotation[..., 1] -= 0.5 * y
    assert psnr_div(pred, gt, rotation) == pytest.approx(10 * np.log10(255**2 / (luma**2).mean()))
    with pytest.raises(ValueError, match="must have one size"):
        psnr_div(pred, gt, flow[1:])


def test_an_error_counts_more_where_the_motion_is_wrong(lpips, frames):
    """A patch moved by 7 pixels, and noise in the colours alone: by PSNR and LPIPS the noise is the worse one."""
    img0, gt, img1, _ = frames
    moved = gt.copy()
    moved[100:160, 40:100] = gt[100:160, 47:107]
    noise = np.random.default_rng(1).normal(0, 14, (*gt.shape[:2], 1)) * np.array([1, -0.2, -1])  # grey stays
    noisy = np.clip(gt + noise, 0, 255).astype(np.uint8)
    assert psnr(moved, gt) > psnr(noisy, gt)
    assert lpips(moved, gt) < lpips(noisy, gt) / 2
    of_moved, of_noisy = (measure_motion(pred, gt, img0, img1, lpips=lpips) for pred in (moved, noisy))
    assert of_moved["pred_flolpips"] > 1.3 * of_noisy["pred_flolpips"]
    assert of_moved["pred_psnr_div"] < of_noisy["pred_psnr_div"]
    assert of_moved["pred_flolpips"] > 3 * lpips(moved, gt)
    assert of_noisy["pred_flolpips"] == pytest.approx(lpips(noisy, gt), rel=0.1)  # wrong everywhere alike
    assert of_moved["pred_psnr_div"] < psnr(moved, gt) - 3


def test_measures_are_columns_that_go_with_the_prediction(predicted, capsys):
    before = rewrite(predicted, votes=[[VOTE], *[None] * 4])
    argv = [str(before.path), "--as", "measures", "--device", "cpu"]
    assert predict.main(argv) == 0
    assert "5 rows predicted, 0 up to date, 0 kept because of their votes, 0 failed" in capsys.readouterr().out
    after, lpips = read_manifest(before.path), Lpips()
    for old, row in zip(before.rows(), after.rows(), strict=True):
        assert {name: row[name] for name in (*COLUMNS, "votes")} == {name: old[name] for name in (*COLUMNS, "votes")}
        img0, gt, img1, pred = (read_image(after.file(row, name)) for name in ("img0", "gt", "img1", "pred"))
        values = measure_motion(pred, gt, img0, img1, lpips=lpips)
        assert {name: row[name] for name in MEASURE_COLUMNS} == pytest.approx(values, rel=1e-4)
    stored = pq.read_schema(before.path)
    for name in MEASURE_COLUMNS:
        assert stored.field(name).metadata[b"optical_flow"] == b"OpenCV DIS, medium preset"
        assert stored.field(name).metadata == SCHEMA.field(name).metadata
    assert predict.main(argv) == 0
    assert "0 rows predicted, 5 up to date" in capsys.readouterr().out
    assert predict.main([str(before.path), "--predictor", MEAN, "--device", "cpu"]) == 0
    kept = [row["pred_flolpips"] is not None for row in read_manifest(before.path).rows()]
    assert kept == [True, False, False, False, False]  # people voted on the first one's prediction: it stays


def test_a_machine_of_a_cluster_measures_the_same(predicted):
    rows = predicted.rows()[:2]
    here = dict(Predictor(role="measures", device="cpu").predict(rows, root=predicted.root))
    made = ("opencv-dis", "")
    making = Making("rife", weights=None, device="cpu", backend="torch", role="measures", num_threads=1, made=made)
    assert predict_block(making, rows, predicted.root) == [(here[0], ""), (here[1], "")]
    assert set(here[0]) == set(MEASURE_COLUMNS)


def test_without_a_prediction_there_is_nothing_to_measure(unpredicted, capsys):
    assert predict.main([str(unpredicted.path), "--as", "measures"]) == 1
    assert "has no prediction to compare with; run dataset_tools.predict without --as first" in capsys.readouterr().err
