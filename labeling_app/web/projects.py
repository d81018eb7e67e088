"""One server for several projects: each project's application below its name, and a page that lists them."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from html import escape

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route

from labeling_app.database.events import Clock, now_us
from labeling_app.settings import Settings
from labeling_app.web.api import check_health
from labeling_app.web.app import create_app
from labeling_app.web.files import FRESH, file_routes, fill
from labeling_app.web.guard import Guard


def create_projects_app(projects: Mapping[str, Settings], *, clock: Clock = now_us) -> Starlette:
    """Return the application of several projects; each has its own people, who sign in to it alone.

    Args:
        projects: Settings by name, as ``read_projects`` gives them.

    Raises:
        ManifestError, StoreError: As ``create_app``, for the first project that cannot be opened.
    """
    apps = {name: create_app(settings, clock=clock) for name, settings in projects.items()}

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for app in apps.values():  # what is mounted is not told of start and end by itself
                await stack.enter_async_context(app.router.lifespan_context(app))
            yield

    return Starlette(
        routes=[
            Route("/", _list_of(projects)),
            *file_routes(),
            Route("/healthz", _health_of(apps)),
            *(Mount(f"/{name}", app) for name, app in apps.items()),
        ],
        middleware=[Middleware(Guard, local_only=any(one.open_mode and one.is_local for one in projects.values()))],
        lifespan=lifespan,
    )


def _list_of(projects: Mapping[str, Settings]) -> Callable[[Request], Response]:
    links = "\n".join(f'<li><a href="{escape(name)}/">{escape(name)}</a></li>' for name in projects)
    languages = {one.language for one in projects.values()}  # theirs if they agree, until the visitor chooses
    page = fill("projects.html", {"projects": links, "language": languages.pop() if len(languages) == 1 else "en"})

    def show(_: Request) -> Response:
        return HTMLResponse(page, headers=FRESH)

    return show


def _health_of(apps: Mapping[str, FastAPI]) -> Callable[[Request], Response]:
    def healthz(_: Request) -> Response:
        for app in apps.values():
            check_health(app.state.bench)
        return JSONResponse({"status": "ok"})

    return healthz
