"""Browsers break off fetches all the time: the server goes on, and its log stays empty."""

import logging
import socket
import struct

import httpx
import numpy as np
import pytest

from dataset_tools.frames import write_image
from labeling_app.settings import Settings
from tests.labeling_app.browser_fixtures import WAIT_MS, running

WAIT_SECONDS = WAIT_MS / 1000


@pytest.fixture
def log():
    """What the web server logs from warnings upwards."""
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append
    yield records, handler
    logging.getLogger("uvicorn.error").removeHandler(handler)


def break_off(port, request, *, after_bytes):
    """Send ``request``, read some of the answer, and reset the connection while the rest is on its way."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(WAIT_SECONDS)
    client.connect(("127.0.0.1", port))
    client.sendall(request.encode())
    received = 0
    while received < after_bytes and (part := client.recv(min(2048, after_bytes - received))):
        received += len(part)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by a reset
    client.close()
    return received


def test_a_picture_that_is_no_longer_wanted(manifest, log):
    records, handler = log
    pixels = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), dtype=np.uint8)
    for role in ("gt", "pred"):
        write_image(manifest.parent / f"{role}.png", pixels)  # 5 MB: more than any socket holds
    with running(Settings(manifest, open_mode=True)) as server, httpx.Client(base_url=server.url) as http:
        logging.getLogger("uvicorn.error").addHandler(handler)
        http.headers["X-CSRF-Token"] = http.post("/signin", json={"name": "Ada"}).json()["csrf"]
        (item,) = http.post("/api/items", json={"count": 1}, timeout=WAIT_SECONDS).json()["items"]
        address, whole = item["images"]["gt"], (manifest.parent / "gt.png").read_bytes()
        cookie = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
        head = f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nCookie: {cookie}\r\n"
        for extra in ("", "Range: bytes=1000-\r\n", "Connection: close\r\n"):
            for after_bytes in (0, 1, 600, 100_000):
                assert break_off(server.port, f"{head}{extra}\r\n", after_bytes=after_bytes) == after_bytes
        for path in ("/signin", "/signout", "/api/votes", "/api/skips"):  # half a body, then nothing
            start = head.replace(f"GET {address}", f"POST {path}") + f"X-CSRF-Token: {http.headers['X-CSRF-Token']}\r\n"
            for kind in ("application/json", "application/x-www-form-urlencoded"):
                break_off(server.port, f"{start}Content-Type: {kind}\r\nContent-Length: 900\r\n\r\n{{", after_bytes=0)
        answer = http.get(address, timeout=WAIT_SECONDS)
        assert (answer.status_code, answer.content) == (200, whole)
        assert http.get("/healthz", timeout=WAIT_SECONDS).status_code == 200
    assert [(record.getMessage(), record.exc_info) for record in records] == []
