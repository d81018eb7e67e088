"""Scores from pairs, against crowd-kit (without a prior) and a general minimizer (with one)."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from labeling_app.quality.bradley_terry import fit_scores
from labeling_app.quality.pair_scores import scores_of

TOURNAMENT = np.array([[0, 9, 12, 15], [4, 0, 8, 11], [3, 5, 0, 7], [1, 2, 6, 0]], dtype=np.float64)


def test_without_a_prior_the_scores_are_crowd_kits():
    from crowdkit.aggregation import BradleyTerry

    rows = [
        {"left": i, "right": j, "label": i, "worker": "w"}
        for i, j in np.ndindex(TOURNAMENT.shape)
        for _ in range(int(TOURNAMENT[i, j]))
    ]
    fitted = BradleyTerry(
        n_iter=5000, tol=0
    )  # with a tolerance 1.4 stops after two steps: it compares p_new with itself
    strengths = fitted.fit_predict(pd.DataFrame(rows)).sort_index().to_numpy()
    expected = np.log(strengths) - np.log(strengths).mean()
    assert fit_scores(TOURNAMENT, prior_sd=1e4).score == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(
    "worse",
    [
        TOURNAMENT,
        np.array([[0, 3.0], [0, 0]]),
        np.array([[0, 1.5], [1.5, 0]]),
        np.array([[0, 2.5, 0], [0.5, 0, 3], [0, 0, 0]]),
    ],
    ids=["tournament", "all agree", "all the same", "a chain"],
)  # fmt: skip
def test_scores_and_intervals_are_those_of_a_general_minimizer(worse):
    def loss(score):
        return -(worse * np.log(expit(score[:, None] - score[None, :]))).sum() + (score**2).sum() / 2

    found = minimize(loss, np.zeros(len(worse)), method="BFGS", options={"gtol": 1e-9})
    centre = np.eye(len(worse)) - 1 / len(worse)
    fitted = fit_scores(worse)
    assert fitted.score == pytest.approx(centre @ found.x, abs=1e-4)
    step = 1e-3  # the curvature by differences
    units = np.eye(len(worse)) * step
    at = found.x
    curvature = np.array([[
        (loss(at + a + b) - loss(at + a - b) - loss(at - a + b) + loss(at - a - b)) / (4 * step**2) for b in units
    ] for a in units])  # fmt: skip
    sd = np.sqrt(np.diag(centre @ np.linalg.inv(curvature) @ centre))
    assert (fitted.high - fitted.low) / 2 == pytest.approx(1.959964 * sd, rel=1e-3)


def test_intervals_hold_what_they_promise():
    """Over scores drawn from the prior and answers drawn from them, 95 % of the intervals hold the truth."""
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(400):
        truth = rng.normal(size=2)
        first = rng.binomial(7, expit(truth[0] - truth[1]))
        fitted = fit_scores(np.array([[0, first], [7 - first, 0]], dtype=np.float64))
        hits.append(fitted.low[0] <= (truth[0] - truth[1]) / 2 <= fitted.high[0])
    assert 0.92 <= np.mean(hits) <= 0.98


def test_more_answers_say_more_and_same_says_nothing_about_who():
    two, six = (scores_of([("a", "b", 1)] * count)["a"] for count in (2, 6))
    assert 0 < two.score < six.score
    assert (two.answers, six.answers) == (2, 6)
    same = scores_of([("a", "b", 2)] * 3)
    assert same["a"].score == pytest.approx(0) == same["b"].score
    assert same["a"].low < 0 < same["a"].high
    swapped = scores_of([("b", "a", 3)] * 2)  # the second of the pair is worse: the same said the other way round
    assert swapped["a"] == two
