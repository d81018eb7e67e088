"""A cluster that is reached from outside (``ray://``), and what a killed run leaves behind in a shared folder."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dataset_tools import verify
from dataset_tools.common.cluster import join_cluster
from dataset_tools.errors import UsageError, VfiError

RUN = """
import sys, time, pathlib
from dataset_tools.common.cluster import _witness
with _witness(pathlib.Path(sys.argv[1])):
    print("running", flush=True)
    time.sleep(300)
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """The address of a cluster's client server; the cluster ends with the module."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "1"]
    command += ["--port", str(ports[0]), "--ray-client-server-port", str(ports[1]), "--min-worker-port", "0"]
    command += ["--max-worker-port", "0", "--include-dashboard", "false", "--object-store-memory", str(80 << 20)]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    head = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert head.poll() is None
            try:
                socket.create_connection(("127.0.0.1", ports[1]), timeout=1).close()
                break
            except OSError:
                time.sleep(0.2)
        there = f"ray://127.0.0.1:{ports[1]}"
        with ExitStack() as joined:  # once: each connection is a process more in the cluster
            while True:
                try:
                    joined.enter_context(join_cluster(there))
                    break
                except UsageError:  # Ray gives that process 30 seconds to start, which a busy machine may need
                    if time.monotonic() > deadline:
                        raise
            yield there
    finally:
        head.send_signal(signal.SIGTERM)  # it ends the processes that it has started
        head.wait(timeout=60)


def test_a_command_outside_the_cluster(address, unpredicted, capsys):
    assert verify.main([str(unpredicted.path)]) == 0
    alone = capsys.readouterr().out
    assert verify.main([str(unpredicted.path), "--ray", address]) == 0
    assert capsys.readouterr().out == alone
    unpredicted.file(unpredicted.rows()[0], "img0").unlink()
    assert verify.main([str(unpredicted.path), "--ray", address]) == 1
    assert "no such file" in capsys.readouterr().out


def test_a_machine_that_does_not_see_the_folder(address, tmp_path):
    with (
        join_cluster(address, reads=tmp_path / "mount") as joined,
        pytest.raises(VfiError, match=r"does not see \S+mount: it must be one shared folder, at the same path"),
    ):
        list(joined.run(str, [("only", (1,))]))


def test_files_of_killed_runs_go_and_those_of_living_ones_stay(address, tmp_path):
    killed = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "running\n"
    killed.kill()
    killed.wait()
    assert len(left := witnesses(tmp_path)) == 1
    with join_cluster(address, writes_to=tmp_path):
        (living,) = witnesses(tmp_path)
        assert living not in left
        with join_cluster(address, writes_to=tmp_path):
            assert len(witnesses(tmp_path)) == 2
        assert witnesses(tmp_path) == [living]
    assert not witnesses(tmp_path)


def witnesses(folder: Path) -> list[Path]:
    return list(folder.glob(".ray-*"))
