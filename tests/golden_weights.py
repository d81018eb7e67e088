"""Golden numbers of the official networks, and the made-up weights that belong to them."""

import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

FOLDER = Path(__file__).parent / "golden"
TOLERANCE = 1e-4  # the official float32 differs from its own float64 by up to 2e-5


def golden(name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the arrays of ``golden/<name>.npz`` as float32 tensors (scalars included) and its ``meta``."""
    with np.load(FOLDER / f"{name}.npz") as file:
        arrays = {key: torch.from_numpy(np.asarray(file[key])).float() for key in file.files if key != "meta"}
        return arrays, json.loads(str(file["meta"]))


def golden_inputs(size: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the two frames of ``golden/inputs.npz`` of a size such as ``"64x96"``, (1, 3, H, W) in [0, 1]."""
    with np.load(FOLDER / "inputs.npz") as file:
        first, second = (torch.from_numpy(file[f"{which}_{size}"]).float() / 255 for which in "ab")
    return first.reshape(1, 3, *first.shape[-2:]), second.reshape(1, 3, *second.shape[-2:])


def fill_with_golden_weights(
    module: nn.Module, *, multipliers: Mapping[str, float] | None = None, prefix: str = ""
) -> None:
    """Fill ``module`` with weights that follow from the names of its tensors alone, and set it to eval mode.

    Args:
        multipliers: Factors by key, from the golden file's ``meta``.
        prefix: Put before a key where it seeds the generator, e.g. ``"regressor."``.
    """
    state = module.state_dict()
    for key, tensor in state.items():
        if "relative_position_index" in key or "attn_mask" in key:
            continue  # computed by the module itself
        noise = np.random.Generator(np.random.PCG64(zlib.crc32((prefix + key).encode()))).standard_normal(tensor.shape)
        value = _scaled(key, noise) * (multipliers or {}).get(key, 1.0)
        state[key] = torch.from_numpy(np.asarray(value, dtype=np.float32))
    module.load_state_dict(state)
    module.eval()


def _scaled(key: str, noise: np.ndarray) -> np.ndarray:
    names = key.split(".")
    if "relative_position_bias_table" in key:
        return 0.2 * noise
    if names[-1] == "weight" and noise.ndim == 1:
        return (1.0 if names[-2].startswith("norm") else 0.25) + 0.02 * noise
    if noise.ndim >= 2:
        fan = noise.size // min(noise.shape[:2])
        return math.sqrt((2.2 if noise.ndim == 4 else 1.0) / fan) * noise
    return 0.02 * noise
