"""Training on gain: levels of gains, the level under each location, and a run from predictions to an evaluation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_tools import predict
from dataset_tools.errors import ManifestError
from dataset_tools.manifest import read_manifest
from tests.dataset_tools.prediction.test_predict import MEAN
from tests.vfidpa_model.labelled_set import labelled_manifest
from vfidpa_model.evaluation.run import evaluate
from vfidpa_model.inference.checkpoint import read_checkpoint
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.pairs.augment import Augmentation
from vfidpa_model.pairs.gains import GainScale, fit_gain_scale, gain_samples, mean_gain
from vfidpa_model.pairs.loading import FrameReader, TrainingPairs, location_levels
from vfidpa_model.pairs.sample import Sample
from vfidpa_model.training.config import Machine, TrainConfig
from vfidpa_model.training.run import train
from vfidpa_model.training.run_log import read_records

LIGHT = ModelConfig(backbone="efficientnet_lite0")


@pytest.fixture(scope="module")
def gains(tmp_path_factory, demo_clips):
    """The small labelled manifest, the mean of both frames as prediction and RIFE as the accurate model."""
    labelled = labelled_manifest(tmp_path_factory.mktemp("gains"), demo_clips)
    path = labelled.path
    labelled.with_columns({"votes": [None] * len(labelled)}).write()
    assert predict.main([str(path), "--predictor", MEAN, "--device", "cpu"]) == 0
    assert predict.main([str(path), "--predictor", "rife", "--as", "accurate", "--device", "cpu"]) == 0
    return path


def a_sample(width, height, cell_levels=(), gain=()):
    return Sample(
        "t", "c", "train", "256p", width, height, "a", "b", None, None, 1.0, (1.0, 0, 0, 0), {}, 0.1, 1.0,
        tuple(gain), tuple(cell_levels),
    )  # fmt: skip


def test_no_gain_is_level_1_the_top_is_4_and_harm_lies_below():
    scale = GainScale(unit=2.0, top=62.0)
    assert scale.levels([0, 62, -62]) == pytest.approx([1, 4, -2])
    found = scale.levels(np.linspace(-100, 1000, 5000))
    assert (np.diff(found) > 0).all()
    fitted = fit_gain_scale([-4.0, 0.0, 1.0, 2.0, 3.0, *[100.0] * 2])
    assert fitted.unit == 3.0
    assert 3.0 < fitted.top <= 100.0
    with pytest.raises(ValueError, match="improves nothing"):
        fit_gain_scale([-1.0, 0.0])


def test_mean_gain_weighs_cells_by_their_pixels():
    # 100 x 70 pixels: cells of 64 x 64, 36 x 64, 64 x 6 and 36 x 6
    gain = (1.0, 2.0, 3.0, 4.0)
    expected = (1 * 64 * 64 + 2 * 36 * 64 + 3 * 64 * 6 + 4 * 36 * 6) / 7000
    assert mean_gain(a_sample(100, 70, gain=gain)) == pytest.approx(expected)


@given(
    st.tuples(st.integers(22, 100), st.integers(22, 100)),
    st.sampled_from([1, 3]),
    st.sampled_from([0, 64, 96, 224]),
    st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_each_location_has_the_level_of_the_cell_under_its_centre(size, shrink, crop, seed):
    rng = np.random.default_rng(seed)
    width, height = (side * 3 for side in size)  # a third of it is whole
    cells = rng.random((-(-height // 64), -(-width // 64))).astype(np.float32)
    frame = (height // shrink, width // shrink)
    picture = np.kron(cells, np.ones((64, 64), np.float32))[:height, :width]  # the levels, painted pixel by pixel
    seen = picture[shrink // 2 :: shrink, shrink // 2 :: shrink]
    top, left = (int(rng.integers(max(0, n - crop) + 1)) if crop else 0 for n in frame)
    window = tuple(slice(start, start + min(crop or n, n)) for start, n in zip((top, left), frame, strict=True))
    sides = (crop or frame[0], crop or frame[1])
    cropped = seen[window]
    padded = np.pad(cropped, [(0, side - n) for side, n in zip(sides, cropped.shape, strict=True)], mode="symmetric")
    found = location_levels(a_sample(width, height, cells.ravel()), frame=frame, window=window, sides=sides)
    assert found.shape == tuple(-(-side // 8) for side in sides)
    at = [np.minimum(np.arange(n) * 8 + 4, side - 1) for n, side in zip(found.shape, sides, strict=True)]
    expected = padded[np.ix_(*at)]
    assert (found == expected).all()


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flip", [False, True])
def test_levels_turn_with_the_frames(turns, flip):
    levels = np.random.default_rng(0).integers(0, 255, (5, 7, 1), dtype=np.uint8)
    picture = np.kron(levels, np.ones((8, 8, 3), np.uint8))
    augmentation = Augmentation(flip_x=flip, quarter_turns=turns)
    turned, _ = augmentation.apply(picture, picture)
    assert (turned[4::8, 4::8, 0] == augmentation.turn(levels[..., 0])).all()


def test_a_run_learns_where_the_accurate_model_gains(gains, tmp_path):
    config = TrainConfig(
        target="gain", epochs=6, batch=12, crop=64, lr=1e-3, warmup_steps=4, patience=0, aux_weight=0.0
    )
    out = train(gains, tmp_path / "gain", model_config=LIGHT, config=config, machine=Machine("cpu"))
    steps = [record for record in read_records(out) if record["kind"] == "train"]
    assert all(r["loss"] == pytest.approx(r["difficulty"] + r["dense"], abs=1e-5) for r in steps)
    assert np.mean([r["dense"] for r in steps[-4:]]) < np.mean([r["dense"] for r in steps[:4]])
    meta = read_checkpoint(out).meta
    samples, scale = gain_samples(read_manifest(gains), resolution="256p")
    assert meta["gain_scale"] == scale._asdict()
    assert len(samples) == 72
    found = evaluate(out, gains, device="cpu")
    assert found.facts["labels"] == "gain"
    assert found.facts["trained on"] == "this manifest"
    tested = [sample for sample in samples if sample.split == "test"]
    assert [sample.level for sample in found.samples] == [sample.level for sample in tested]
    assert np.isfinite(found.scores).all()


def test_whole_frames_keep_their_shape_and_their_levels(gains):
    samples, _ = gain_samples(read_manifest(gains), resolution="256p")
    wide = replace(samples[0], cell_levels=(1.5,))
    pairs = TrainingPairs([wide], reader=FrameReader(), crop=0, seed=3)
    for epoch in range(8):
        found = pairs[epoch, 0]
        assert found["img0"].shape == (3, wide.height, wide.width)
        assert found["location_levels"].shape == (8, 8)
        assert (found["location_levels"] == 1.5).all()


def test_gains_must_fit_their_frames_and_be_of_one_pair_of_models(gains, tmp_path):
    manifest = read_manifest(gains)
    rows = manifest.rows()
    for changes, says in (
        ({"accurate_gain": [[1.0, 2.0], *[row["accurate_gain"] for row in rows[1:]]]}, "must be 1 finite numbers"),
        ({"accurate_predictor": ["x", *[row["accurate_predictor"] for row in rows[1:]]]}, "of one pair of models"),
        ({"accurate_gain": [None] * len(rows)}, "has no accurate_gain at 256p"),
    ):
        with pytest.raises(ManifestError, match=says):
            gain_samples(manifest.with_columns(changes), resolution="256p")
