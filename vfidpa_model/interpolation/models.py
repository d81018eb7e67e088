"""The two interpolators of a job, behind their router."""

from pathlib import Path
from typing import Any

import torch

from dataset_tools.errors import UsageError
from dataset_tools.interpolators import Interpolator, create_interpolator
from dataset_tools.interpolators.refinable import can_begin
from dataset_tools.levels import HARD_ABOVE
from vfidpa_model.inference.assessor import load_checkpoint
from vfidpa_model.interpolation.job import Routing
from vfidpa_model.routing.any_timestep import AnyTimestep
from vfidpa_model.routing.calibrated import Calibration
from vfidpa_model.routing.cascade import DEFAULT_EFFORT, CascadeInterpolator
from vfidpa_model.routing.dynamic import DynamicInterpolator, Pipeline
from vfidpa_model.routing.routers import AllFast, FlowMagnitude

_GOES_ON = {"rife": "rife-refined", **{f"rife-{which}-fast": f"rife-{which}" for which in ("eccv", "m", "large")}}
_FOR_PAIRS = "rife-full"  # the accurate one where whole pairs are routed


def build_dynamic(routing: Routing, device: torch.device) -> Pipeline:
    """Return the two interpolators with what decides between them; what nothing can reach is not loaded."""
    if routing.routes_pairs:
        return _pairs(routing, device)
    fast = _create(routing, routing.fast, routing.fast_weights, device)
    accurate_name = routing.accurate or _GOES_ON.get(routing.fast)
    if routing.effort is not None or routing.accurate is not None:
        accurate_name = accurate_name or _GOES_ON["rife"]
    if accurate_name is None or (routing.effort is None and not can_begin(fast)):
        any_fast = AnyTimestep(fast)
        return DynamicInterpolator(AllFast(), any_fast, any_fast, 0.0)
    weights = routing.accurate_weights
    if weights is None and accurate_name == _GOES_ON.get(routing.fast):
        weights = routing.fast_weights  # one file holds both steps
    accurate = _create(routing, accurate_name, weights, device)
    return CascadeInterpolator(fast, accurate, DEFAULT_EFFORT if routing.effort is None else routing.effort)


def _pairs(routing: Routing, device: torch.device) -> DynamicInterpolator:
    fast = AnyTimestep(_create(routing, routing.fast, routing.fast_weights, device))
    accurate = AnyTimestep(_create(routing, routing.accurate or _FOR_PAIRS, routing.accurate_weights, device))
    if routing.assessor is None:
        return DynamicInterpolator(FlowMagnitude(), fast, accurate, routing.threshold or 0.0)
    router = load_checkpoint(routing.assessor, device=str(device), backend="auto")
    return DynamicInterpolator(router, fast, accurate, _threshold(routing, fast.name, accurate.name))


def _create(routing: Routing, name: str, weights: Path | None, device: torch.device) -> Interpolator:
    options: dict[str, Any] = {"device": device, "backend": routing.backend}
    if routing.precision != "auto":
        options["precision"] = routing.precision
    if routing.flow_scale != 1:
        options["scale"] = routing.flow_scale
    return create_interpolator(name, weights=weights, **options)


def _threshold(routing: Routing, fast: str, accurate: str) -> float:
    if routing.budget is None and routing.quality is None:
        return HARD_ABOVE if routing.threshold is None else routing.threshold
    if routing.calibration is None:
        raise UsageError("--budget and --quality need --calibration; make one with vfidpa_model.calibration")
    calibration = Calibration.read(routing.calibration)
    if (calibration.fast, calibration.accurate) != (fast, accurate):
        raise UsageError(
            f"calibration {routing.calibration} is for {calibration.fast} and {calibration.accurate}, "
            f"not for {fast} and {accurate}; make one for these"
        )
    return calibration.threshold(budget=routing.budget, quality=routing.quality)
