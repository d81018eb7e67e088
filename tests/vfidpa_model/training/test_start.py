"""A steady start from the defaults, running means of weights, and batches in parts; whole frames by shape."""

import shutil

import numpy as np
import pytest
import torch

from dataset_tools.manifest import read_manifest
from tests.vfidpa_model.labelled_set import few_of, labelled_manifest
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.pairs.loading import batches_from, epoch_batches
from vfidpa_model.training.config import Machine, TrainConfig
from vfidpa_model.training.run import batches, take_step, train
from vfidpa_model.training.session import prepare

LIGHT = ModelConfig(backbone="efficientnet_lite0")
CPU = Machine("cpu")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory, demo_clips):
    return labelled_manifest(tmp_path_factory.mktemp("labelled"), demo_clips).path


@pytest.fixture(scope="module")
def few(manifest):
    return few_of(read_manifest(manifest)).path


def a_session(manifest, out, model=LIGHT, **changes):
    config = TrainConfig(**{"epochs": 1, "batch": 12, "crop": 64, **changes})
    return prepare(manifest, out, model_config=model, config=config, machine=CPU, resume=False)


def losses_of(session, num_steps):
    found = []
    for batch in batches(session):
        found.append(take_step(session, batch)["loss"])
        session.counters.step += 1
        if len(found) == num_steps:
            break
    return found


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "swin_t"])
def test_the_defaults_start_without_a_blow_up(manifest, tmp_path, backbone, monkeypatch):
    monkeypatch.setattr("vfidpa_model.networks.backbones._torch_hub_state", lambda url: None)  # from scratch
    model = ModelConfig(backbone=backbone)
    defaults = {"batch": TrainConfig.batch, "epochs": TrainConfig.epochs}
    session = a_session(manifest, tmp_path / backbone, model, **defaults)
    levels = np.array([sample.level for sample in session.train])
    guess = np.abs(levels - levels.mean()).mean()  # what saying the mean level all the time costs
    losses = losses_of(session, 24 if model.is_light else 9)
    assert losses[0] < 1.6 * guess
    assert max(losses) < 2 * guess
    assert np.mean(losses[-4:]) < 1.3 * guess


@pytest.mark.parametrize(
    ("changes", "is_measured"),
    [({}, True), ({"crop_labels": "frame"}, False), ({"crop": 0}, False), ({"aux_weight": 0.0}, False)],
)
def test_lpips_by_place_is_measured_where_something_asks_for_it(few, tmp_path, changes, is_measured):
    """Levels of people stay those of the frame, so without the auxiliary loss nothing does."""
    session = a_session(few, tmp_path, **{"batch": 2, **changes})
    assert (session.places is not None) == is_measured
    assert len(list(tmp_path.glob("lpips/*.npy"))) == (len(session.train) if is_measured else 0)


def test_a_batch_in_parts_takes_the_same_step(manifest, tmp_path):
    whole, parts = (a_session(manifest, tmp_path / str(n), accumulate=n) for n in (1, 3))
    first, second = losses_of(whole, 2), losses_of(parts, 2)
    assert first == pytest.approx(second, rel=1e-4)
    apart = [
        (one - other).detach().abs()
        for one, other in zip(whole.bare_model.parameters(), parts.bare_model.parameters(), strict=True)
    ]
    # AdamW moves each weight by the learning rate whatever its gradient's size, so rounding turns a few of them round.
    assert torch.cat([part.flatten() for part in apart]).mean() < 1e-7


def test_the_running_mean_is_what_is_kept(manifest, tmp_path):
    session = a_session(manifest, tmp_path / "mean", ema=0.9, lr=1e-2, warmup_steps=0)
    weight = session.bare_model.body.head.score.weight
    expected = None
    for number, batch in enumerate(batches(session)):
        take_step(session, batch)
        session.counters.step += 1
        share = min(0.9, (1 + number) / (10 + number))
        expected = weight.detach().clone() if expected is None else expected * share + weight.detach() * (1 - share)
    torch.testing.assert_close(session.kept_model.body.head.score.weight, expected)
    assert not torch.equal(weight, expected)


def test_a_killed_run_with_a_running_mean_goes_on_to_the_bit(few, tmp_path):
    ways = {"whole": None, "stopped": 2}
    for name, stop in ways.items():
        config = TrainConfig(epochs=2, batch=4, crop=0, ema=0.9, accumulate=2)
        ticks = iter(range(0, 10**6, 1000))

        def clock(ticks=ticks, stop=stop):
            value = next(ticks)
            if stop is not None and value // 1000 > stop:
                raise KeyboardInterrupt
            return value

        options = {"model_config": LIGHT, "config": config, "machine": CPU}
        try:
            train(few, tmp_path / name, **options, save_every_seconds=1, clock=clock)
        except KeyboardInterrupt:
            train(few, tmp_path / name, **options, resume=True)
    for kind in ("best", "last"):
        files = [(tmp_path / name / kind / "model.safetensors").read_bytes() for name in ways]
        assert files[0] == files[1]


def test_a_run_can_start_from_another_models_weights(few, tmp_path):
    first = train(few, tmp_path / "a", model_config=LIGHT, config=TrainConfig(epochs=1, batch=10, crop=64), machine=CPU)
    config = TrainConfig(epochs=1, batch=10, crop=64, lr=0.0, start=str(first))
    second = train(few, tmp_path / "b", model_config=LIGHT, config=config, machine=CPU)
    weights = [(run / "last" / "model.safetensors").read_bytes() for run in (first, second)]
    assert weights[0] == weights[1]
    shutil.rmtree(first)  # what a run began with is not needed to go on with it
    assert train(few, second, model_config=LIGHT, config=config, machine=CPU, resume=True) == second


def test_whole_frames_come_in_batches_of_one_shape():
    shapes = ["wide"] * 20 + ["tall"] * 3 + ["square"]
    found = epoch_batches(24, batch=4, seed=1, epoch=5, shapes=shapes)
    assert all(len(batch) == 4 and len({shapes[index] for index in batch}) == 1 for batch in found)
    assert {index for batch in found for index in batch} == set(range(24))
    assert len(found) == 5 + 1 + 1
    assert found == epoch_batches(24, batch=4, seed=1, epoch=5, shapes=shapes)
    assert found != epoch_batches(24, batch=4, seed=1, epoch=6, shapes=shapes)


@pytest.mark.parametrize("shapes", [None, ["a"] * 5 + ["b"] * 6])
def test_a_resumed_order_is_the_rest_of_the_whole_order(shapes):
    options = {"num_steps": 9, "num_samples": 11, "batch": 3, "seed": 2, "shapes": shapes}
    whole = list(batches_from(0, **options))
    for first in range(9):
        assert list(batches_from(first, **options)) == whole[first:]
