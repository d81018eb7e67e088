"""Weights files: loaded without running code from them, and only into the network they belong to."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from dataset_tools.common.files import sha256_file
from dataset_tools.errors import WeightsError

# One tensor that tells a published variant from all others; checked in this order.
_TELLTALES: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("rife-v4", "block4.conv0.0.0.weight", (16, 28, 3, 3)),
    ("rife-eccv or rife-large", "block0.conv0.0.0.weight", (120, 6, 3, 3)),
    ("rife-m", "block0.conv0.0.0.weight", (120, 7, 3, 3)),
    ("rife", "contextnet.conv1.conv1.0.weight", (16, 3, 3, 3)),
    ("upr-net", "feat_pyramid.conv_stage0.0.weight", (16, 3, 3, 3)),
    ("upr-net-large", "feat_pyramid.conv_stage0.0.weight", (24, 3, 3, 3)),
    ("upr-net-llarge", "feat_pyramid.conv_stage0.0.weight", (32, 3, 3, 3)),
    ("vfiformer", "refinenet.rf_block1.occl_convs.0.weight", (24, 48, 1, 1)),
    ("vfiformer-small", "flownet.block0.conv0.0.0.weight", (120, 6, 3, 3)),
)
# Other files of Practical-RIFE, by the first tensor they hold of these.
_OTHER_RIFE = (
    ("block4.lastconv.0.weight", "RIFE 4.25 or 4.26 of another width (lite or heavy)"),
    ("encode.cnn0.weight", "an earlier RIFE 4 (about 4.10 to 4.24)"),
    ("encode.0.weight", "an earlier RIFE 4 (about 4.7 to 4.9)"),
    ("block3.lastconv.0.weight", "an earlier RIFE 4 (about 4.6)"),
    ("block3.lastconv.weight", "an early RIFE 4 (about 4.0 to 4.5), or of 3.9 without its refinement network"),
)


def load_weights(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Return the tensors of a weights file (on the CPU) and the file's SHA-256.

    A ``module.`` in front of the keys, left by data-parallel training, is removed.

    Args:
        path: A ``.safetensors`` file, or a state dict saved by PyTorch (``.pkl``, ``.pth``, ``.pt``).

    Raises:
        WeightsError: The file is missing or damaged, holds more than tensors, or asks for code to be run.
    """
    if not path.is_file():
        raise WeightsError(f"weights file {path} does not exist")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # PyTorch's own words would advise to load it unsafely
        raise WeightsError(
            f"weights file {path} is not a plain state dict: it is damaged or holds more than tensors"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"weights file {path} cannot be read: {_first_line(error)}") from error
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise WeightsError(f"weights file {path} must hold a state dict: names and tensors, nothing else")
    return {key.removeprefix("module."): value for key, value in state.items()}, sha256_file(path)


def load_into(
    module: nn.Module, state: Mapping[str, torch.Tensor], *, path: Path, ignore_prefixes: tuple[str, ...] = ()
) -> None:
    """Copy ``state`` into ``module``: every tensor of the module must be there, in its shape, and no other.

    Args:
        path: Where the state comes from, for the message.
        ignore_prefixes: Tensors of the file that may be left over, such as parts used in training only.

    Raises:
        WeightsError: Something does not fit; the message names the variant the file belongs to, where it is known.
    """
    wanted = module.state_dict()
    given = {key: value for key, value in state.items() if key in wanted or not key.startswith(ignore_prefixes)}
    missing = [key for key in wanted if key not in given]
    surplus = [key for key in given if key not in wanted]
    other = [key for key in wanted if key in given and wanted[key].shape != given[key].shape]
    faults = []
    if missing:
        faults.append(f"{len(missing)} tensors are missing, the first is {missing[0]!r}")
    if surplus:
        faults.append(f"{len(surplus)} do not belong to it, the first is {surplus[0]!r}")
    if other:
        shapes = f"{tuple(given[other[0]].shape)}, must be {tuple(wanted[other[0]].shape)}"
        faults.append(f"{len(other)} have another shape, the first is {other[0]!r} with {shapes}")
    if faults:
        hint = _hint(state)
        raise WeightsError(f"weights file {path} does not fit {type(module).__name__}: {'; '.join(faults)}{hint}")
    module.load_state_dict(given)


def identify(state: Mapping[str, torch.Tensor]) -> str | None:
    """Return the name of the interpolator a state dict was published for, or ``None`` when it is none we know."""
    for variant, key, shape in _TELLTALES:
        if key in state and tuple(state[key].shape) == shape:
            return variant
    return None


def _hint(state: Mapping[str, torch.Tensor]) -> str:
    variant = identify(state)
    if variant:
        return f"; it is a file for interpolator {variant}"
    for key, title in _OTHER_RIFE:
        if key in state:
            return f"; it is a file of {title}, which no interpolator takes here: rife takes 3.9, rife-v4 4.25 and 4.26"
    return ""


def load_numpy_pickle(path: Path) -> dict[str, Any]:
    """Return the nested dictionary of NumPy arrays pickled in ``path``; nothing but arrays can be created.

    Raises:
        WeightsError: The file is missing or damaged, or names anything other than NumPy arrays.
    """
    try:
        with path.open("rb") as file:
            value = _ArraysOnly(file).load()
    except FileNotFoundError:
        raise WeightsError(f"weights file {path} does not exist") from None
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise WeightsError(f"weights file {path} is not a pickle of plain arrays: {_first_line(error)}") from error
    if not isinstance(value, dict):
        raise WeightsError(f"weights file {path} must hold a dictionary of arrays")
    return value


class _ArraysOnly(pickle.Unpickler):
    # The function that NumPy itself names in pickles, whatever module it lives in this year.
    _RECONSTRUCT = np.zeros(0).__reduce__()[0]

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): self._RECONSTRUCT,
            ("numpy._core.multiarray", "_reconstruct"): self._RECONSTRUCT,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return allowed[module, name]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
