"""Weights files: no code is run, nothing is loaded half, and the message names the variant that fits."""

import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dataset_tools.common.files import sha256_file
from dataset_tools.common.weights import identify, load_into, load_numpy_pickle, load_weights
from dataset_tools.errors import WeightsError


class _Evil:
    def __reduce__(self):
        return os.mkdir, ("run-from-a-pickle",)


@pytest.fixture
def layer():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))


@pytest.mark.parametrize("suffix", ["pkl", "safetensors"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_round_trip(tmp_path, layer, suffix, prefix):
    path = tmp_path / f"weights.{suffix}"
    state = {prefix + key: value for key, value in layer.state_dict().items()}
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    loaded, sha256 = load_weights(path)
    other = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))
    load_into(other, loaded, path=path)
    assert sha256 == sha256_file(path)
    assert torch.equal(other[0].weight, layer[0].weight)


@pytest.mark.parametrize("name", ["missing", "text", "empty", "cut", "evil", "list", "cut.safetensors"])
def test_bad_files_give_one_line_and_run_nothing(tmp_path, monkeypatch, layer, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / (name if "." in name else f"{name}.pkl")
    if name == "evil":
        path.write_bytes(pickle.dumps({"weight": _Evil()}))
    elif name == "list":
        torch.save([torch.zeros(1)], path)
    elif name == "cut":
        torch.save(layer.state_dict(), path)
        path.write_bytes(path.read_bytes()[:-200])
    elif name != "missing":
        path.write_bytes(b"" if name == "empty" else b"not weights at all")
    with pytest.raises(WeightsError, match=rf"weights file \S+{name}") as caught:
        load_weights(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run-from-a-pickle").exists()


def test_load_into_is_strict(tmp_path, layer):
    path = tmp_path / "w.pth"
    state = layer.state_dict()
    load_into(layer, {**state, "teacher.0.weight": torch.zeros(1)}, path=path, ignore_prefixes=("teacher.",))
    with pytest.raises(WeightsError, match=r"does not fit Sequential: 1 do not belong to it, the first is 'teacher.0"):
        load_into(layer, {**state, "teacher.0.weight": torch.zeros(1)}, path=path)
    with pytest.raises(WeightsError, match=r"1 tensors are missing, the first is '0.bias'"):
        load_into(layer, {"0.weight": state["0.weight"]}, path=path)
    with pytest.raises(WeightsError, match=r"'0.weight' with \(1,\), must be \(4, 3, 3, 3\)"):
        load_into(layer, {**state, "0.weight": torch.zeros(1)}, path=path)
    published = {"feat_pyramid.conv_stage0.0.weight": torch.zeros(24, 3, 3, 3)}
    with pytest.raises(WeightsError, match="it is a file for interpolator upr-net-large"):
        load_into(layer, published, path=path)
    assert identify(state) is None


def test_numpy_pickles_hold_arrays_only(tmp_path):
    path = tmp_path / "arrays.ckpt"
    path.write_bytes(pickle.dumps({"layer": {"bias": np.arange(3.0)}}))
    assert load_numpy_pickle(path)["layer"]["bias"].tolist() == [0, 1, 2]
    for value in ({"layer": _Evil()}, [1], b"\x80"):
        path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value))
        with pytest.raises(WeightsError, match=r"weights file \S+arrays.ckpt"):
            load_numpy_pickle(path)
    with pytest.raises(WeightsError, match="does not exist"):
        load_numpy_pickle(tmp_path / "none")
