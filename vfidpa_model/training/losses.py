"""The paper's two losses, and the one of the ordinal head.

Open in the paper and chosen here: the norm (``loss_norm``; absolute differences by default, for the data's noise is in
whole levels), the auxiliary weight (``aux_weight``), and how LPIPS comes onto the level scale: by the line that fits
the training labels best, so that the auxiliary loss asks for the right level on average and only its pattern is new.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vfidpa_model.networks.vfidpa import Assessment


class LpipsScale(NamedTuple):
    """Brings LPIPS between two input frames onto the level scale: level = intercept + slope * LPIPS."""

    intercept: float
    slope: float

    def levels(self, lpips: Tensor) -> Tensor:
        """Return levels for LPIPS values of any shape; NaN stays NaN."""
        return self.intercept + self.slope * lpips


def fit_lpips_scale(lpips: npt.ArrayLike, levels: npt.ArrayLike) -> LpipsScale:
    """Return the least-squares line through training pairs, never falling; pairs without LPIPS (NaN) do not count.

    Raises:
        ValueError: No pair has both.
    """
    x, y = np.asarray(lpips, dtype=np.float64), np.asarray(levels, dtype=np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise ValueError("lpips must have at least one value: inputs_lpips is missing for all pairs")
    x, y = x[known], y[known]
    spread = float(((x - x.mean()) ** 2).sum())
    slope = max(0.0, float(((x - x.mean()) * (y - y.mean())).sum()) / spread) if spread > 0 else 0.0
    return LpipsScale(float(y.mean()) - slope * float(x.mean()), slope)


class Losses(NamedTuple):
    """The parts of the loss, scalars; ``total`` is what is minimised."""

    total: Tensor
    difficulty: Tensor
    auxiliary: Tensor
    dense: Tensor


def compute_losses(
    assessment: Assessment,
    *,
    level: Tensor,
    distribution: Tensor,
    lpips_level: Tensor,
    aux_weight: float,
    norm: str = "l1",
    location_levels: Tensor | None = None,
) -> Losses:
    """Return the losses of a batch, means over its pairs.

    Args:
        assessment: The model's output; with ``level_logits`` the difficulty loss is ``ordinal_loss``.
        level: (B,), consensus.
        distribution: (B, K), share of the votes per level.
        lpips_level: (B,), LPIPS between the inputs on the level scale; NaN leaves a pair out.
        norm: ``l1`` (absolute differences) or ``l2`` (their squares).
        location_levels: (B, h, w), the level under each location of the score map, where that is known; the dense
            loss asks for it everywhere, beside the pair's own level.
    """
    if assessment.level_logits is None:
        difficulty = _distance(assessment.score, level, norm).mean()
    else:
        difficulty = ordinal_loss(assessment.level_logits, distribution)
    known = torch.isfinite(lpips_level)
    target = torch.where(known, lpips_level, 0.0)
    gaps = _distance(assessment.score_map.mean(dim=(1, 2)), target, norm)
    # Divided by the batch, not by the known pairs: one process and several then weigh every pair alike.
    auxiliary = torch.where(known, gaps, 0.0).mean()
    dense = difficulty.new_zeros(())
    if location_levels is not None:
        dense = _distance(assessment.score_map, location_levels, norm).mean()
    return Losses(difficulty + aux_weight * auxiliary + dense, difficulty, auxiliary, dense)


def _distance(predicted: Tensor, wanted: Tensor, norm: str) -> Tensor:
    gap = predicted - wanted
    return gap.abs() if norm == "l1" else gap.square()


def ordinal_loss(level_logits: Tensor, distribution: Tensor) -> Tensor:
    """Return the cross entropy between the votes' distribution and the predicted one, minus the votes' entropy.

    The difference is the Kullback-Leibler divergence: zero for a perfect prediction, also where annotators disagree.

    Args:
        level_logits: (B, K), log-probabilities.
        distribution: (B, K), rows sum to 1.
    """
    entropy = torch.special.entr(distribution).sum(dim=1)
    return (-(distribution * level_logits).sum(dim=1) - entropy).mean()
