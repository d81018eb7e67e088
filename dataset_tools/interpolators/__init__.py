"""Video frame interpolators behind one narrow interface; every network is written from its description.

``create_interpolator("rife").interpolate(img0, img1)`` gives the middle frame. A network is a ``torch.nn.Module``
whose ``state_dict()`` has exactly the official keys, so that official checkpoints load strictly.
"""

import difflib
import importlib
import inspect
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, cast

import torch

from dataset_tools.errors import UsageError
from dataset_tools.interpolators.backend import apply_backend

ENTRY_POINT_GROUP = "vfi_difficulty.interpolators"
_RIFE_HOME = "github.com/hzwer/Practical-RIFE"
_RIFE_ECCV_HOME = "github.com/hzwer/ECCV2022-RIFE (README, 'Evaluation')"
_UPR_HOME = "github.com/srcn-ivl/UPR-Net (folder checkpoints)"
_VFIFORMER_HOME = "github.com/dvlab-research/VFIformer (README, 'Test')"


class Interpolator(Protocol):
    """What every interpolator offers.

    Attributes:
        name: Registry name, or a name with its version, e.g. ``"rife-3.9"``.
        weights_sha256: SHA-256 of the weights file it was loaded from; empty when it was not loaded from one.
    """

    name: str
    weights_sha256: str

    def interpolate(self, img0: torch.Tensor, img1: torch.Tensor, timestep: float = 0.5) -> torch.Tensor:
        """Return the frame at ``timestep`` between two frames.

        Args:
            img0, img1: RGB in [0, 1], float32, (B, 3, H, W), any size: padding and cropping happen inside.
            timestep: Position of the new frame in (0, 1).

        Returns:
            RGB in [0, 1], float32, (B, 3, H, W), on the inputs' device. A batch gives what single calls give.

        Raises:
            ValueError: Shapes differ or are not (B, 3, H, W), or ``timestep`` is one this model cannot do.
        """
        ...


@dataclass(frozen=True)
class InterpolatorInfo:
    """One line of ``list_interpolators()``.

    Attributes:
        target: ``module:Class``; the class has ``from_weights(path, *, device, **options)``.
        asset: Pinned asset holding default weights (see ``dataset_tools.assets``), or ``None``: a file is needed.
        licence: Licence of the published weights.
        weights_from: Where the authors publish them.
    """

    name: str
    target: str
    options: dict[str, Any] = field(default_factory=dict)
    asset: str | None = None
    licence: str = "unknown"
    weights_from: str = ""


_HERE = "dataset_tools.interpolators"
_BUILT_IN = (
    InterpolatorInfo("rife", f"{_HERE}.rife:RIFE", {}, "rife-3.9", "MIT", _RIFE_HOME),
    InterpolatorInfo("rife-refined", f"{_HERE}.rife:RIFE", {"refine": True}, "rife-3.9", "MIT", _RIFE_HOME),
    InterpolatorInfo(
        "rife-full", f"{_HERE}.rife:RIFE", {"refine": True, "ensemble": True}, "rife-3.9", "MIT", _RIFE_HOME
    ),
    InterpolatorInfo("rife-v4", f"{_HERE}.rife_v4:RIFEv4", {}, "rife-4.25", "MIT", _RIFE_HOME),
    InterpolatorInfo("rife-eccv", f"{_HERE}.rife_eccv:IFNet", {}, None, "MIT", _RIFE_ECCV_HOME),
    InterpolatorInfo("rife-eccv-fast", f"{_HERE}.rife_eccv:IFNet", {"refine": False}, None, "MIT", _RIFE_ECCV_HOME),
    InterpolatorInfo("rife-m", f"{_HERE}.rife_eccv:IFNetM", {}, None, "MIT", _RIFE_ECCV_HOME),
    InterpolatorInfo("rife-m-fast", f"{_HERE}.rife_eccv:IFNetM", {"refine": False}, None, "MIT", _RIFE_ECCV_HOME),
    InterpolatorInfo("rife-large", f"{_HERE}.rife_eccv:IFNet2R", {}, None, "MIT", _RIFE_ECCV_HOME),
    InterpolatorInfo("rife-large-fast", f"{_HERE}.rife_eccv:IFNet2R", {"refine": False}, None, "MIT", _RIFE_ECCV_HOME),
    InterpolatorInfo("upr-net", f"{_HERE}.upr_net:UPRNet", {"width": 16}, None, "CC BY-NC-ND 4.0", _UPR_HOME),
    InterpolatorInfo("upr-net-large", f"{_HERE}.upr_net:UPRNet", {"width": 24}, None, "CC BY-NC-ND 4.0", _UPR_HOME),
    InterpolatorInfo("upr-net-llarge", f"{_HERE}.upr_net:UPRNet", {"width": 32}, None, "CC BY-NC-ND 4.0", _UPR_HOME),
    InterpolatorInfo("vfiformer", f"{_HERE}.vfiformer:VFIformer", {}, None, "not stated", _VFIFORMER_HOME),
    InterpolatorInfo(
        "vfiformer-small", f"{_HERE}.vfiformer:VFIformer", {"small": True}, None, "not stated", _VFIFORMER_HOME
    ),
)


