"""The learning rate: a linear warm-up, then half a cosine. A function of the step alone, so resuming needs no state."""

import math


def learning_rate(
    step: int, *, base: float, num_steps: int, warmup_steps: int, period: int = 0, floor_share: float = 0.01
) -> float:
    """Return the learning rate of a step, counted from 0.

    Args:
        base: Highest rate, reached after ``warmup_steps``.
        num_steps: Steps of the whole training.
        period: Steps from one highest rate to the next, where it swings between ``base`` and 0 all the time, as AHIQ's
            does (100); 0 is the warm-up and half cosine.
        floor_share: Share of ``base`` that is left at the last step.
    """
    if period:
        return base * 0.5 * (1 + math.cos(2 * math.pi * step / period))
    if step < warmup_steps:
        return base * (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, num_steps - 1 - warmup_steps))
    return base * (floor_share + (1 - floor_share) * 0.5 * (1 + math.cos(math.pi * progress)))
