"""Training on real frames: what a run leaves behind, going on after a kill, several processes, refusals."""

import io
import itertools
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dataset_tools.common.files import sha256_file
from dataset_tools.errors import UsageError
from dataset_tools.manifest import read_manifest
from tests.vfidpa_model.labelled_set import few_of, labelled_manifest
from vfidpa_model.inference.assessor import load_checkpoint
from vfidpa_model.inference.checkpoint import read_checkpoint
from vfidpa_model.networks.backbones import EfficientNetLite0
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.vfidpa import create_model
from vfidpa_model.pairs.labels import select_samples
from vfidpa_model.pairs.loading import FrameReader, WholePairs, make_loader, to_device
from vfidpa_model.train import main
from vfidpa_model.training.config import Machine, TrainConfig
from vfidpa_model.training.losses import compute_losses
from vfidpa_model.training.report import write_report
from vfidpa_model.training.run import train
from vfidpa_model.training.run_log import read_records
from vfidpa_model.training.schedule import learning_rate
from vfidpa_model.training.session import plan_steps

OPTIONS = {"--backbone": "efficientnet_lite0", "--epochs": "2", "--batch": "12", "--crop": "64", "--device": "cpu"}
LIGHT = ModelConfig(backbone="efficientnet_lite0")
CONFIG = TrainConfig(epochs=2, batch=12, crop=64)
CPU = Machine("cpu")
ALONE = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
PATIENCE_SECONDS = 180  # a loaded machine takes its time to import torch; below pytest's own limit


@pytest.fixture(scope="module")
def manifest(tmp_path_factory, demo_clips):
    return labelled_manifest(tmp_path_factory.mktemp("labelled"), demo_clips).path


@pytest.fixture(scope="module")
def few(manifest):
    """A manifest of 10 pairs for train, 2 for val and 3 for test, where more would show no more."""
    return few_of(read_manifest(manifest)).path


def arguments(manifest, out, *more, **changed):
    options = {**OPTIONS, **{f"--{name.replace('_', '-')}": str(value) for name, value in changed.items()}}
    return [str(manifest), "--out", str(out), *itertools.chain(*options.items()), *more]