def list_interpolators() -> list[InterpolatorInfo]:
    """Return every interpolator that can be created by name: the built-in ones, then users' entry points."""
    registered = [
        InterpolatorInfo(entry.name, entry.value, licence=f"see {entry.dist.name if entry.dist else 'its package'}")
        for entry in entry_points(group=ENTRY_POINT_GROUP)
    ]
    return [*_BUILT_IN, *registered]


def create_interpolator(
    name: str,
    *,
    weights: Path | None = None,
    device: torch.device | str = "cpu",
    backend: str = "torch",
    **options: Any,
) -> Interpolator:
    """Return the interpolator called ``name`` (or ``module:Class``), in eval mode, on ``device``.

    Args:
        weights: Weights file; wins over the pinned asset. Needed where no asset exists.
        backend: Engine of the convolutions, see ``backend.apply_backend``: ``torch``, ``ncnn`` (RIFE on a CPU; its
            name then ends with ``+ncnn``), ``vulkan`` (on a card; ``+vulkan``), or ``auto``.
        options: Passed on to the class: ``precision`` for all built-in ones (see ``precision.PRECISIONS``), ``scale``
            for RIFE, ``levels`` for UPR-Net, ...

    Raises:
        UsageError: The name or an option is unknown, it needs a weights file and none was given, or the backend is
            not possible.
        WeightsError: The file is missing, unsafe, or belongs to another variant (the message names the fitting one).
    """
    info = _find(name)
    if weights is None and info.asset is not None:
        from dataset_tools.assets import fetch_asset

        weights = fetch_asset(info.asset)
    if weights is None and info in _BUILT_IN:
        raise UsageError(
            f"interpolator {name!r} needs a weights file: its authors publish it at {info.weights_from} "
            f"(licence: {info.licence})"
        )
    module_name, _, class_name = info.target.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"interpolator {name!r} cannot be imported from {info.target!r}: {error}") from error
    known = inspect.signature(factory.from_weights).parameters
    unknown = sorted(options.keys() - known.keys())
    if unknown and not any(option.kind is option.VAR_KEYWORD for option in known.values()):
        raise UsageError(f"interpolator {name!r} takes no option {', '.join(unknown)}; leave it out")
    chosen = torch.device(device)
    try:
        created = factory.from_weights(weights, device=chosen, **{**info.options, **options})
    except ValueError as error:
        if not options:
            raise
        raise UsageError(f"interpolator {name!r}: {' '.join(str(error).split())}") from error
    apply_backend(created, backend, device=chosen)
    return cast(Interpolator, created)


def _find(name: str) -> InterpolatorInfo:
    known = {info.name: info for info in list_interpolators()}
    if name in known:
        return known[name]
    if ":" in name:
        return InterpolatorInfo(name, name)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    raise UsageError(f"unknown interpolator {name!r}; {hint}")
