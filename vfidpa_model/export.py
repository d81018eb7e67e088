"""``python -m vfidpa_model.export``: a trained model as ONNX, OpenVINO or torch.export file, checked on real frames."""

import copy
import importlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataset_tools.common import cli
from dataset_tools.common.extras import require
from dataset_tools.errors import UsageError, VfiError

if TYPE_CHECKING:
    from torch import Tensor

    from vfidpa_model.inference.backends import Export
    from vfidpa_model.inference.checkpoint import Checkpoint
    from vfidpa_model.networks.vfidpa import VFIDPA, Body

# The formats, and the libraries that write them and are not in the core.
_LIBRARIES = {"onnx": ("onnxscript", "onnxruntime"), "openvino": ("openvino",), "torch-export": ()}
FORMATS = tuple(_LIBRARIES)
LARGEST_DIFFERENCE = 1e-3  # levels; the scale has four
_OPSET = 20  # DeformConv came with 19
_LARGEST_BATCH, _LARGEST_ROWS, _LARGEST_COLUMNS = 64, 68, 128  # the last two in steps of 32 pixels
_TIMED_RUNS = 5
Pair = tuple["Tensor", "Tensor"]


class ExportError(VfiError):
    """An exported file does not compute what PyTorch computes, or the model cannot be exported."""


def export(
    run: Annotated[Path, typer.Argument(help="training run or checkpoint folder")],
    format: Annotated[str, typer.Option(help=f"{', '.join(FORMATS)}")] = "onnx",  # noqa: A002
    frames: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="two images to check the file on; by default frames of the demo clips"),
    ] = None,
) -> None:
    """Write the model beside its checkpoint as a file for another runtime, and compare the two on real frames.

    The file takes img0 and img1, RGB in [0, 1], (B, 3, H, W), and gives raw_map and weight_map. The light model takes
    any batch and any sides that are multiples of 32; Swin-T any batch at the size of the frames it was checked on.
    The command fails, and leaves no file, when a score or a map differs by more than 0.001.
    vfidpa_model.predict --backend onnx|openvino|auto uses the file.

    \b
    Example:
      python -m vfidpa_model.export runs/light --format onnx
    """
    from vfidpa_model.inference.checkpoint import load_model

    if format not in FORMATS:
        raise UsageError(f"--format ({format!r}) must be one of {', '.join(FORMATS)}")
    for library in _LIBRARIES[format]:  # before the model is traced, which takes long
        require(library)
    model, checkpoint = load_model(run)
    pairs = [_read_pair(*frames)] if frames else _demo_pairs()
    made = export_model(model, checkpoint, format=format, pairs=pairs)
    size = f"{made.width}x{made.height}" if made.width else "any size"
    print(
        f"{checkpoint.folder / next(iter(made.files_sha256))}: {size}, maximum difference {made.max_difference:.1e} "
        f"on {len(pairs)} pairs; {made.milliseconds:.1f} ms a pair, PyTorch {made.torch_milliseconds:.1f} ms"
    )


def export_model(model: "VFIDPA", checkpoint: "Checkpoint", *, format: str, pairs: Sequence[Pair]) -> "Export":  # noqa: A002
    """Write ``model`` as ``format`` into its checkpoint folder and record it.

    Args:
        pairs: Real frames, (1, 3, H, W) uint8 each, to compare on; the first gives the size for Swin-T.

    Raises:
        ExportError: A result differs by more than 0.001, or the model cannot be exported.
    """
    from dataset_tools.common.files import sha256_file
    from vfidpa_model.inference.backends import FILES, Export, record_export
    from vfidpa_model.pairs.resize import shrink_to_height

    if model.config.backbone == "ahiq":
        raise ExportError("backbone ahiq is a baseline and is not exported; export swin_t or efficientnet_lite0")
    small = [(shrink_to_height(a, model.config.rows), shrink_to_height(b, model.config.rows)) for a, b in pairs]
    height, width = (0, 0) if model.config.is_light else _padded_size(small[0][0], model.body.multiple)
    with tempfile.TemporaryDirectory(dir=checkpoint.folder, prefix=".export-") as scratch:
        body = _write(model, format, Path(scratch), size=(height, width))
        difference, own, torchs = _compare(model, body, small)
        if not difference <= LARGEST_DIFFERENCE:  # nan is no agreement
            raise ExportError(f"{format} differs by {difference:.2g} from PyTorch, allowed are {LARGEST_DIFFERENCE}")
        for name in FILES[format]:
            (Path(scratch) / name).replace(checkpoint.folder / name)
    hashes = {name: sha256_file(checkpoint.folder / name) for name in FILES[format]}
    made = Export(checkpoint.weights_sha256, hashes, width, height, difference, own, torchs)
    record_export(checkpoint.folder, format, made)
    return made


