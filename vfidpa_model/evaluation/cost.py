"""What an assessment costs: parameters, multiply-accumulates, and milliseconds, of several models in one run."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from vfidpa_model.networks.vfidpa import VFIDPA

_ROUNDS = 7  # interleaved; the median of seven survives three disturbed ones


@dataclass(frozen=True)
class Cost:
    """Cost of one pair.

    Attributes:
        parameters: All weights, frozen ones too.
        gmacs: Billions of multiply-accumulates of convolutions and matrix products (sampling is not counted).
        milliseconds: Median time of one pair.
    """

    parameters: int
    gmacs: float
    milliseconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"parameters": self.parameters, "gmacs": self.gmacs, "milliseconds": self.milliseconds}


def measure_costs(
    models: Mapping[str, VFIDPA],
    *,
    height: int,
    width: int,
    device: torch.device,
    rounds: int = _ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Cost]:
    """Return each model's cost for one pair of height x width pixels; the models take turns, round by round."""
    generator = torch.Generator().manual_seed(0)
    pair = [torch.rand((1, 3, height, width), generator=generator).to(device) for _ in range(2)]
    gmacs, times = {}, {name: list[float]() for name in models}
    with torch.inference_mode():
        for name, model in models.items():
            model.to(device).eval()
            with FlopCounterMode(display=False) as counter:  # the first call, which also warms up
                model(*pair)
            gmacs[name] = counter.get_total_flops() / 2e9
        for _ in range(rounds):
            for name, model in models.items():
                started = clock()
                # Reading the score waits for the device to be done.
                float(model(*pair).score)
                times[name].append((clock() - started) * 1e3)
    return {
        name: Cost(sum(p.numel() for p in model.parameters()), gmacs[name], statistics.median(times[name]))
        for name, model in models.items()
    }
