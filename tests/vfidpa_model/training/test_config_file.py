"""Config files: presets under files under options; one line for what is not known; the printed file gives the same."""

import json

import pytest
import yaml

from dataset_tools.errors import UsageError
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.train import main
from vfidpa_model.training.config import Machine, RunConfig, TrainConfig
from vfidpa_model.training.config_file import resolve_config, to_yaml
from vfidpa_model.training.presets import PRESETS


def written(folder, text):
    path = folder / "run.yaml"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


@pytest.mark.parametrize("preset", PRESETS)
def test_the_printed_configuration_reads_back_as_itself(preset, tmp_path):
    config = resolve_config(preset=preset, options={"lr": 2e-5, "seed": 3})
    assert resolve_config(path=written(tmp_path, to_yaml(config)), options={}) == config
    assert yaml.safe_load(to_yaml(config)) == config.to_dict()


def test_options_win_over_the_file_and_the_file_over_the_preset(tmp_path):
    path = written(tmp_path, "train: {lr: 1e-3, batch: 6, augment_turn: false}\nmachine: {workers: 2}\n")
    found = resolve_config(preset="paper", path=path, options={"batch": 2, "device": "cpu"})
    assert (found.train.lr, found.train.batch, found.train.augment_turn) == (1e-3, 2, False)
    assert (found.train.optimizer, found.model.difference_form) == ("adam", "signed")
    assert found.machine == Machine("cpu", workers=2)
    assert resolve_config(options={}) == RunConfig()


@pytest.mark.parametrize(
    ("parts", "options", "expected"),
    [
        ({}, {"backbone": "efficientnet_lite0"}, ModelConfig(backbone="efficientnet_lite0")),
        (RunConfig().to_dict(), {"backbone": "efficientnet_lite0"}, ModelConfig(backbone="efficientnet_lite0")),
        ({"model": {"fusion_width": 64}}, {"backbone": "efficientnet_lite0"}, None),
        ({}, {"resolution": "720p"}, ModelConfig(tier="720p")),
        ({"train": {"resolution": "720p"}}, {"input_height": 256}, ModelConfig(tier="720p", input_height=256)),
    ],
)
def test_what_hangs_together_moves_together(parts, options, expected, tmp_path):
    expected = expected or ModelConfig(backbone="efficientnet_lite0", fusion_width=64)
    assert resolve_config(path=written(tmp_path, parts), options=options).model == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: {lrr: 1, epochs: 3}\nmodle: {}\n", r"has unknown names: modle, train\.lrr; train --print-config"),
        ("train: {lr: fast}", r"run\.yaml: lr \('fast'\) must be a float"),
        ("train: {epochs: true}", r"run\.yaml: epochs \(True\) must be a int"),
        ("train: {batch: 2.5}", r"batch \(2\.5\) must be a int"),
        ("model: {backbone: resnet}", r"run\.yaml: backbone \('resnet'\) must be one of swin_t"),
        ("machine: {logger: carrier-pigeon}", r"logger \('carrier-pigeon'\) must be one of tensorboard"),
        ("machine: {cache: 3}", r"cache \(3\) must be a folder"),
        ("- 1\n- 2", "must hold model, train, machine"),
        ("train: 7", "must hold model, train, machine"),
        ("train: [", "is not YAML"),
        ("train: {lr: 1e-4, lr: 1e-5}", r"run\.yaml, line 1: 'lr' stands twice"),
        ("\x00", "is not YAML"),
        (None, "No such file"),
    ],
)
def test_what_a_file_may_not_say_is_one_line(tmp_path, text, words):
    path = tmp_path / "none.yaml" if text is None else written(tmp_path, text)
    with pytest.raises(UsageError, match=words) as caught:
        resolve_config(path=path, options={})
    assert "\n" not in str(caught.value)


def test_the_config_of_a_run_is_a_config_file(tmp_path):
    """With the fields that only older ones have, and the records that tell of the data."""
    old = {"difference": "both", "score_range": "linear", "num_levels": 4, "pretrained": "asset efficientnet-lite0"}
    stored = {
        "model": {"backbone": "efficientnet_lite0", **old},
        "train": {"epochs": 2, "loss_norm": "l1"},
        "pairs_sha256": "0" * 64,
        "manifest": {"name": "data_manifest.parquet"},
    }
    found = resolve_config(path=written(tmp_path, stored), options={})
    assert found == RunConfig(ModelConfig(backbone="efficientnet_lite0"), TrainConfig(epochs=2))


def test_the_command_prints_and_refuses(tmp_path, capsys):
    assert main(["--preset", "paper", "--print-config", "--lr", "0.01"]) == 0
    printed = capsys.readouterr().out
    assert "  difference_form: signed  # signed, absolute\n" in printed
    assert yaml.safe_load(printed)["train"]["lr"] == 0.01
    assert main(["--preset", "newspaper", "--print-config"]) == 2
    assert "--preset ('newspaper') must be one of default, paper, ahiq" in capsys.readouterr().err
    assert main([]) == 2
    assert "a training needs MANIFEST and --out" in capsys.readouterr().err
