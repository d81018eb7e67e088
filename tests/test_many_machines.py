"""The same on a Ray cluster as on one machine: rows, pixels, scores; also when a machine is lost in the middle."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dataset_tools import extract, materialize, predict, verify
from dataset_tools import filter as filter_command
from dataset_tools.common.cluster import check_answers, difference, join_cluster, software
from dataset_tools.errors import UsageError, VfiError
from dataset_tools.manifest import read_manifest
from tests.dataset_tools import replicas
from tests.dataset_tools.extracting import contents
from tests.dataset_tools.prediction.test_predict import MEAN
from tests.vfidpa_model.light_checkpoint import save_light_run
from vfidpa_model import predict as assess

NUM_CLIPS, FRAMES = 8, 30


@pytest.fixture(scope="module")
def cluster() -> Iterator:
    """A cluster of two machines with one core each; this process has joined it."""
    import ray
    from ray.cluster_utils import Cluster

    config = {
        "health_check_initial_delay_ms": 0,
        "health_check_period_ms": 500,  # a lost machine is soon known to be lost
        "worker_niceness": 0,  # or other processes of this machine would come first
    }
    here = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 << 20, "_system_config": config}
    made = Cluster(initialize_head=True, head_node_args=here)
    made.second = made.add_node(num_cpus=1, object_store_memory=80 << 20)
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def clips(tmp_path_factory, demo_clips) -> Path:
    """Eight short clips, and a file that is none."""
    folder = tmp_path_factory.mktemp("clips")
    whole = replicas.read_frames(demo_clips / "bikes.mp4", count=NUM_CLIPS * FRAMES)
    frames = [np.ascontiguousarray(frame[:, 240:400]) for frame in whole]  # less to compute
    for number in range(NUM_CLIPS):
        replicas.write_video(folder / f"{number}.mp4", frames[number * FRAMES : (number + 1) * FRAMES])
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def run_extract(clips: Path, out: Path, *more: str) -> int:
    options = ["--count", "18", "--intervals", "1-3", "--resolutions", "256p", "--predictor", "none"]
    return extract.main(["--source", f"videos:{clips}", "--out", str(out), *options, *more])


@pytest.fixture(scope="module")
def here(clips, tmp_path_factory) -> Path:
    """The data set as local processes make it; not to be changed."""
    out = tmp_path_factory.mktemp("here") / "set"
    assert run_extract(clips, out, "--workers", "1") == 0
    return out


def facts(out: Path) -> set[str]:
    """Return the journal's lines; their order is that in which clips were done."""
    return set((out / ".extraction/journal.jsonl").read_text().splitlines())


def is_decoding(node) -> bool:
    """Return whether a decoding process runs on a machine of the cluster: below its raylet."""
    below = {node.all_processes["raylet"][0].process.pid}
    for path in sorted(Path("/proc").glob("[0-9]*/stat"), key=lambda path: int(path.parent.name)):
        try:
            parent, command = int(path.read_text().rpartition(")")[2].split()[1]), path.with_name("cmdline").read_text()
        except OSError:
            continue
        if parent in below:
            below.add(int(path.parent.name))
            if "dataset_tools.workers.process" in command:
                return True
    return False


