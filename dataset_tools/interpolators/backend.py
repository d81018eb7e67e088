"""Which engine computes an interpolator's convolutions: PyTorch, or ncnn on a CPU (extra ``ncnn``)."""

from typing import Any

import torch

from dataset_tools.errors import UsageError
from dataset_tools.interpolators import ncnn_engine

BACKENDS = ("auto", "torch", "ncnn")
_MARK = "+ncnn"  # after the name of a model that ncnn runs: its pixels differ, by less than 0.05 of 255


def check_backend(backend: str) -> str:
    """Return ``backend`` when it is one of ``BACKENDS``.

    Raises:
        UsageError: It is not.
    """
    if backend not in BACKENDS:
        raise UsageError(f"--backend {backend!r} must be one of {', '.join(BACKENDS)}")
    return backend


def with_engine(name: str, *, like: str) -> str:
    """Return the name that a model has when the engine of the model called ``like`` runs it."""
    return name.removesuffix(_MARK) + (_MARK if like.endswith(_MARK) else "")


def apply_backend(model: Any, backend: str, *, device: torch.device) -> None:
    """Have ncnn run a model's convolutions where that is asked for, and say so in the model's name.

    Args:
        model: An interpolator, in eval mode, on ``device``.
        backend: ``torch`` leaves it as it is; ``ncnn`` must be possible; ``auto`` is ``ncnn`` on a CPU where the
            package is installed, the model has parts for it (RIFE's have) and half precision is not asked for.

    Raises:
        UsageError: ``ncnn`` is not possible here, or there is no such backend.
    """
    if check_backend(backend) == "torch":
        return
    obstacle = _obstacle(model, device)
    if obstacle is None:
        ncnn_engine.use_ncnn(model)
        model.name += _MARK
    elif backend == "ncnn":
        raise UsageError(f"--backend ncnn: {obstacle}; use --backend torch")


def _obstacle(model: Any, device: torch.device) -> str | None:
    if not ncnn_engine.offers_ncnn(model):
        return f"{model.name} has no parts that ncnn runs"
    if device.type != "cpu":
        return f"ncnn computes on the CPU, not on {device}"
    if getattr(model, "precision", "auto") not in ("auto", "fp32"):
        return f"ncnn computes in fp32, not in {model.precision}"
    if not ncnn_engine.is_installed():
        return 'the package ncnn is not installed (pip install "vfi-difficulty[ncnn]")'
    return None
