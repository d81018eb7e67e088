"""The trivial baselines on real pairs: fitted on train, monotone, the manifest's own columns first."""

import dataclasses
import math

import numpy as np
import pytest

from dataset_tools.prediction.metrics import Lpips, mean_motion
from tests.vfidpa_model.labelled_set import labelled_manifest
from vfidpa_model.evaluation.baselines import baseline_features, fit_isotonic, frame_difference, score_baselines
from vfidpa_model.evaluation.measures import measure_all
from vfidpa_model.pairs.labels import select_samples
from vfidpa_model.pairs.loading import FrameReader


@pytest.fixture(scope="module")
def samples(tmp_path_factory, demo_clips):
    manifest = labelled_manifest(tmp_path_factory.mktemp("labelled"), demo_clips)
    return select_samples(manifest, resolution="256p", labels="human")


def test_fit_is_monotone_and_constant_outside():
    feature, levels = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])
    fitted = fit_isotonic(feature, levels, at=np.array([0.0, 1, 2, 3, 3.5, 4, 9]))
    assert fitted.tolist() == [1, 1, 2.5, 2.5, 3.25, 4, 4]


def test_scores_are_fitted_on_train_alone(samples):
    train = [sample for sample in samples if sample.split == "train"]
    test = [sample for sample in samples if sample.split == "test"]
    found = score_baselines(train, test)
    levels = np.array([sample.level for sample in test])
    assert set(found["constant (median)"].scores) == {float(np.median([sample.level for sample in train]))}
    assert found["constant (median)"].ranking is None
    # Levels of this set are quartiles of exactly this feature.
    difference = found["frame difference"]
    assert measure_all(difference.scores, levels, ranking=difference.ranking)["srcc"] > 0.9
    harder = [dataclasses.replace(sample, level=4.0) for sample in test]
    again = score_baselines(train, harder)
    assert all(np.array_equal(found[name].scores, again[name].scores) for name in found)


@pytest.mark.parametrize(
    ("name", "column"), [("optical flow (DIS)", "motion"), ("LPIPS of the inputs", "inputs_lpips")]
)
def test_columns_of_the_manifest_first_else_measured(samples, name, column):
    feature, reader = baseline_features()[name], FrameReader()
    assert feature(samples[3], reader) == pytest.approx(getattr(samples[3], column))
    measured = feature(dataclasses.replace(samples[3], **{column: math.nan}), reader)
    pair = reader.pair(samples[3])
    assert measured == (mean_motion(*pair) if column == "motion" else Lpips("cpu")(*pair))
    assert measured > 0


def test_frame_difference_does_not_wrap_around():
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert frame_difference(black, white) == frame_difference(white, black) == 255
