"""The server behind the page: this machine only, for who knows the key, and only what the page needs."""

import os
import secrets
import signal
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.responses import FileResponse, RedirectResponse, Response
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from dataset_tools.errors import VfiError
from vfidpa_model.studio_page.session import Session

HOST = "127.0.0.1"
_HOSTS = ("127.0.0.1", "localhost")
# Gradio brings about fifty routes more: files, proxies, streams. The page uses none of them.
_PREFIXES = ("/assets/", "/static/", "/media/", "/download/", "/gradio_api/queue/", "/gradio_api/heartbeat/")
_EXACTLY = (
    "/",
    "/config",
    "/theme.css",
    "/favicon.ico",
    "/gradio_api/upload",
    "/gradio_api/upload_progress",
    "/gradio_api/startup-events",
)
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "X-Frame-Options": "DENY"}


class StudioError(VfiError):
    """The server cannot start."""


class OnlyThisMachine:
    """ASGI middleware: refuses other host names and origins, who does not have the key, and unknown routes."""

    def __init__(self, app: ASGIApp, *, key: str) -> None:
        self.app, self._key = app, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is wanted; close a socket that is not HTTP."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] != "http":
            await self.app(scope, receive, send)
        else:
            refusal = self._refusal(Request(scope))
            await (refusal or self.app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        origin = request.headers.get("origin")
        if request.url.hostname not in _HOSTS or (origin and urlsplit(origin).netloc != request.url.netloc):
            return _plain("this page answers to this machine only", 403)
        path, cookie = request.url.path, f"vfi_studio_{request.url.port}"
        if not secrets.compare_digest(request.cookies.get(cookie, "").encode(), self._key.encode()):
            if path == "/" and secrets.compare_digest(request.query_params.get("key", "").encode(), self._key.encode()):
                answer = RedirectResponse("/", 303, headers={"Cache-Control": "no-store"})
                answer.set_cookie(cookie, self._key, httponly=True, samesite="strict")
                return answer
            return _plain("open the address that the command printed: it holds the key to this page", 403)
        if not (path.startswith(_PREFIXES) or path in _EXACTLY):
            return _plain("there is nothing here", 404)
        return None


def create_app(session: Session, *, key: str) -> FastAPI:
    """Return the application for a session; ``key`` lets in."""
    import gradio as gr

    from vfidpa_model.studio_page.page import STYLE, build_page

    app = FastAPI(title="Studio", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(OnlyThisMachine, key=key)

    @app.get("/media/{token}", include_in_schema=False)
    def media(token: str) -> Response:
        return _found(session.media(token))

    @app.get("/download/{token}", include_in_schema=False)
    def download(token: str) -> Response:
        return _found(session.media(token), is_download=True)

    return gr.mount_gradio_app(
        app,
        build_page(session),
        path="/",
        ssr_mode=False,
        run_history=False,
        enable_monitoring=False,
        footer_links=[],
        # The default theme asks a font server for its fonts.
        theme=gr.themes.Base(
            primary_hue="teal", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ).set(
            button_primary_background_fill="*primary_700",  # white on the usual shade is hard to read
            button_primary_background_fill_hover="*primary_800",
            button_primary_background_fill_dark="*primary_700",
            button_primary_background_fill_hover_dark="*primary_800",
        ),
        css_paths=STYLE,
    )


def serve(folder: Path, *, port: int, device: str) -> None:
    """Serve until stopped.

    Args:
        folder: What is made goes there; its owner removes it.

    Raises:
        StudioError: The port is not free.
    """
    import uvicorn

    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise StudioError(f"cannot listen on {HOST}:{port}: {reason}; try --port 0") from error
    key = secrets.token_urlsafe(16)
    with listener:
        session = Session(folder, device=device)
        config = uvicorn.Config(
            create_app(session, key=key), access_log=False, log_level="warning", timeout_graceful_shutdown=2
        )
        port = listener.getsockname()[1]
        print(f"the studio is on http://{HOST}:{port}/?key={key} (Ctrl-C ends it and removes its files)", flush=True)
        signal.signal(signal.SIGTERM, _end)  # uvicorn raises it again when it has ended: the files would stay
        try:
            with suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
                uvicorn.Server(config).run(sockets=[listener])
        finally:
            session.worker.close()


def _end(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _found(thing: Path | bytes | None, *, is_download: bool = False) -> Response:
    headers = {"Cache-Control": "private, no-store", **_HEADERS}
    if isinstance(thing, bytes):
        kind = "image/png" if thing.startswith(b"\x89PNG") else "image/jpeg"
        return Response(thing, media_type=kind, headers=headers)
    if thing is None or not thing.is_file():
        return _plain("there is nothing here", 404)
    return FileResponse(thing, filename=thing.name if is_download else None, headers=headers)


def _plain(text: str, status: int) -> Response:
    return Response(text + "\n", status, headers={"Cache-Control": "no-store"}, media_type="text/plain")
