"""Agreement equals the reference packages and hand-worked tables; figures that flag a rater."""

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from labeling_app.quality.agreement import alpha_interval, confusion, count_levels, ordinal_alpha, weighted_kappa
from labeling_app.quality.annotators import AnnotatorFigures, flags, longest_run, top_level_share

GOOD = {
    "votes": 100,
    "gold_votes": 20,
    "gold_agreement": 0.75,
    "gold_kappa": 0.8,
    "median_gap_seconds": 4.0,
    "repeat_consistency": 0.9,
    "bias": 0.1,
    "inconsistency": 0.4,
    "median_seconds": 3.0,
    "longest_run": 5,
    "top_level_share": 0.4,
}


@pytest.mark.parametrize("seed", range(4))
def test_alpha_equals_krippendorff(seed):
    rng = np.random.default_rng(seed)
    votes = rng.integers(0, 5, size=60)  # some items have none or one
    counts = np.stack([rng.multinomial(n, rng.dirichlet(np.ones(4))) for n in votes])
    expected = krippendorff.alpha(value_counts=counts, level_of_measurement="ordinal")
    assert ordinal_alpha(counts) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "alpha"),
    [
        ([[2, 0, 0, 0], [0, 2, 0, 0]], 1.0),
        # Two items, each 1 and 2. Four values, n1 = n2 = 2, o12 = o21 = 2, o11 = o22 = 0:
        # 1 - (4 - 1) * (2 + 2) / (2 * 2 * 2) = -0.5; with two levels the distance cancels.
        ([[1, 1, 0, 0], [1, 1, 0, 0]], -0.5),
        ([[3, 0, 0, 0], [2, 0, 0, 0]], None),  # no variation: not defined
        ([[1, 0, 0, 0], [0, 1, 0, 0]], None),  # no pair of votes
        (np.zeros((0, 4), dtype=int), None),
    ],
)
def test_alpha_by_hand(counts, alpha):
    assert ordinal_alpha(np.array(counts)) == (alpha if alpha is None else pytest.approx(alpha))


def test_bootstrap_interval_covers_alpha_and_shrinks_with_more_items():
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 5, size=400)
    votes = np.clip(truth[:, None] + rng.integers(-1, 2, size=(400, 3)), 1, 4)
    counts = count_levels(np.repeat(np.arange(400), 3), votes.ravel())
    low, high = alpha_interval(counts, np.random.default_rng(1))
    low_few, high_few = alpha_interval(counts[:40], np.random.default_rng(1))
    assert low < ordinal_alpha(counts) < high
    assert high - low < 0.5 * (high_few - low_few)
    # The textbook way: draw items one by one.
    draws = [ordinal_alpha(counts[rng.integers(0, 400, 400)]) for _ in range(400)]
    assert (low, high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_kappa_equals_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    first = rng.integers(1, 5, 50)
    second = np.clip(first + rng.integers(-1, 2, 50), 1, 4)
    expected = cohen_kappa_score(first, second, weights="quadratic", labels=[1, 2, 3, 4])
    assert weighted_kappa(confusion(first, second)) == pytest.approx(expected)


def test_kappa_by_hand():
    table = confusion(np.array([1, 1, 2, 2]), np.array([1, 2, 2, 2]))
    assert table.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    # Observed disagreement 1; by chance: 2 * 3 / 4 (1 then 2) + 2 * 1 / 4 (2 then 1) = 2.
    assert weighted_kappa(table) == pytest.approx(1 - 1 / 2)
    assert weighted_kappa(np.zeros((4, 4), dtype=int)) is None


@pytest.mark.parametrize(
    ("change", "flagged"),
    [
        ({}, []),
        ({"gold_agreement": 0.4}, ["gold"]),
        ({"gold_kappa": 0.1}, ["gold"]),
        ({"gold_kappa": 0.1, "gold_votes": 4}, []),
        ({"median_gap_seconds": 0.3}, ["fast"]),
        ({"gold_agreement": None, "repeat_consistency": 0.5}, ["repeats"]),
        ({"bias": -0.8}, ["bias"]),
        ({"inconsistency": 1.2}, ["inconsistent"]),
        ({"median_seconds": 0.5}, ["fast"]),
        ({"longest_run": 20}, ["straight-lining"]),
        ({"top_level_share": 0.95, "bias": 0.9}, ["bias", "straight-lining"]),
        ({"votes": 5, "bias": 2.0}, []),  # too few to say anything
    ],
)
def test_flags(change, flagged):
    assert flags(AnnotatorFigures(**{**GOOD, **change})) == flagged


def test_runs_and_shares():
    assert longest_run([1, 1, 2, 2, 2, 1]) == 3
    assert longest_run([]) == 0
    assert top_level_share([1, 1, 2, 4]) == 0.5
    assert top_level_share([]) == 0.0
