"""Small manifests, a clock that stands still, and a real server in a process of its own."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text

from dataset_tools.frames import pixels_sha256, write_image
from dataset_tools.manifest import IMAGE_COLUMNS, Manifest, from_rows, read_manifest
from labeling_app.accounts import Account, add_account, hash_password
from labeling_app.annotation.state import ServerState, open_state
from labeling_app.database.store import Store
from labeling_app.settings import Settings
from labeling_app.web.api import install

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
PASSWORD = "correct horse battery"


def make_manifest(folder: Path, num_triplets: int, *, changes: Mapping[int, Mapping[str, Any]] | None = None) -> Path:
    """Write a manifest of ``num_triplets`` over 7 clips, 2 sources and 3 tiers, and its four images; return its path.

    All triplets share the images (an item is told apart by its triplet id); ``changes`` overrides columns by row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for index, column in enumerate(IMAGE_COLUMNS):
        rgb = np.random.default_rng(index).integers(0, 256, (64, 96, 3), dtype=np.uint8)
        write_image(folder / f"{column}.png", rgb)
        hashes[f"{column}_sha256"] = pixels_sha256(rgb)
    rows = [{**_row(index), **hashes, **(changes or {}).get(index, {})} for index in range(num_triplets)]
    path = folder / "data_manifest.parquet"
    from_rows(path, rows).write()
    return path


def _row(index: int) -> dict[str, Any]:
    source, clip = ("videos", "vimeo90k")[index % 2], f"clip{index % 7}"
    interval = 1 + index % 4
    resolution = ("256p", "720p", "1080p")[index % 3]
    return {
        "triplet_id": f"{source}/{clip}/{index:05d}-{index + interval:05d}-{index + 2 * interval:05d}@{resolution}",
        "source": source,
        "clip": clip,
        "resolution": resolution,
        "width": 96,
        "height": 64,
        "interval": interval,
        "img0_pts": 0.0,
        "gt_pts": interval / 25,
        "img1_pts": 2 * interval / 25,
        "split": "train",
        **{column: f"{column}.png" for column in IMAGE_COLUMNS},
    }


def make_rival(manifest: Path, folder: Path, *, predictor: str) -> Path:
    """Write a manifest of the same triplets with other predictions, and its picture; return its path."""
    folder.mkdir()
    rgb = np.random.default_rng(99).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    write_image(folder / "other.png", rgb)
    new = {"pred": "other.png", "pred_sha256": pixels_sha256(rgb), "predictor": predictor}
    path = folder / manifest.name
    from_rows(path, [{**row, **new} for row in read_manifest(manifest).rows()]).write()
    return path


def add_rows(manifest: Manifest, path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``manifest`` with more rows to ``path``."""
    from_rows(path, [*manifest.rows(), *rows], metadata=manifest.metadata).write()


class FakeClock:
    """Microseconds that pass only when told to."""

    def __init__(self, now_us: int = 1_800_000_000_000_000) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        self.now_us += 1  # no two events at the same time
        return self.now_us

    def advance(self, seconds: float) -> None:
        self.now_us += int(seconds * 1_000_000)


def make_state(
    manifest: Path, db_url: str | None = None, *, clock: FakeClock | None = None, **options: Any
) -> ServerState:
    """Open a bench without hidden checks, unless ``options`` ask for them."""
    options = {"gold_rate": 0.0, "repeat_rate": 0.0, **options}
    return open_state(Settings(manifest, db_url=db_url, **options), clock=clock or FakeClock())


@cache
def _password_hash() -> str:
    return hash_password(PASSWORD)  # slow by design, so once


def add_user(store: Store, name: str, *, role: str = "annotator", password: str | None = None) -> Account:
    """Add an account; the only password is ``PASSWORD``."""
    assert password in (None, PASSWORD)
    with store.write() as connection:
        account = add_account(connection, name, now_us=1, role=role)
        if password is not None:
            change = text("UPDATE users SET password_hash = :hash WHERE id = :id")
            connection.execute(change, {"hash": _password_hash(), "id": account.id})
        return account


@dataclass
class ApiServer:
    """The API in a process of its own (no page: it starts faster), that a test may kill at any moment."""

    manifest: Path
    db_url: str
    port: int = 0
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait until it answers; after the first start it keeps its port."""
        command = [sys.executable, "-m", "tests.labeling_app.api_server", str(self.manifest), self.db_url]
        self.process = subprocess.Popen(
            [*command, str(self.port)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
        line = first_line(self.process)
        if not line.strip().isdigit():
            self.process.kill()
            raise AssertionError(f"the server did not start: {line} {self.process.stdout.read()}")
        self.port = int(line)
        assert httpx.get(f"{self.url}/healthz", timeout=START_SECONDS).status_code == 200

    def kill(self) -> None:
        """Kill the server as a power cut would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(timeout=START_SECONDS)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def __enter__(self) -> "ApiServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    """Return the first line that a server prints; kills it when none comes in time."""
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    threading.Thread(target=lambda: lines.put(process.stdout.readline()), daemon=True).start()
    try:
        return lines.get(timeout=START_SECONDS)
    except queue.Empty:
        process.kill()
        raise AssertionError(f"the server said nothing within {START_SECONDS:.0f} s") from None


_APPS: dict[int, tuple[ServerState, FastAPI]] = {}


def _app(state: ServerState) -> FastAPI:
    """Return the one application of a bench; building its routes takes longer than most tests."""
    if id(state) not in _APPS:
        _APPS.clear()
        app = FastAPI()
        install(app, state)
        _APPS[id(state)] = (state, app)
    return _APPS[id(state)][1]


class Client:
    """A browser's side of the API: keeps the cookie, sends the CSRF token."""

    def __init__(self, state: ServerState, *, address: str = "127.0.0.1") -> None:
        self.state = state
        self.http = TestClient(
            _app(state), base_url="http://localhost", client=(address, 50000), follow_redirects=False
        )
        self.csrf = ""

    def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        """Sign in and keep the CSRF token."""
        answer = self.http.post("/signin", json={"name": name, "password": password})
        self.csrf = answer.json().get("csrf", "")
        return answer

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.http.post(path, json=body, headers={"X-CSRF-Token": self.csrf}, **options)

    def patch(self, path: str, body: Any) -> httpx.Response:
        return self.http.patch(path, json=body, headers={"X-CSRF-Token": self.csrf})

    def items(self, count: int = 1) -> list[dict[str, Any]]:
        """Return leased items."""
        answer = self.post("/api/items", {"count": count})
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    def vote(self, item: Mapping[str, Any], level: int = 2, **fields: Any) -> httpx.Response:
        """Vote on an item with an id that follows from it."""
        body = {"vote_id": f"vote-{item['assignment_id']:05d}", "assignment_id": item["assignment_id"], "level": level}
        return self.post("/api/votes", {**body, "seconds": 1.5, **fields})
