"""Measures against scipy and scikit-learn; the bootstrap draws clips, not pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from dataset_tools.common.statistics import interval95
from vfidpa_model.evaluation.measures import (
    auc,
    bootstrap_by_clip,
    confusion,
    krcc,
    leave_one_out,
    measure_all,
    plcc,
    qwk,
    srcc,
    to_level,
    tolerance_accuracy,
)

PAIRS = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 4)), min_size=5, max_size=25)


@settings(max_examples=30, deadline=None)
@given(PAIRS)
def test_measures_equal_scipy_and_sklearn(pairs):
    scores, levels = np.array(pairs, dtype=float).round(2).T
    found = measure_all(scores, levels)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(levels, scores))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(levels, scores))
    np.testing.assert_array_equal(
        confusion(scores, levels), metrics.confusion_matrix(levels, to_level(scores), labels=[1, 2, 3, 4])
    )
    if np.ptp(scores) > 0 and np.ptp(levels) > 0:
        assert srcc(scores, levels) == pytest.approx(stats.spearmanr(scores, levels).statistic)
        assert plcc(scores, levels) == pytest.approx(stats.pearsonr(scores, levels).statistic)
        assert krcc(scores, levels) == pytest.approx(stats.kendalltau(scores, levels).statistic)
    if len({*to_level(scores), *levels}) > 1:
        assert qwk(scores, levels) == pytest.approx(
            metrics.cohen_kappa_score(levels, to_level(scores), weights="quadratic", labels=[1, 2, 3, 4])
        )
    if len(set(levels > 2.5)) == 2:
        assert auc(scores, levels) == pytest.approx(metrics.roc_auc_score(levels > 2.5, scores))


@pytest.mark.parametrize(
    ("score", "tolerance", "right"),
    [
        (2.2, 0.25, True),
        (2.25, 0.25, False),
        (1.76, 0.25, True),
        (3.0, 1.0, False),
        (2.99, 1.0, True),
        (2.0, 0.25, True),
    ],
)
def test_tolerance_is_strict(score, tolerance, right):
    assert tolerance_accuracy(np.array([score]), np.array([2.0]), tolerance) == float(right)


@pytest.mark.parametrize(("score", "level"), [(-3, 1), (1.49, 1), (1.5, 2), (2.5, 3), (3.5, 4), (9, 4)])
def test_nearest_level_rounds_halves_up(score, level):
    assert to_level(np.array([score]))[0] == level


def test_undefined_measures_are_nan_not_zero():
    levels = np.array([1.0, 2, 3, 4])
    constant = measure_all(np.full(4, 2.0), levels)
    assert np.isnan([constant["srcc"], constant["plcc"], constant["krcc"]]).all()
    assert constant["auc"] == 0.5
    assert np.isnan(auc(levels, np.ones(4)))


def test_ranking_replaces_scores_in_rank_measures_only():
    levels, plateau, raw = np.array([1.0, 2, 3, 4]), np.array([1.5, 1.5, 3.5, 3.5]), np.array([0.1, 0.2, 0.3, 0.4])
    found = measure_all(plateau, levels, ranking=raw)
    assert found["srcc"] == found["krcc"] == pytest.approx(1)
    assert found["mae"] == 0.5


def test_bootstrap_draws_whole_clips():
    """Two clips, one always right and one always wrong: only 0, 1/2 and 1 can come out, 1/2 half of the time."""
    levels = np.full(40, 2.0)
    scores = np.repeat([2.0, 4.0], 20)
    draws = bootstrap_by_clip(scores, levels, ["a"] * 20 + ["b"] * 20, seed=1, num_resamples=400)["acc@0.5"]
    assert set(draws) == {0.0, 0.5, 1.0}
    assert np.mean(draws == 0.5) == pytest.approx(0.5, abs=0.1)
    assert interval95(draws) == (0.0, 1.0)


def test_one_clip_has_no_interval():
    draws = bootstrap_by_clip(np.array([1.0, 2, 4]), np.array([1.0, 2, 3]), ["a"] * 3, num_resamples=5)
    assert all(np.isnan(interval95(values)).all() for values in draws.values())


def test_bootstrap_is_seeded_and_paired():
    rng = np.random.default_rng(0)
    levels = rng.integers(1, 5, 60).astype(float)
    clips = [str(i // 6) for i in range(60)]
    close, far = levels + rng.normal(0, 0.3, 60), levels + rng.normal(0, 1.5, 60)
    first, again = (bootstrap_by_clip(close, levels, clips, num_resamples=50) for _ in range(2))
    assert all(np.array_equal(first[name], again[name], equal_nan=True) for name in first)
    difference = first["srcc"] - bootstrap_by_clip(far, levels, clips, num_resamples=50)["srcc"]
    assert interval95(difference)[0] > 0


def test_bootstrap_intervals_cover_the_truth_about_as_often_as_they_say():
    """Twenty clips with a bias each: the true mean error is known."""
    rng = np.random.default_rng(3)
    truth = np.hypot(0.5, 0.1) * np.sqrt(2 / np.pi)  # mean of |N(0, sd)|
    hits = 0
    for trial in range(30):
        errors = np.repeat(rng.normal(0, 0.5, 20), 5) + rng.normal(0, 0.1, 100)
        draws = bootstrap_by_clip(
            2 + errors, np.full(100, 2.0), np.repeat(np.arange(20), 5), seed=trial, num_resamples=60
        )
        low, high = interval95(draws["mae"])
        hits += low <= truth <= high
    assert hits >= 24


@pytest.mark.parametrize(
    ("votes", "own", "others"),
    [
        ([{"a": 1}], [], []),
        ([{"a": 1, "b": 3}], [1, 3], [3, 1]),
        ([{"a": 1, "b": 2, "c": 4}], [1, 2, 4], [4, 4, 2]),  # ties of two others go up
        ([{"a": 2}, {"a": 2, "b": 2}], [2, 2], [2, 2]),
    ],
)
def test_leave_one_annotator_out(votes, own, others):
    found_own, found_others, rows = leave_one_out(votes)
    assert found_own.tolist() == own
    assert found_others.tolist() == others
    assert len(rows) == len(own)
