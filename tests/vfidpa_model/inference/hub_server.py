"""A hub on this machine: the few routes by which ``huggingface_hub`` makes, fills and reads a repository of models."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

REVISION = "0" * 40


class _Hub(BaseHTTPRequestHandler):
    files: dict[str, dict[str, bytes]]  # repository -> path -> content

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted['organization']}/{wanted['name']}" if wanted.get("organization") else wanted["name"]
            self.files.setdefault(name, {})
            self._json({"url": f"http://{self.headers['Host']}/{name}", "name": name, "id": "1"})
        elif found := re.fullmatch(r"/api/models/(.+)/preupload/main.*", self.path):
            asked = json.loads(body)["files"]
            files = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None} for f in asked]
            self._json({"files": files})
        elif found := re.fullmatch(r"/api/models/(.+)/commit/main.*", self.path):
            for line in body.splitlines():
                part = json.loads(line)
                if part["key"] == "file":
                    self.files[found[1]][part["value"]["path"]] = base64.b64decode(part["value"]["content"])
            self._json(
                {"commitUrl": f"http://{self.headers['Host']}/{found[1]}/commit/{REVISION}", "commitOid": REVISION}
            )
        else:
            self._json({})  # the check of a card's header

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/.+|/tree/.+)?", path):
            if found[1] not in self.files:
                self._json({"error": "Repository not found"}, code=404, headers={"X-Error-Code": "RepoNotFound"})
            elif (found[2] or "").startswith("/tree/"):
                held = self.files[found[1]]
                self._json([{"type": "file", "path": n, "size": len(d), "oid": _oid(d)} for n, d in held.items()])
            else:
                siblings = [{"rfilename": name} for name in self.files[found[1]]]
                self._json({"id": found[1], "sha": REVISION, "siblings": siblings})
        elif found := re.fullmatch(rf"/([^/]+/[^/]+)/resolve/{REVISION}/(.+)", path):
            self._answer(self.files[found[1]][found[2]])
        else:
            self._json({"error": "not found"}, code=404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _json(self, value: object, *, code: int = 200, headers: dict[str, str] | None = None) -> None:
        self._answer(json.dumps(value).encode(), code=code, headers=headers)

    def _answer(self, data: bytes, *, code: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        own = {"Content-Length": str(len(data)), "ETag": f'"{_oid(data)}"', "X-Repo-Commit": REVISION}
        for name, value in {**own, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


def _oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@contextmanager
def serve_hub() -> Iterator[tuple[str, dict[str, dict[str, bytes]]]]:
    """Yield the address of a hub, and what it holds: repository to path to content."""
    files: dict[str, dict[str, bytes]] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Hub", (_Hub,), {"files": files}))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", files
    finally:
        server.shutdown()
        server.server_close()
