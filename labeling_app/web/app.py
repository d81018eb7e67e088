"""The web application: our own routes first, then Gradio's page below ``/`` for who is signed in."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from starlette.requests import Request

from labeling_app.annotation.state import open_state
from labeling_app.database.events import Clock, now_us
from labeling_app.settings import Settings
from labeling_app.web import api
from labeling_app.web.gate import OnlyWhatIsNeeded, SignInFirst, page_user
from labeling_app.web.page import MEDIA_TYPES, TEXTS, VIEWER, build_page, page_head, viewer_base, viewer_files

_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_FRESH = {"Cache-Control": "no-store"}


def create_app(settings: Settings, *, clock: Clock = now_us) -> FastAPI:
    """Return the application that labels one manifest; ``clock`` gives microseconds since 1970.

    Raises:
        ManifestError: The manifest cannot be read or holds nothing to label.
        StoreError: The database cannot be opened.
    """
    state = open_state(settings, clock=clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        state.close()

    # FastAPI's own pages under /docs and /redoc load code from a network that may not be there.
    app = FastAPI(title="Labelling bench", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.bench = state
    app.add_middleware(SignInFirst, state=state)
    app.add_middleware(OnlyWhatIsNeeded)  # before api.install: its guard then stands outside
    api.install(app, state)
    _add_pages(app, settings)

    async def signed_in(request: Request) -> str | None:
        return await page_user(state, request)

    app = gr.mount_gradio_app(
        app,
        build_page(),
        path="/",
        auth_dependency=signed_in,
        ssr_mode=False,
        run_history=False,
        enable_monitoring=False,
        footer_links=[],
        # The default theme asks Google for its fonts.
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        head=page_head(),
    )
    return app


def _add_pages(app: FastAPI, settings: Settings) -> None:
    """Add the sign-in page and the constant files of the page, which need no session."""
    values = {"base": "." + viewer_base(), "open": str(settings.open_mode).lower(), "language": settings.language}
    signin, reference = (_fill(VIEWER / name, values) for name in ("signin.html", "reference.html"))
    texts = {path.stem: path.read_bytes() for path in sorted(TEXTS.glob("*.json"))}
    names = {language: json.loads(data)["language.name"] for language, data in texts.items()}

    @app.get("/signin", include_in_schema=False)
    def signin_page() -> HTMLResponse:
        return HTMLResponse(signin, headers=_FRESH)

    @app.get("/docs", include_in_schema=False)
    def reference_page() -> HTMLResponse:
        return HTMLResponse(reference)

    @app.get("/texts", include_in_schema=False)
    def page_languages() -> dict[str, str]:
        return names

    @app.get("/texts/{language}.json", include_in_schema=False)
    def page_texts(language: str) -> Response:
        data = texts.get(language, texts["en"])
        return Response(data, media_type=MEDIA_TYPES[".json"], headers={"Cache-Control": "no-cache"})

    @app.get(viewer_base() + "/{name:path}", include_in_schema=False)
    def viewer_file(name: str) -> Response:
        data = viewer_files().get(name)
        if data is None:
            return Response(status_code=404)
        return Response(data, media_type=MEDIA_TYPES["." + name.rpartition(".")[2]], headers=_FOR_EVER)


def _fill(path: Path, values: Mapping[str, str]) -> str:
    """Return a page's markup with its constants put in; nothing that a user wrote gets here."""
    markup = path.read_text(encoding="utf-8")
    for name, value in values.items():
        markup = markup.replace("{{" + name + "}}", value)
    return markup
