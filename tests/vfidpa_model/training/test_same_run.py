"""Resuming: a run from before some options were retired goes on where it used the values that are left."""

import json
from dataclasses import replace

import pytest

from dataset_tools.errors import UsageError
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.training.config import TrainConfig
from vfidpa_model.training.state import check_same_run

SETTINGS = {"model": ModelConfig().to_dict(), "train": TrainConfig().to_dict(), "pairs_sha256": "0" * 64}
OLD_FIELDS = {"difference": "both", "num_levels": 4, "score_range": "linear"}


@pytest.mark.parametrize(
    ("fields", "loss_norm", "refusal"),
    [
        ({}, "l1", None),
        ({}, "l2", r"was trained with train\.loss_norm 'l2', not 'l1'; resume with the same options"),
        ({"score_range": "bounded"}, "l1", r"config\.json: score_range \('bounded'\) must be 'linear'"),
    ],
)
def test_an_older_run_goes_on_with_the_values_that_are_left(tmp_path, fields, loss_norm, refusal):
    model, train = {**SETTINGS["model"], **OLD_FIELDS, **fields}, {**SETTINGS["train"], "loss_norm": loss_norm}
    (tmp_path / "config.json").write_text(json.dumps({**SETTINGS, "model": model, "train": train}))
    (tmp_path / "last").mkdir()
    (tmp_path / "last" / "training_state.pt").touch()
    if refusal is None:
        assert check_same_run(tmp_path, SETTINGS, resume=True)
        return
    with pytest.raises(UsageError, match=refusal):
        check_same_run(tmp_path, SETTINGS, resume=True)


def test_a_run_from_before_an_option_goes_on_with_its_default(tmp_path):
    old = {"train": {"epochs": 30}, "model": {"backbone": "swin_t"}, "pairs_sha256": "0" * 64}  # as first written
    (tmp_path / "config.json").write_text(json.dumps(old))
    (tmp_path / "last").mkdir()
    (tmp_path / "last" / "training_state.pt").touch()
    as_then = TrainConfig(crop_labels="frame")
    for start in ("", "light"):  # which was not recorded then
        settings = {**SETTINGS, "train": replace(as_then, start=start).to_dict()}
        assert check_same_run(tmp_path, settings, resume=True)
    for changed, words in (
        (replace(as_then, ema=0.9), r"was trained with train\.ema 0\.0, not 0\.9"),
        (TrainConfig(), r"was trained with train\.crop_labels 'frame', not 'crop'"),  # there was nothing else then
    ):
        with pytest.raises(UsageError, match=words):
            check_same_run(tmp_path, {**SETTINGS, "train": changed.to_dict()}, resume=True)


def test_a_start_that_failed_holds_nobody_to_its_options(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**SETTINGS, "pairs_sha256": "1" * 64}))
    (tmp_path / "metrics.jsonl").touch()  # opened for a first step that did not come
    for resume in (False, True):
        assert not check_same_run(tmp_path, SETTINGS, resume=resume)
    (tmp_path / "metrics.jsonl").write_text('{"kind": "train", "step": 1}\n')
    with pytest.raises(UsageError, match="holds a run already; add --resume"):
        check_same_run(tmp_path, SETTINGS, resume=False)
    with pytest.raises(UsageError, match="was trained on other labelled pairs"):
        check_same_run(tmp_path, SETTINGS, resume=True)
