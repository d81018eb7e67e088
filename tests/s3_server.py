"""An S3 server for tests: moto's, installed beside the tests' own packages, since it wants older ones than they do.

python -m tests.s3_server     # installs it where it is missing; the tests do so, too
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from dataset_tools.common.stores import connection

MOTO = ("moto[s3]==5.2.5", "flask>=3.1,<4", "flask-cors>=6,<7")
FOLDER = Path(__file__).parents[1] / "build" / f"s3-server-{sys.version_info.major}.{sys.version_info.minor}"
KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
_START_SECONDS = 60


def install() -> Path:
    """Return the folder with the server's packages, made when it is not there."""
    if not FOLDER.is_dir():
        FOLDER.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER.parent) as made:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*command, "--no-warn-conflicts", "--target", f"{made}/packages", *MOTO], check=True)
            if not FOLDER.is_dir():  # another process was faster
                shutil.move(f"{made}/packages", FOLDER)
    return FOLDER


@contextmanager
def serve(*, is_guarded: bool = False) -> Iterator[str]:
    """Yield the address of a server that ends with the block; a guarded one knows nobody's key."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(install())}
    if is_guarded:
        environment["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"
    with listening(["-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port=port, environment=environment):
        yield f"http://127.0.0.1:{port}"


def free_port() -> int:
    """Return the number of a port of this machine that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def listening(arguments: Sequence[str], *, port: int, environment: Mapping[str, str]) -> Iterator[None]:
    """Run Python with these arguments, a server, until the block ends, which begins when it listens."""
    command = [sys.executable, *arguments]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            assert server.poll() is None, f"{arguments[1]} ended with {server.returncode}"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        server.kill()
        server.wait()


@contextmanager
def bucket() -> Iterator[str]:
    """Yield the URL of a bucket of a server that the environment names until the block ends."""
    from pyarrow import fs

    with pytest.MonkeyPatch.context() as patch, serve() as address:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": address}.items():
            patch.setenv(name, value)
        fs.FileSystem.from_uri("s3://bucket?allow_bucket_creation=true")[0].create_dir("bucket")
        yield "s3://bucket"
        connection.cache_clear()  # it is of this server


if __name__ == "__main__":
    install()
