"""Losses: values by hand, soft labels, and LPIPS on the level scale."""

import math

import numpy as np
import pytest
import torch

from vfidpa_model.networks.vfidpa import Assessment
from vfidpa_model.training.losses import compute_losses, fit_lpips_scale, ordinal_loss

NAN = float("nan")


def assessment(scores: list[float], *, logits: torch.Tensor | None = None) -> Assessment:
    """Return an assessment whose maps hold the score everywhere."""
    score = torch.tensor(scores)
    maps = score.view(-1, 1, 1).expand(-1, 2, 3)
    return Assessment(score, maps, torch.ones_like(maps), logits)


@pytest.mark.parametrize(
    ("aux_weight", "lpips", "difficulty", "auxiliary"),
    [
        (0.0, [1.0, 1.0], 1.0, 1.5),
        (0.5, [1.0, 1.0], 1.0, 1.5),
        (0.5, [1.0, NAN], 1.0, 0.5),  # the pair without LPIPS counts as 0, the batch stays 2
        (0.5, [NAN, NAN], 1.0, 0.0),
    ],
)
def test_losses_by_hand(aux_weight, lpips, difficulty, auxiliary):
    losses = compute_losses(
        assessment([2.0, 3.0]),
        level=torch.tensor([1.5, 4.5]),
        distribution=torch.full((2, 4), 0.25),
        lpips_level=torch.tensor(lpips),
        aux_weight=aux_weight,
    )
    assert losses.difficulty.item() == pytest.approx(difficulty)
    assert losses.auxiliary.item() == pytest.approx(auxiliary)
    assert losses.total.item() == pytest.approx(difficulty + aux_weight * auxiliary)


def test_squares_where_they_are_asked_for():
    given = assessment([2.0, 3.0])
    losses = compute_losses(
        given,
        level=torch.tensor([1.5, 4.5]),
        distribution=torch.full((2, 4), 0.25),
        lpips_level=torch.tensor([1.0, NAN]),
        aux_weight=0.5,
        norm="l2",
        location_levels=torch.full((2, 2, 3), 1.0),
    )
    assert [losses.difficulty.item(), losses.auxiliary.item(), losses.dense.item()] == [1.25, 0.5, 2.5]


def test_missing_lpips_leaves_the_gradient_finite():
    scores = torch.tensor([2.0, 3.0], requires_grad=True)
    maps = scores.view(-1, 1, 1)
    losses = compute_losses(
        Assessment(scores, maps, maps, None),
        level=torch.tensor([1.0, 4.0]),
        distribution=torch.full((2, 4), 0.25),
        lpips_level=torch.tensor([NAN, 2.0]),
        aux_weight=1.0,
    )
    losses.total.backward()
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize(
    ("votes", "predicted", "expected"),
    [
        ([1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], math.log(4)),
        ([0, 0.5, 0.5, 0], [0.0001, 0.4999, 0.4999, 0.0001], 0.0002),  # as unsure as the votes: nearly no loss
        ([0, 0.5, 0.5, 0], [0.01, 0.97, 0.01, 0.01], 0.5 * math.log(0.5 / 0.97) + 0.5 * math.log(0.5 / 0.01)),
    ],
)
def test_ordinal_loss_is_the_divergence_from_the_votes(votes, predicted, expected):
    loss = ordinal_loss(torch.tensor([predicted]).log(), torch.tensor([votes], dtype=torch.float32))
    assert loss.item() == pytest.approx(expected, abs=1e-4)


def test_ordinal_head_trains_on_soft_labels():
    logits = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log()
    arguments = {"level": torch.tensor([9.0]), "lpips_level": torch.tensor([NAN]), "aux_weight": 0.1}
    losses = compute_losses(assessment([2.0], logits=logits), distribution=logits.exp(), **arguments)
    assert losses.total.item() == pytest.approx(0, abs=1e-6)  # the consensus level plays no part


def test_lpips_line_is_least_squares():
    rng = np.random.default_rng(0)
    lpips = rng.uniform(0, 0.6, 50)
    levels = 1 + 4 * lpips + rng.normal(0, 0.2, 50)
    scale = fit_lpips_scale([*lpips, NAN], [*levels, 4.0])
    slope, intercept = np.polyfit(lpips, levels, 1)
    assert scale.slope == pytest.approx(slope)
    assert scale.intercept == pytest.approx(intercept)
    assert torch.isnan(scale.levels(torch.tensor([NAN, 0.2]))).tolist() == [True, False]


@pytest.mark.parametrize(
    ("lpips", "levels", "expected"),
    [([0.1, 0.2], [3.0, 1.0], (2.0, 0.0)), ([0.3, 0.3], [1.0, 4.0], (2.5, 0.0)), ([0.5], [3.0], (3.0, 0.0))],
)
def test_lpips_line_never_falls(lpips, levels, expected):
    assert fit_lpips_scale(lpips, levels) == pytest.approx(expected)


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="inputs_lpips is missing"):
        fit_lpips_scale([NAN], [1.0])
