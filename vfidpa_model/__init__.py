"""VFI-DPA: judges how hard a frame pair is to interpolate, without interpolating; and the pipeline that uses it."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vfidpa_model.inference.assessor import Assessor, create_assessor, load_assessor, load_checkpoint
    from vfidpa_model.networks.ahiq import AHIQ
    from vfidpa_model.networks.vfidpa import VFIDPA

_HOMES = {
    "VFIDPA": "networks.vfidpa",
    "AHIQ": "networks.ahiq",
    "Assessor": "inference.assessor",
    "create_assessor": "inference.assessor",
    "load_assessor": "inference.assessor",
    "load_checkpoint": "inference.assessor",
}
__all__ = ["AHIQ", "VFIDPA", "Assessor", "create_assessor", "load_assessor", "load_checkpoint"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: ``--help`` of a command need not wait for PyTorch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
