"""Exported copies: equal to PyTorch on real frames, refused when they are not the checkpoint's, and the choice."""

import json
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dataset_tools.errors import UsageError
from tests.vfidpa_model.light_checkpoint import real_frames, save_light_run
from vfidpa_model import export as exporting
from vfidpa_model.export import ExportError, export_model, main
from vfidpa_model.inference import backends
from vfidpa_model.inference.assessor import load_checkpoint
from vfidpa_model.inference.backends import Export, choose_backend, read_exports, record_export
from vfidpa_model.inference.checkpoint import CheckpointError, read_checkpoint
from vfidpa_model.networks.config import ModelConfig

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training run with a light model."""
    folder = tmp_path_factory.mktemp("run")
    save_light_run(folder)
    return folder


@pytest.fixture(scope="module")
def frame_files(tmp_path_factory, demo_clips) -> list[str]:
    """Two real frames as files, 144 x 176."""
    from dataset_tools.frames import write_image

    folder = tmp_path_factory.mktemp("frames")
    paths = [folder / "img0.png", folder / "img1.png"]
    for path, rgb in zip(paths, real_frames(demo_clips / "carphone_pristine.mp4", (5, 9)), strict=True):
        write_image(path, rgb)
    return [str(path) for path in paths]


@pytest.fixture(scope="module")
def _traced_once():
    """Let exports of one model share its trace, which takes longer than writing any format."""
    traces, trace = {}, exporting._trace

    def kept(model, **options):
        key = tuple(options.items())
        traces[key] = traces.get(key) or trace(model, **options)
        return traces[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "_trace", kept)
        yield


@pytest.mark.usefixtures("_traced_once")
@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_exported_file_equals_pytorch_on_real_frames_of_any_size_and_batch(run, demo_clips, frame_files, name, capsys):
    assert main([str(run), "--format", name, "--frames", *frame_files]) == 0
    assert "any size, maximum difference" in capsys.readouterr().out
    export = read_exports(run / "best")[name]
    assert export.max_difference <= 1e-3
    expected, found = load_checkpoint(run), load_checkpoint(run, backend=name)
    assert found.backend == name
    img0, img1, *_ = real_frames(demo_clips / "bikes.mp4", (20, 28))  # 640 x 272, brought down to 256 rows
    for first, second in (([img0], [img1]), ([img0[:100, :90], img1[:100, :90]], [img1[:100, :90]] * 2)):
        np.testing.assert_allclose(found.predict(first, second), expected.predict(first, second), atol=1e-3)
    faster = export.milliseconds < export.torch_milliseconds
    assert load_checkpoint(run, backend="auto").backend in ({"onnx", "openvino"} if faster else {"torch", "onnx"})


def test_torch_export_file_is_checked_too(run, frame_files, capsys):
    assert main([str(run), "--format", "torch-export", "--frames", *frame_files]) == 0
    assert "model.pt2: any size, maximum difference" in capsys.readouterr().out
    with pytest.raises(UsageError, match="must be one of"):
        load_checkpoint(run, backend="torch-export")  # loading one would run code from it


@pytest.mark.parametrize("error", [0.002, np.nan])
def test_a_file_that_differs_is_not_kept(tmp_path, monkeypatch, frame_files, capsys, error):
    save_light_run(tmp_path)

    def wrong(model, *_, **__):
        def body(img0, img1):
            raw, weights = model.body(img0, img1)
            return raw + error, weights

        return body

    monkeypatch.setattr(exporting, "_write", wrong)
    assert main([str(tmp_path), "--format", "onnx", "--frames", *frame_files]) == 1
    assert f"onnx differs by {error} from PyTorch" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == ["checkpoint.json", "model.safetensors"]


def test_the_baseline_is_not_exported():
    with pytest.raises(ExportError, match="ahiq is a baseline"):
        export_model(SimpleNamespace(config=ModelConfig(backbone="ahiq")), None, format="onnx", pairs=[])


def made(checkpoint, **values) -> Export:
    """Return a record of an export that never happened."""
    defaults = {"files_sha256": {}, "width": 0, "height": 0, "max_difference": 0.0}
    return Export(**{"weights_sha256": checkpoint.weights_sha256, **defaults, **values})


@pytest.mark.parametrize(
    ("times", "device", "expected"),
    [
        ({}, "cpu", "torch"),
        ({"onnx": (10, 30)}, "cpu", "onnx"),
        ({"onnx": (40, 30)}, "cpu", "torch"),
        ({"onnx": (10, 30), "openvino": (9, 30)}, "cpu", "openvino"),
        ({"onnx": (10, 40), "openvino": (9, 30)}, "cpu", "onnx"),  # times of two runs: the ratio counts
        ({"torch-export": (1, 30)}, "cpu", "torch"),
        ({"onnx": (10, 30)}, "cuda", "torch"),
    ],
)
def test_auto_takes_the_faster_backend(tmp_path, times, device, expected):
    save_light_run(tmp_path)
    checkpoint = read_checkpoint(tmp_path)
    for name, (own, torchs) in times.items():
        record_export(checkpoint.folder, name, made(checkpoint, milliseconds=own, torch_milliseconds=torchs))
    assert choose_backend(checkpoint, torch.device(device)) == expected


def test_exports_of_other_weights_are_refused_and_passed_over(tmp_path):
    save_light_run(tmp_path)
    checkpoint = read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"has no onnx export; run python -m vfidpa_model\.export"):
        load_checkpoint(tmp_path, backend="onnx")
    record_export(
        checkpoint.folder, "onnx", made(checkpoint, weights_sha256="0" * 64, milliseconds=1, torch_milliseconds=2)
    )
    with pytest.raises(CheckpointError, match="of other weights"):
        load_checkpoint(tmp_path, backend="onnx")
    assert load_checkpoint(tmp_path, backend="auto").backend == "torch"
    record_export(checkpoint.folder, "onnx", made(checkpoint, milliseconds=1, torch_milliseconds=2))
    with pytest.raises(CheckpointError, match=r"model\.onnx is missing or damaged"):
        load_checkpoint(tmp_path, backend="onnx")


TIMELESS = {**asdict(Export("", {}, 0, 0, 0.0, 1.0, 2.0)), "torch_milliseconds": 0}


@pytest.mark.parametrize("record", ["{", "[]", '{"onnx": {"width": 1}}', '{"onnx": 3}', json.dumps({"onnx": TIMELESS})])
def test_a_damaged_record_of_exports_is_refused(tmp_path, record):
    (tmp_path / "exports.json").write_text(record)
    with pytest.raises(CheckpointError, match="not a record of exports"):
        read_exports(tmp_path)


def test_a_file_of_one_size_leaves_other_sizes_to_pytorch(tmp_path, monkeypatch):
    save_light_run(tmp_path)
    checkpoint = read_checkpoint(tmp_path)
    (checkpoint.folder / "model.onnx").write_bytes(b"a")
    digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    record = made(checkpoint, width=96, height=64, milliseconds=1, torch_milliseconds=2)
    record_export(checkpoint.folder, "onnx", Export(**{**asdict(record), "files_sha256": {"model.onnx": digest}}))
    seen = []
    monkeypatch.setattr(backends, "onnx_body", lambda path: lambda a, b: (seen.append(a.shape), (a[:, 0], b[:, 0]))[1])
    body = backends.load_body(checkpoint, "onnx", fallback=lambda a, b: (a[:, 1], b[:, 1]))
    body(torch.rand(1, 3, 64, 96), torch.rand(1, 3, 64, 96))
    with pytest.warns(UserWarning, match="onnx export takes 96x64 pixels only: PyTorch assesses 128x64"):
        body(torch.rand(1, 3, 64, 128), torch.rand(1, 3, 64, 128))
    assert seen == [(1, 3, 64, 96)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--format", "tensorrt"], "--format ('tensorrt') must be one of onnx"), (["--frames", "a.png"], "")],
)
def test_wrong_usage(run, arguments, message, capsys):
    assert main([str(run), *arguments]) == 2
    assert message in capsys.readouterr().err