def test_a_machine_is_lost_in_the_middle(cluster, clips, here, tmp_path):
    out, codes = tmp_path / "set", []
    run = threading.Thread(target=lambda: codes.append(run_extract(clips, out, "--ray", "auto")))
    run.start()
    deadline = time.monotonic() + 60
    while not (list(out.rglob("*.png")) and is_decoding(cluster.second)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert run.is_alive()
    assert is_decoding(cluster.second)
    cluster.remove_node(cluster.second, allow_graceful=False)
    cluster.second = cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    run.join(timeout=120)
    assert codes == [0]
    assert contents(out) == contents(here)
    assert facts(out) == facts(here)


def test_predictions_checks_and_scores(cluster, here, tmp_path, capsys):
    sets = [Path(shutil.copytree(here, tmp_path / name)) for name in ("alone", "many")]
    run = tmp_path / "run"
    save_light_run(run)
    for folder, more in zip(sets, ([], ["--ray", "auto"]), strict=True):
        manifest = folder / "data_manifest.parquet"
        (folder / read_manifest(manifest).rows()[0]["img0"]).unlink()
        assert predict.main([str(manifest), "--predictor", MEAN, "--device", "cpu", *more]) == 1
        assert assess.main([str(run), "--manifest", str(manifest), "--device", "cpu", *more]) == 1
        assert verify.main([str(manifest), *more]) == 1
    alone, many = (contents(folder) for folder in sets)
    assert alone == many
    said = capsys.readouterr()
    for text in (said.out, said.err):
        lines = text.splitlines()
        assert [line for line in lines if f"{sets[0]}" in line] == [  # Ray, too, says "many" of a lost machine
            line.replace(f"{sets[1]}", f"{sets[0]}") for line in lines if f"{sets[1]}" in line
        ]


@pytest.mark.timeout(600)  # processes that import PyTorch; in a new environment each compiles it first
def test_ray_data_gives_what_the_commands_give(cluster, here, tmp_path):
    assert filter_command.main([str(here), "--where", "resolution = '256p'", "--out", str(tmp_path / "set")]) == 0
    manifest, run = tmp_path / "set" / "data_manifest.parquet", tmp_path / "run"
    save_light_run(run)
    example = Path(__file__).parents[1] / "examples" / "ray_data.py"
    command = [sys.executable, str(example), str(manifest), str(run), str(tmp_path / "scored")]
    environment = {**os.environ, "RAY_ADDRESS": cluster.address, "PYTHONPATH": str(example.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment)
    assert done.returncode == 0, done.stderr
    assert predict.main([str(manifest), "--device", "cpu"]) == 0
    assert assess.main([str(run), "--manifest", str(manifest), "--device", "cpu"]) == 0
    scored = {row["triplet_id"]: row for row in pq.read_table(tmp_path / "scored").to_pylist()}
    rows = read_manifest(manifest).rows()
    assert scored.keys() == {row["triplet_id"] for row in rows}
    for row in rows:
        of_row = scored[row["triplet_id"]]
        assert of_row["psnr"] == pytest.approx(row["pred_psnr"], abs=1e-3)
        assert of_row["score"] == pytest.approx(row["score"], abs=1e-4)


def test_frames_made_again(cluster, clips, here, tmp_path, capsys, monkeypatch):
    shutil.copy(here / "data_manifest.parquet", tmp_path)
    monkeypatch.chdir(tmp_path)  # machines work elsewhere
    command = ["data_manifest.parquet", "--source", f"videos:{clips}", "--ray", "auto"]
    assert materialize.main(command) == 0
    pictures = {name: data for name, data in contents(here).items() if name.endswith(".png")}
    assert {name: data for name, data in contents(tmp_path).items() if name.endswith(".png")} == pictures
    assert f"{len(pictures)} frames equal" in capsys.readouterr().out


def test_machines_that_do_not_fit(cluster, clips, here, tmp_path, capsys):
    with (
        join_cluster("auto", reads=tmp_path / "mount") as joined,
        pytest.raises(VfiError, match=r"does not see \S+mount: it must be one shared folder, at the same path"),
    ):
        list(joined.run(str, [("only", (1,))]))
    told = software()
    assert difference(told, told) is None
    assert difference(told, {**told, "av": "1.0"}) == f"av 1.0 instead of {told['av']}"
    for more, says in (
        (["--workers", "2"], "--workers 2 does not go with --ray"),
        (["--device", "cuda:1"], "--device cuda:1 must be auto, cpu or cuda with --ray"),
    ):
        assert run_extract(clips, tmp_path / "set", "--ray", "auto", *more) == 2
        assert says in capsys.readouterr().err


def test_nobody_listens():
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
        with pytest.raises(UsageError, match=rf"--ray {address}: no Ray cluster answers there .* ray start --head"):
            check_answers(address)
    for other in ("auto", "local", "anyscale://name"):  # Ray's to find out
        check_answers(other)


def test_without_ray(here, tmp_path):
    command = [
        sys.executable,
        "-m",
        "dataset_tools.verify",
        str(here / "data_manifest.parquet"),
        "--ray",
        "127.0.0.1:1",
    ]
    hidden = tmp_path / "ray"
    hidden.mkdir()
    (hidden / "ray.py").write_text("raise ModuleNotFoundError(\"No module named 'ray'\", name='ray')")
    paths = [str(hidden), str(Path(__file__).parents[1])]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    )
    assert done.returncode == 2
    assert "ray is not installed: this needs the extra 'ray'" in done.stderr
