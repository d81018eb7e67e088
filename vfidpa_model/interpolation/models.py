"""The two interpolators of a job, behind their router."""

from typing import Any

import torch

from dataset_tools.errors import UsageError
from dataset_tools.interpolators import create_interpolator
from dataset_tools.levels import HARD_ABOVE
from vfidpa_model.inference.assessor import load_checkpoint
from vfidpa_model.interpolation.job import Routing
from vfidpa_model.routing.any_timestep import AnyTimestep
from vfidpa_model.routing.calibrated import Calibration
from vfidpa_model.routing.dynamic import DynamicInterpolator
from vfidpa_model.routing.routers import AllFast, FlowMagnitude


def build_dynamic(routing: Routing, device: torch.device) -> DynamicInterpolator:
    """Return the two interpolators with their router; the accurate one is not loaded when nothing can reach it."""
    options: dict[str, Any] = {} if routing.precision == "auto" else {"precision": routing.precision}
    if routing.flow_scale != 1:
        options["scale"] = routing.flow_scale
    fast = AnyTimestep(create_interpolator(routing.fast, weights=routing.fast_weights, device=device, **options))
    if routing.assessor is None and routing.threshold is None:
        return DynamicInterpolator(AllFast(), fast, fast, 0.0)
    accurate = AnyTimestep(
        create_interpolator(routing.accurate, weights=routing.accurate_weights, device=device, **options)
    )
    if routing.assessor is None:
        return DynamicInterpolator(FlowMagnitude(), fast, accurate, routing.threshold or 0.0)
    router = load_checkpoint(routing.assessor, device=str(device), backend="auto")
    return DynamicInterpolator(router, fast, accurate, _threshold(routing, fast.name, accurate.name))


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
