"""What the server answers at all: Gradio's own routes are closed, half-open connections end."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from labeling_app.settings import Settings
from labeling_app.web import server as web_server
from labeling_app.web.app import create_app
from labeling_app.web.server import server_config
from tests.labeling_app.helpers import make_manifest

CLOSED = [
    ("POST", "/gradio_api/upload"),
    ("POST", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/call/predict"),
    ("POST", "/gradio_api/run/predict"),
    ("GET", "/gradio_api/heartbeat/abc"),
    ("GET", "/gradio_api/queue/data?session_hash=abc"),
    ("GET", "/gradio_api/file=/etc/passwd"),
    ("GET", "/gradio_api/proxy=https://example.org"),
    ("GET", "/gradio_api/info"),
    ("GET", "/gradio_api/startup-events"),
    ("GET", "/config"),
    ("GET", "/monitoring"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/robots.txt"),
    ("GET", "/no/such/page"),
    ("POST", "/"),
    ("DELETE", "/assets/index.js"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("gate")
    manifest = make_manifest(folder, 4)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    patch = pytest.MonkeyPatch()
    patch.setattr(web_server.PromptProtocol, "header_seconds", 0.5)
    running = uvicorn.Server(server_config(create_app(Settings(manifest, open_mode=True, port=port))))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join(20)
    patch.undo()


@pytest.fixture(scope="module")
def anna(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server) as client:
        assert client.post("/signin", json={"name": "anna"}).status_code == 200
        yield client


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_gradios_own_routes_answer_404(anna: httpx.Client, method: str, path: str) -> None:
    answer = anna.request(method, path, content=b"x" * 1000 if method == "POST" else None)
    assert (answer.status_code, answer.json()["code"]) == (404, "no_page")


def test_the_page_loads_all_the_same(anna: httpx.Client) -> None:
    page = anna.get("/")
    assert page.status_code == 200
    assert "/viewer/" in page.text
    assert anna.get("/theme.css").status_code == 200


def closes_after(server: str, sent: bytes) -> float:
    """Return after how many seconds the server ends a connection on which only ``sent`` came."""
    with socket.create_connection(("127.0.0.1", int(server.rpartition(":")[2])), timeout=10) as connection:
        connection.sendall(sent)
        begun = time.monotonic()
        while connection.recv(65536):
            pass
        return time.monotonic() - begun


WHOLE = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n", WHOLE + b"GET /hea"])
def test_headers_that_do_not_come_end_the_connection(server: str, sent: bytes) -> None:
    assert 0.3 < closes_after(server, sent) < 5


def test_a_connection_that_waits_for_its_next_request_stays(anna: httpx.Client, server: str) -> None:
    with socket.create_connection(("127.0.0.1", int(server.rpartition(":")[2])), timeout=10) as connection:
        for _ in range(3):
            connection.sendall(WHOLE)
            answer = b""
            while not answer.endswith(b'"ok"}'):
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")
            time.sleep(0.8)
