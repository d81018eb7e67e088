"""Exported copies of a model: the record of them beside the checkpoint, and the runtimes that run them on a CPU.

Only the body (backbone, DeformNet, head) is replaced; resizing, padding, weighted mean and level scale stay this
package's own, so every backend takes frames of every size.
"""

import importlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dataset_tools.common.extras import require
from dataset_tools.common.files import sha256_file, write_json
from vfidpa_model.inference.checkpoint import Checkpoint, CheckpointError
from vfidpa_model.networks.vfidpa import Body

RECORD_NAME = "exports.json"
# The package that runs each format, and its files. A torch-export file is for other programs: PyTorch runs code from
# it on loading (torch.export.load unpickles), and a checkpoint is untrusted.
RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino"}
FILES = {"onnx": ("model.onnx",), "openvino": ("model.xml", "model.bin"), "torch-export": ("model.pt2",)}


@dataclass(frozen=True)
class Export:
    """One exported copy.

    Attributes:
        weights_sha256: Of the checkpoint's weights it was made from.
        files_sha256: Its files' names and hashes.
        width, height: The only padded size it takes, in pixels; 0 means any multiple of 32.
        max_difference: Largest difference from PyTorch found on real frames, of scores and maps.
        milliseconds, torch_milliseconds: Median time of one pair of the checked size, with it and with PyTorch,
            measured in turns when it was exported.
    """

    weights_sha256: str
    files_sha256: dict[str, str]
    width: int
    height: int
    max_difference: float
    milliseconds: float
    torch_milliseconds: float


def read_exports(folder: Path) -> dict[str, Export]:
    """Return format -> export of a checkpoint folder; empty without any.

    Raises:
        CheckpointError: The record is damaged.
    """
    path = folder / RECORD_NAME
    if not path.exists():
        return {}
    try:
        listed = json.loads(path.read_bytes())
        return {name: _export_from(values) for name, values in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path} is not a record of exports ({error}); run vfidpa_model.export again") from error


def _export_from(values: Mapping[str, Any]) -> Export:
    kinds: dict[str, Any] = {"weights_sha256": str, "files_sha256": dict, "width": int, "height": int}
    made = Export(**{field.name: kinds.get(field.name, float)(values[field.name]) for field in fields(Export)})
    if not (made.milliseconds > 0 and made.torch_milliseconds > 0):
        raise ValueError("times must be above 0")
    return made


def record_export(folder: Path, name: str, export: Export) -> None:
    """Add or replace one format's entry in the record."""
    listed = {other: asdict(value) for other, value in read_exports(folder).items()}
    write_json(folder / RECORD_NAME, {**listed, name: asdict(export)})


def choose_backend(checkpoint: Checkpoint, device: torch.device) -> str:
    """Return the backend ``auto`` stands for: on a CPU the fastest by the times the exports measured, else PyTorch.

    An export of older weights, or one whose runtime is not installed, is passed over. A recorded time and not a fresh
    one decides, so that a run repeated gives the same scores to the bit.
    """
    if device.type != "cpu":
        return "torch"
    usable = {
        name: export
        for name, export in read_exports(checkpoint.folder).items()
        if name in RUNTIMES and export.weights_sha256 == checkpoint.weights_sha256 and find_spec(RUNTIMES[name])
    }
    faster = {name: e.milliseconds / e.torch_milliseconds for name, e in usable.items()}
    best = min(faster, key=faster.__getitem__, default=None)
    return best if best is not None and faster[best] < 1 else "torch"


def load_body(checkpoint: Checkpoint, name: str, *, fallback: Body) -> Body:
    """Return the body that runs the ``onnx`` or ``openvino`` copy; other sizes go to ``fallback``, with a warning.

    Raises:
        UsageError: The runtime is not installed.
        CheckpointError: There is no such copy, or it is damaged or of other weights.
    """
    require(RUNTIMES[name])
    folder = checkpoint.folder
    export = read_exports(folder).get(name)
    again = f"run python -m vfidpa_model.export {folder} --format {name}"
    if export is None:
        raise CheckpointError(f"checkpoint {folder} has no {name} export; {again}")
    if export.weights_sha256 != checkpoint.weights_sha256:
        raise CheckpointError(f"the {name} export in {folder} is of other weights than the checkpoint; {again}")
    check_files(folder, export.files_sha256, names=FILES[name], hint=again)
    path = folder / FILES[name][0]
    run = onnx_body(path) if name == "onnx" else openvino_body(path)
    size = (export.height, export.width)

    def body(img0: Tensor, img1: Tensor) -> tuple[Tensor, Tensor]:
        height, width = img0.shape[-2:]
        if size in ((0, 0), (height, width)):
            return run(img0, img1)
        warnings.warn(
            f"the {name} export takes {size[1]}x{size[0]} pixels only: PyTorch assesses {width}x{height}; "
            f"export with --frames of the size you need",
            stacklevel=2,
        )
        return fallback(img0, img1)

    return body


def check_files(folder: Path, expected: Mapping[str, str], *, names: tuple[str, ...], hint: str) -> None:
    """Raise a CheckpointError unless the files ``names`` are there with their recorded hashes."""
    for file in names:
        path = folder / file
        if not path.is_file() or sha256_file(path) != expected.get(file):
            raise CheckpointError(f"{path} is missing or damaged; {hint}")


def onnx_body(path: Path) -> Body:
    """Return a body that runs an ONNX file in ONNX Runtime, on as many threads as PyTorch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Its threads would spin for the next pair and take the cores from the interpolator.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def body(img0: Tensor, img1: Tensor) -> tuple[Tensor, Tensor]:
        raw, weights = session.run(["raw_map", "weight_map"], {"img0": img0.numpy(), "img1": img1.numpy()})
        return torch.from_numpy(raw), torch.from_numpy(weights)

    return body


def openvino_body(path: Path) -> Body:
    """Return a body that runs an OpenVINO file on the CPU, compiled anew for each size: fixed sizes run faster."""
    openvino: Any = importlib.import_module("openvino")
    core = openvino.Core()
    # Without the hint OpenVINO computes in bfloat16 where the CPU can: 18 of 255 levels off in our measurement.
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}

    @lru_cache(maxsize=4)
    def compiled(shape: tuple[int, ...]) -> Any:
        model = core.read_model(path)
        model.reshape({0: list(shape), 1: list(shape)})
        return core.compile_model(model, "CPU", options)

    def body(img0: Tensor, img1: Tensor) -> tuple[Tensor, Tensor]:
        result = compiled(tuple(img0.shape))([img0.numpy(), img1.numpy()])
        # Copied: OpenVINO hands out its own buffers, which the next call overwrites.
        return torch.from_numpy(result[0].copy()), torch.from_numpy(result[1].copy())

    return body
