"""The web application: our own routes first, then Gradio's page below ``/`` for who is signed in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.requests import Request

from labeling_app.annotation.state import open_state
from labeling_app.database.events import Clock, now_us
from labeling_app.settings import Settings
from labeling_app.web import api
from labeling_app.web.files import FRESH, file_routes, fill
from labeling_app.web.gate import OnlyWhatIsNeeded, SignInFirst, page_user
from labeling_app.web.page import build_page, page_head


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
    """Add the sign-in page, the description of the API, and the constant files of the page: they need no session."""
    signin = fill("signin.html", {"open": str(settings.open_mode).lower(), "language": settings.language})
    reference = fill("reference.html", {})

    @app.get("/signin", include_in_schema=False)
    def signin_page() -> HTMLResponse:
        return HTMLResponse(signin, headers=FRESH)

    @app.get("/docs", include_in_schema=False)
    def reference_page() -> HTMLResponse:
        return HTMLResponse(reference)

    app.router.routes.extend(file_routes())