def _write(model: "VFIDPA", format: str, folder: Path, *, size: tuple[int, int]) -> "Body":  # noqa: A002
    """Write the files and return the body that runs them."""
    import torch

    from vfidpa_model.inference.backends import FILES, onnx_body, openvino_body

    path = folder / FILES[format][0]
    # Both runtimes have a deformable convolution of their own; on torch.export's side sampling is the faster one.
    program = _trace(model, size=size, native=format != "torch-export")
    if format == "torch-export":
        torch.export.save(program, path)
        return torch.export.load(path).module()  # written a moment ago by ourselves
    if format == "openvino":
        openvino: Any = importlib.import_module("openvino")
        openvino.save_model(openvino.convert_model(program), path, compress_to_fp16=False)
        return openvino_body(path)
    exported = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=_OPSET,
        verbose=False,
        input_names=["img0", "img1"],
        output_names=["raw_map", "weight_map"],
    )
    assert exported is not None
    exported.save(path)
    return onnx_body(path)


def _trace(model: "VFIDPA", *, size: tuple[int, int], native: bool) -> Any:
    import torch
    from torch import nn
    from torch.export import Dim

    body: Any = copy.deepcopy(model.body)
    body.deform_net.deform.native = native
    for module in body.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = False  # same result, half the time of the exporters
    # Two distinct sides and a batch of two: a traced 1, or equal sides, would be taken for constants.
    height, width = size if size != (0, 0) else (64, 96)
    example = tuple(torch.rand(2, 3, height, width) for _ in range(2))
    free: dict[int, Any] = {0: Dim("batch", min=1, max=_LARGEST_BATCH)}
    if size == (0, 0):
        free[2] = 32 * Dim("rows", min=2, max=_LARGEST_ROWS)
        free[3] = 32 * Dim("columns", min=2, max=_LARGEST_COLUMNS)
    with torch.no_grad():
        return torch.export.export(body, example, dynamic_shapes=(free, free))


def _compare(model: "VFIDPA", body: "Body", pairs: Sequence[Pair]) -> tuple[float, float, float]:
    """Return the largest difference, and the median milliseconds of ``body`` and of PyTorch, measured in turns."""
    import torch

    differences = []
    times: tuple[list[float], list[float]] = ([], [])
    with torch.inference_mode():
        for pair in pairs:
            ours, theirs = model(*pair), model.assess_with(body, *pair)
            for wanted, found in zip(ours[:3], theirs[:3], strict=True):
                differences.append((wanted - found).abs().max())
        for _ in range(_TIMED_RUNS):
            for kept, run in zip(times, (body, model.body), strict=True):
                started = time.perf_counter()
                model.assess_with(run, *pairs[0])
                kept.append((time.perf_counter() - started) * 1000)
    return float(torch.stack(differences).max()), median(times[0]), median(times[1])


def _padded_size(frame: "Tensor", multiple: int) -> tuple[int, int]:
    height, width = frame.shape[-2:]
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def _read_pair(first: Path, second: Path) -> Pair:
    from dataset_tools.frames import read_image
    from vfidpa_model.inference.assessor import as_batch

    pair = as_batch(read_image(first)), as_batch(read_image(second))
    if pair[0].shape != pair[1].shape:
        raise UsageError(f"--frames {first} and {second} must have one size")
    return pair


def _demo_pairs() -> list[Pair]:
    """Return three pairs of a 720p demo clip, two frames apart, from different shots."""
    from dataset_tools.assets import fetch_demo_clips
    from dataset_tools.video import open_video
    from vfidpa_model.inference.assessor import as_batch

    wanted = (0, 2, 60, 62, 120, 122)
    with open_video(fetch_demo_clips() / "bigbuckbunny.mp4") as reader:
        frames = [as_batch(frame.rgb()) for frame in reader.frames() if frame.index in wanted]
    return list(zip(frames[::2], frames[1::2], strict=True))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return cli.run(export, argv, prog="python -m vfidpa_model.export")


if __name__ == "__main__":
    sys.exit(main())
