"""Bradley-Terry: a score per prediction from answers to "which is worse?", with an interval (pure).

P(i is worse than j) = 1 / (1 + exp(s_j - s_i)), Bradley and Terry, Biometrika 39 (1952). "Same" is half an answer for
either side. Three people who agree would push a score to infinity: each score has a normal prior around 0, and what
comes out is the most probable scores and the interval of the normal distribution around them (Laplace). No library at
hand has ties, prior and interval; tests compare with crowd-kit and a general minimizer.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PRIOR_SD = 1.0  # of a score: between two predictions odds of 4 to 1 (1.4 in log-odds) are one standard deviation
CONFIDENCE_95 = 1.959964
_STEPS = 50
_TOLERANCE = 1e-10

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Log-odds against the mean of the compared predictions, 0 in sum; higher is worse. All of shape (predictions,)."""

    score: Values
    low: Values
    high: Values


def fit_scores(worse: Values, *, prior_sd: float = PRIOR_SD) -> Scores:
    """Return the scores of predictions that were compared with each other.

    Args:
        worse: (K, K); how often i was worse than j, 0.5 for either side where they were the same. The diagonal is 0.
        prior_sd: Standard deviation of the prior; large for none.
    """
    size = len(worse)
    compared = worse + worse.T
    score = np.zeros(size)
    for _ in range(_STEPS):  # Newton; the function is strictly concave, and from 0 it does not overshoot
        chance = _chance(score)
        slope = (worse - compared * chance).sum(axis=1) - score / prior_sd**2
        step = np.linalg.solve(_curvature(compared, chance, prior_sd), slope)
        score = score + step
        if np.abs(step).max() < _TOLERANCE:
            break
    centre = np.eye(size) - 1.0 / size  # the mean of all scores is the prior's alone: nothing was said about it
    spread = centre @ np.linalg.inv(_curvature(compared, _chance(score), prior_sd)) @ centre
    half = CONFIDENCE_95 * np.sqrt(np.diag(spread))
    score = centre @ score
    return Scores(score, score - half, score + half)


def _chance(score: Values) -> Values:
    return 1.0 / (1.0 + np.exp(score[None, :] - score[:, None]))


def _curvature(compared: Values, chance: Values, prior_sd: float) -> Values:
    weight = compared * chance * (1.0 - chance)
    return np.diag(weight.sum(axis=1) + 1.0 / prior_sd**2) - weight