@pytest.fixture(scope="module")
def run(manifest, tmp_path_factory):
    """A whole run of 2 epochs of 4 steps, in this process."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert main(arguments(manifest, out)) == 0
    return out


def test_a_run_says_where_it_comes_from(run, manifest):
    best = read_checkpoint(run)
    assert best.config == replace(LIGHT, pretrained="asset efficientnet-lite0")
    assert best.meta["manifest"] == {"name": "data_manifest.parquet", "sha256": sha256_file(manifest)}
    assert best.meta["num_samples"] == {"train": 48, "val": 12, "test": 12}
    assert best.meta["train"]["batch"] == 12
    assert best.meta["model"] == best.config.to_dict()
    assert set(best.meta) >= {"git", "torch", "device", "val", "counters", "lpips_scale"}
    assert json.loads((run / "config.json").read_text())["train"] == CONFIG.to_dict()


def test_a_run_logs_every_step_and_every_validation(run):
    records = read_records(run)
    assert [(record["kind"], record["step"]) for record in records if record["kind"] == "val"] == [
        ("val", 4),
        ("val", 8),
    ]
    training = [record for record in records if record["kind"] == "train"]
    assert [record["step"] for record in training] == list(range(1, 9))
    assert all(r["loss"] == pytest.approx(r["difficulty"] + 0.1 * r["auxiliary"], abs=1e-5) for r in training)
    board = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0})
    board.Reload()
    assert [event.step for event in board.Scalars("train/loss")] == list(range(1, 9))
    assert [event.value for event in board.Scalars("val/mae")] == pytest.approx(
        [r["mae"] for r in records if "mae" in r]
    )
    assert len(board.Tags()["images"]) == 4


def test_the_best_checkpoint_has_its_card(run):
    card = (run / "best" / "README.md").read_text()
    assert "Labels: levels that people gave." in card
    assert "Pairs: 48 for train, 12 for val, 12 for test." in card
    assert f"| SRCC | {read_checkpoint(run).meta['val']['srcc']:.3f} |" in card


def test_the_report_is_one_file_with_curves_and_the_worst_errors(run):
    page = (run / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert page.count("data:image/jpeg;base64,") == 8
    assert 'src="http' not in page
    assert "<th>quadratic kappa</th>" in page
    assert "Worst errors" in page
    assert "train.batch" in page


def test_names_in_the_report_are_escaped(run, manifest, tmp_path):
    nasty = tmp_path / "<script>alert(1)<|script> & 'so'"
    shutil.copytree(run, nasty)
    samples = [
        s for s in select_samples(read_manifest(manifest), resolution="256p", labels="human") if s.split == "val"
    ]
    path = write_report(nasty, [replace(s, triplet_id=nasty.name) for s in samples[:2]], device=torch.device("cpu"))
    page = path.read_text()
    assert "<script" not in page
    assert (
        page.count("&lt;script&gt;alert(1)&lt;|script&gt; &amp; &#39;so&#39;") == 2 + 2 * 2
    )  # title, heading, pictures


def test_the_best_checkpoint_gives_the_validated_scores(run, manifest):
    val = [s for s in select_samples(read_manifest(manifest), resolution="256p", labels="human") if s.split == "val"]
    scores = [float(load_checkpoint(run).predict(*FrameReader().pair(sample))[0]) for sample in val]
    stored = read_checkpoint(run).meta["val"]["mae"]
    assert np.mean(np.abs(np.array(scores) - [s.level for s in val])) == pytest.approx(stored, abs=1e-4)


def weights_of(run):
    return {name: (run / name / "model.safetensors").read_bytes() for name in ("best", "last")}


def test_killed_and_resumed_is_the_same_to_the_bit(run, manifest, tmp_path):
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "vfidpa_model.train", *arguments(manifest, out)]
    with subprocess.Popen(
        command, env={**os.environ, **ALONE}, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while len(read_records(out)) < 6 and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL  # in its second epoch, not at its end
    assert main(arguments(manifest, out, "--resume")) == 0
    assert weights_of(out) == weights_of(run)
    assert [{**record} for record in read_records(out)] == read_records(run)


def test_resumed_in_the_middle_of_an_epoch_is_the_same_too(run, manifest, tmp_path, monkeypatch):
    ticks = iter([0.0, 1.0, 2.0, 3.0, 4.0])  # one at the start, one or two after each step

    def clock():
        return next(ticks)  # StopIteration in the third step: as sudden as a kill, seen from the files

    options = {"model_config": LIGHT, "config": CONFIG, "machine": CPU}
    with pytest.raises(StopIteration):
        train(manifest, tmp_path / "cut", **options, save_every_seconds=0.5, clock=clock)
    assert torch.load(tmp_path / "cut/last/training_state.pt", weights_only=True)["counters"]["step"] == 2
    monkeypatch.setattr(EfficientNetLite0, "load_pretrained", lambda self: "other weights, or none")
    train(manifest, tmp_path / "cut", **options, resume=True)
    assert read_checkpoint(tmp_path / "cut").config.pretrained == "asset efficientnet-lite0"  # what it started from
    assert weights_of(tmp_path / "cut") == weights_of(run)
    before = weights_of(run)
    known = read_manifest(manifest)  # a column more, as vfidpa_model.predict writes, and another name: the same pairs
    known.with_columns({"score": [1.0] * len(known)}).write(manifest.parent / "scored.parquet")
    train(manifest.parent / "scored.parquet", run, **options, resume=True)  # a finished run has nothing to do
    assert weights_of(run) == before
    known.with_columns({"level": [1.0, *known.table.column("level").to_pylist()[1:]]}).write(
        manifest.parent / "b.parquet"
    )
    with pytest.raises(UsageError, match="was trained on other labelled pairs than this manifest has"):
        train(manifest.parent / "b.parquet", run, **options, resume=True)


def test_two_processes_give_the_loss_curve_of_one(few, tmp_path):
    """What torchrun sets is set here, so that every process is ours to end."""
    options = {"batch": 4}  # two steps an epoch
    assert main(arguments(few, tmp_path / "one", **options)) == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {**os.environ, **ALONE, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "vfidpa_model.train", *arguments(few, tmp_path / "two", **options)]
    processes = [
        subprocess.Popen(command, env={**shared, "RANK": rank, "LOCAL_RANK": rank}, stderr=subprocess.PIPE, text=True)
        for rank in "01"
    ]
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        errors = [process.communicate(timeout=deadline - time.monotonic())[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0], errors
    alone, shared_out = read_records(tmp_path / "one"), read_records(tmp_path / "two")
    assert shared_out[0].pop("kind") == alone[0].pop("kind") == "train"
    assert shared_out[0] == pytest.approx(alone[0], rel=1e-3)  # the first step differs by nothing but the sum's order
    for one, two in zip(alone, shared_out, strict=True):
        assert (one.get("kind"), one["step"]) == (two.get("kind"), two["step"])
        names = [name for name in ("loss", "difficulty", "auxiliary", "mae", "rmse") if name in one]
        assert [two[name] for name in names] == pytest.approx([one[name] for name in names], rel=2e-3, abs=2e-4)


@pytest.mark.parametrize(
    ("changed", "more", "code", "words"),
    [
        ({"resolution": "720p"}, [], 2, "resolution (720p) must be a tier of"),
        ({"labels": "proxy"}, [], 1, "has no proxy labels at 256p, only human; add --labels human"),
        ({"backbone": "resnet"}, [], 2, "backbone ('resnet') must be one of swin_t, efficientnet_lite0, ahiq"),
        ({"precision": "fp16"}, [], 2, "--precision fp16 needs a CUDA device"),
        ({"precision": "int8"}, [], 2, "precision ('int8') must be one of fp32, bf16, fp16"),
        ({"resolution": "480p"}, [], 2, "resolution ('480p') must be one of 256p, 720p, 1080p, all"),
        ({"lr": "nan"}, [], 2, "--lr"),
        ({"lr": -1}, [], 2, "--lr"),
        ({"device": "tpu"}, [], 2, "device 'tpu' must be auto, cpu, cuda, cuda:N or mps"),
        ({"crop": 32}, [], 2, "crop (32) must be 0 (whole frames) or at least 64"),
        ({"seed": 10**10}, [], 2, "--seed"),
        ({"accumulate": 5}, [], 2, "batch (12) must be a multiple of accumulate (5)"),
        ({"target": "speed"}, [], 2, "target ('speed') must be one of level, gain"),
        ({"target": "gain"}, [], 1, "has no accurate_gain at 256p; run dataset_tools.predict"),
        ({"target": "gain"}, ["--head", "ordinal"], 2, "--target gain needs --head regression"),
    ],
)
def test_refused_before_anything_is_written(manifest, tmp_path, capsys, changed, more, code, words):
    assert main(arguments(manifest, tmp_path / "no", *more, **changed)) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("more", "changed", "words"),
    [
        ([], {}, "holds a run already; add --resume"),
        (["--resume"], {"lr": 0.5}, "was trained with train.lr 0.0005, not 0.5; resume with the same options"),
        (["--resume"], {"upsample": "nearest"}, "was trained with model.upsample 'pixelshuffle', not 'nearest'"),
    ],
)
def test_another_run_is_never_overwritten(run, manifest, capsys, more, changed, words):
    before = weights_of(run)
    assert main(arguments(manifest, run, *more, **changed)) == 2
    assert words in capsys.readouterr().err
    assert weights_of(run) == before


def pickled_list(state):
    torch.save([], buffer := io.BytesIO())
    return buffer.getvalue()


@pytest.mark.parametrize("damage", [lambda state: state[: len(state) // 2], lambda state: b"not a state", pickled_list])
def test_a_damaged_state_is_one_line(run, manifest, tmp_path, capsys, damage):
    out = tmp_path / "torn"
    (out / "last").mkdir(parents=True)
    (out / "config.json").write_bytes((run / "config.json").read_bytes())
    state = (run / "last/training_state.pt").read_bytes()
    (out / "last/training_state.pt").write_bytes(damage(state))
    assert main(arguments(manifest, out, "--resume")) == 1
    assert "cannot resume from" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("pairs", ["manifest", "few"])  # seen at a loss, or at the first validation
def test_a_training_that_diverges_ends_in_one_line_and_is_not_the_best(request, pairs, tmp_path, capsys):
    assert main(arguments(request.getfixturevalue(pairs), tmp_path / "wild", lr="1e9")) == 1
    assert "training diverged after" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "wild/best").exists()


def test_stops_early_and_lives_without_validation(few, tmp_path):
    stale = replace(CONFIG, lr=0.0, epochs=5, patience=1)
    train(few, tmp_path / "stale", model_config=LIGHT, config=stale, machine=CPU)
    assert [record["epoch"] for record in read_records(tmp_path / "stale") if record["kind"] == "val"] == [1, 2]
    assert read_checkpoint(tmp_path / "stale").meta["counters"]["best_epoch"] == 1
    known, only_train = read_manifest(few), few.with_name("train_only.parquet")
    rows = [row for row in known.rows() if row["split"] == "train"]
    replace(known, path=only_train, table=known.table.from_pylist(rows, schema=known.table.schema)).write()
    config = replace(CONFIG, epochs=1, precision="fp32")
    out = train(only_train, tmp_path / "blind", model_config=LIGHT, config=config, machine=CPU)
    assert weights_of(out)["best"] == weights_of(out)["last"]


def test_overfits_16_real_pairs(manifest):
    samples = select_samples(read_manifest(manifest), resolution="256p", labels="human")[2::4][:16]
    assert len({sample.level for sample in samples}) == 4
    loader = make_loader(WholePairs(samples, reader=FrameReader()), [list(range(16))], workers=0)
    batch = to_device(next(iter(loader)), torch.device("cpu"))
    torch.manual_seed(0)
    model = create_model(LIGHT).train()
    optimizer = torch.optim.AdamW(model.parameters())
    nothing = torch.full((16,), math.nan)
    for step in range(30):
        optimizer.param_groups[0]["lr"] = learning_rate(step, base=2e-3, num_steps=30, warmup_steps=3)
        assessment = model(batch["img0"], batch["img1"])
        losses = compute_losses(
            assessment, level=batch["level"], distribution=batch["distribution"], lpips_level=nothing, aux_weight=0
        )
        if losses.difficulty < 0.09:  # the MAE itself: nothing in this model differs between train and eval
            break
        optimizer.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        score = model.eval()(batch["img0"], batch["img1"]).score
    assert (score - batch["level"]).abs().mean() < 0.1


@pytest.mark.parametrize(
    ("num_samples", "batch", "world", "expected"),
    [
        (48, 8, 1, (8, 6, 60, 30)),
        (50, 8, 2, (8, 6, 60, 30)),
        (5, 8, 1, (5, 1, 10, 5)),
        (5, 8, 2, (4, 1, 10, 5)),
        (8000, 8, 1, (8, 1000, 10000, 200)),
    ],
)
def test_plan(num_samples, batch, world, expected):
    plan = plan_steps(num_samples, replace(CONFIG, epochs=10, batch=batch), world=world)
    assert (plan.batch, plan.steps_per_epoch, plan.num_steps, plan.warmup_steps) == expected


@pytest.mark.parametrize(("num_samples", "batch", "world"), [(48, 9, 2), (1, 8, 2)])
def test_batches_that_processes_cannot_share(num_samples, batch, world):
    with pytest.raises(UsageError, match="processes"):
        plan_steps(num_samples, replace(CONFIG, batch=batch), world=world)


@pytest.mark.parametrize(
    ("step", "share"), [(0, 0.25), (1, 0.5), (3, 1.0), (4, 1.0), (52, 0.505), (100, 0.01), (999, 0.01)]
)
def test_learning_rate(step, share):
    assert learning_rate(step, base=2.0, num_steps=101, warmup_steps=4) == pytest.approx(2.0 * share)


def test_a_swinging_learning_rate_is_pytorchs_cosine_stepped_every_iteration():
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    for step in range(230):
        expected = learning_rate(step, base=1e-4, num_steps=9, warmup_steps=4, period=100)
        assert schedule.get_last_lr()[0] == pytest.approx(expected, abs=1e-12)
        optimizer.step()
        schedule.step()


def test_the_backbone_starts_from_what_was_asked_for(few, tmp_path, capsys):
    assert main(arguments(few, tmp_path / "scratch", epochs=1, pretrained="none")) == 0
    assert read_checkpoint(tmp_path / "scratch").config.pretrained == "none"
    assert main(arguments(few, tmp_path / "file", pretrained=tmp_path / "mine.pth")) == 1
    assert "mine.pth" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "file").exists()
