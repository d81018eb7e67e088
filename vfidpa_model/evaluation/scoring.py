"""Scores of whole frame pairs: what validation, evaluation and the report do with a model."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from vfidpa_model.evaluation.measures import Values
from vfidpa_model.networks.vfidpa import Assessment
from vfidpa_model.pairs.loading import FrameReader, WholePairs, read_batches, shape_batches, to_device
from vfidpa_model.pairs.sample import Sample
from vfidpa_model.pairs.sample_table import numbers_of

Assess = Callable[[Tensor, Tensor], Assessment]  # img0, img1: (B, 3, H, W) in [0, 1], any size


def score_samples(
    assess: Assess,
    samples: Sequence[Sample],
    *,
    reader: FrameReader,
    device: torch.device,
    batch: int = 8,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    advance: Callable[[int], None] = lambda count: None,
) -> Values:
    """Return the score of every sample, (N,), on the level scale.

    Args:
        batch: Pairs per forward pass; only frames of one size go together.
        rank, world: A process of several scores its share and leaves 0 elsewhere, so that the sum is whole.
        advance: Told how many more samples are done.

    Raises:
        FrameError: A frame cannot be read, or is smaller than the model takes.
    """
    scores = np.zeros(len(samples))
    batches = shape_batches(samples, range(len(samples)), batch=batch)[rank::world]
    with torch.inference_mode():
        for loaded in read_batches(WholePairs(samples, reader=reader), batches, workers=workers):
            moved = to_device(loaded, device)
            found = assess(moved["img0"], moved["img1"]).score
            scores[loaded["index"].numpy()] = found.cpu().double().numpy()
            advance(len(found))
    return scores


def levels_of(samples: Sequence[Sample]) -> Values:
    """Return the given levels, (N,)."""
    return numbers_of(samples, "level")
