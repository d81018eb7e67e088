"""Scores on the level scale: the map rises strictly, mends squeezed scores; the share of hard stays."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vfidpa_model.inference.score_scale import ScoreScale, fit_score_scale


def test_squeezed_scores_are_spread_again_and_as_many_are_hard_as_were():
    """A model whose scores lie in 1.66 to 2.35 while 9 of 16 pairs are hard routes nothing at 2.5."""
    rng = np.random.default_rng(0)
    levels = rng.permutation(np.repeat([1, 2, 3, 4], [20, 15, 25, 20])).astype(float)
    raw = 1.66 + 0.69 * np.clip((levels - 1 + rng.normal(0, 0.4, len(levels))) / 3, 0, 1)
    assert (raw > 2.5).sum() == 0
    scale = fit_score_scale(raw, levels)
    mapped = scale(torch.from_numpy(raw)).numpy()
    assert (mapped > 2.5).sum() == (levels > 2.5).sum() == 45
    assert np.abs(mapped - levels).mean() < 0.5 < np.abs(raw - levels).mean()
    assert mapped.max() > 3.5


@given(st.integers(12, 80), st.integers(0, 10**6), st.floats(-0.5, 3))
@settings(max_examples=50, deadline=None)
def test_no_order_is_ever_lost(count, seed, slope):
    rng = np.random.default_rng(seed)
    raw = rng.normal(2, 0.3, count)
    levels = np.clip(np.round(2.5 + slope * (raw - 2) + rng.normal(0, 0.5, count)), 1, 4)
    scale = fit_score_scale(raw, levels)
    if scale is None:
        assert len(set(levels)) == 1
        return
    points = torch.linspace(-5, 9, 300, dtype=torch.float64)
    assert (scale(points).diff() > 0).all()
    assert ScoreScale.from_dict(scale.to_dict()) == scale
    assert scale.pairs == count
    if len(set(raw)) == count and (levels > 2.5).any() and (levels <= 2.5).any():
        assert (scale(torch.from_numpy(raw)) > 2.5).sum() == (levels > 2.5).sum()


def test_shapes_and_types_are_kept():
    scale = ScoreScale((1.0, 2.0, 3.0), (1.0, 3.0, 4.0), 20)
    found = scale(torch.tensor([[0.5, 1.5], [2.5, 4.0]]))
    assert found.dtype == torch.float32
    assert found.tolist() == [[0.0, 2.0], [3.5, 5.0]]


@pytest.mark.parametrize(("scores", "levels"), [([1.0] * 40, [1, 2] * 20), ([1.0, 2.0], [1, 4]), (range(40), [2] * 40)])
def test_nothing_is_fitted_where_nothing_is_known(scores, levels):
    assert fit_score_scale(list(scores), levels) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"scores": [1, 1]},
        {"levels": [2, 1]},
        {"levels": [1]},
        {"scores": None},
        {"scores": [1, float("nan")]},
        {"pairs": "x"},
    ],
)
def test_damaged_scales_are_refused(changes):
    whole = {"scores": [1, 2], "levels": [1, 2], "pairs": 12}
    with pytest.raises(ValueError, match="score scale"):
        ScoreScale.from_dict({**whole, **changes})
