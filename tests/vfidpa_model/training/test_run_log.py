"""Who is told of a run, by name: TensorBoard, Weights & Biases without a network, or nobody."""

import sys

import numpy as np
import pytest

from dataset_tools.errors import UsageError
from vfidpa_model.training.run_log import RunLog, read_records

PICTURE = np.zeros((8, 8, 3), np.uint8)


def write_log(run, logger, *, first_step=0):
    run.mkdir(exist_ok=True)
    with RunLog(run, first_step=first_step, logger=logger, settings={"train": {"lr": 0.1}}) as log:
        log.record("train", first_step + 1, {"loss": 0.5, "grad_norm": float("nan")})
        log.picture("pair", first_step + 1, PICTURE)
    return read_records(run)


@pytest.mark.parametrize("logger", ["tensorboard", "none"])
def test_the_records_are_written_whoever_is_told(tmp_path, logger):
    assert write_log(tmp_path, logger) == [{"kind": "train", "step": 1, "loss": 0.5, "grad_norm": None}]
    assert (tmp_path / "tensorboard").exists() == (logger == "tensorboard")


@pytest.fixture
def fresh_wandb():
    """wandb keeps the variables that it first saw for as long as the process lives."""
    import wandb

    wandb.teardown()
    yield
    wandb.teardown()


@pytest.mark.usefixtures("fresh_wandb")
def test_weights_and_biases_takes_a_run_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    assert write_log(tmp_path, "wandb")[0]["loss"] == 0.5
    folders = list((tmp_path / "wandb").glob("offline-run-*"))
    run_id = (tmp_path / "wandb_id.txt").read_text()
    assert {folder.name.rpartition("-")[2] for folder in folders} == {run_id}  # by which a resumed run goes on
    assert any(file.suffix == ".png" for file in (tmp_path / "wandb").rglob("*"))
    assert all(list(folder.glob("*.wandb")) for folder in folders)


@pytest.mark.usefixtures("fresh_wandb")
def test_without_a_key_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    for name, value in {
        "NETRC": tmp_path / "none",
        "WANDB_BASE_URL": "http://127.0.0.1:9",  # nobody listens
        "WANDB_MODE": "online",
        "WANDB_SILENT": "true",
    }.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(UsageError, match=r"--logger wandb: No API key configured\..*WANDB_MODE=offline"):
        write_log(tmp_path / "run", "wandb")


def test_without_wandb_its_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match=r"pip install 'vfi-difficulty\[wandb\]'"):
        write_log(tmp_path, "wandb")
