"""How exactly a network computes: in single precision, or its convolutions and products in half of it.

Positions and flows stay in single precision in either case, and what goes in and comes out is float32.
"""

import torch

PRECISIONS = ("auto", "fp32", "fp16", "bf16")
_HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}


def check_precision(precision: str) -> str:
    """Return ``precision`` when it is one of ``PRECISIONS``.

    Raises:
        ValueError: It is not.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision ({precision!r}) must be one of {', '.join(PRECISIONS)}")
    return precision


def computing(precision: str, device: torch.device, *, auto_on_cuda: str = "fp32") -> torch.autocast:
    """Return the context to compute in.

    Args:
        precision: One of ``PRECISIONS``.
        auto_on_cuda: What ``"auto"`` means on CUDA; elsewhere it is ``"fp32"``.
    """
    if precision == "auto":
        precision = auto_on_cuda if device.type == "cuda" else "fp32"
    half = _HALF.get(precision)
    return torch.autocast(device.type, dtype=half or torch.bfloat16, enabled=half is not None)
