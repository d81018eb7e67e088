"""Which engine computes an interpolator's convolutions: PyTorch, or ncnn on a CPU or by Vulkan (extra ``ncnn``)."""

import re
from typing import Any

import torch

from dataset_tools.errors import UsageError
from dataset_tools.interpolators import ncnn_engine

BACKENDS = ("auto", "torch", "ncnn", "vulkan")
# After the name of a model that ncnn runs, on the CPU or on a card: its pixels differ, by less than 0.05 of 255.
_MARK, _CARD_MARK = "+ncnn", "+vulkan"
_VULKAN = re.compile(r"vulkan(?::(\d{1,3}))?")


def check_backend(backend: str) -> str:
    """Return ``backend`` when it is one of ``BACKENDS``, or ``vulkan:N``.

    Raises:
        UsageError: It is not.
    """
    if backend not in BACKENDS and not _VULKAN.fullmatch(backend):
        raise UsageError(f"--backend {backend!r} must be one of {', '.join(BACKENDS)} or vulkan:N")
    return backend


def with_engine(name: str, *, like: str) -> str:
    """Return the name that a model has when the engine of the model called ``like`` runs it."""
    bare = name.removesuffix(_MARK).removesuffix(_CARD_MARK)
    return bare + next((mark for mark in (_MARK, _CARD_MARK) if like.endswith(mark)), "")


def apply_backend(model: Any, backend: str, *, device: torch.device) -> None:
    """Have ncnn run a model's convolutions where that is asked for, and say so in the model's name.

    Args:
        model: An interpolator, in eval mode, on ``device``.
        backend: ``torch`` leaves it as it is; ``ncnn`` must be possible; ``auto`` is ``ncnn`` on a CPU where the
            package is installed, the model has parts for it (RIFE's have) and half precision is not asked for;
            ``vulkan`` or ``vulkan:N`` is ncnn on a graphics card, warps and resizes stay on the CPU.

    Raises:
        UsageError: ``ncnn`` or ``vulkan`` is not possible here, or there is no such backend.
    """
    if check_backend(backend) == "torch":
        return
    found = _VULKAN.fullmatch(backend)
    card = int(found[1] or 0) if found else None
    obstacle = _obstacle(model, device, card)
    if obstacle is None:
        ncnn_engine.use_ncnn(model, card=card)
        model.name += _MARK if card is None else _CARD_MARK
    elif backend != "auto":
        raise UsageError(f"--backend {backend}: {obstacle}; use --backend torch")


def _obstacle(model: Any, device: torch.device, card: int | None) -> str | None:
    if not ncnn_engine.offers_ncnn(model):
        return f"{model.name} has no parts that ncnn runs"
    if device.type != "cpu":
        return f"ncnn takes its frames from the CPU, not from {device}"
    if getattr(model, "precision", "auto") not in ("auto", "fp32"):
        return f"ncnn computes in fp32, not in {model.precision}"
    if not ncnn_engine.is_installed():
        return 'the package ncnn is not installed (pip install "vfi-difficulty[ncnn]")'
    if card is not None and card >= (there := ncnn_engine.num_cards()):
        return f"there is no Vulkan device {card}, {there} found (a card's driver brings them)"
    return None
