"""What of the application can be asked for at all: our own routes, and of Gradio's what the page itself needs."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from labeling_app.accounts import Account, AccountError
from labeling_app.annotation.state import ServerState
from labeling_app.web.errors import error_response
from labeling_app.web.guard import path_below
from labeling_app.web.identity import user_of

_OWN = ("/api/", "/img/", "/texts/", "/viewer/")
_OWN_EXACTLY = ("/signin", "/signout", "/docs", "/openapi.json", "/healthz", "/texts")
# Gradio brings about fifty more: uploads, files, queues, event streams, proxies. The page uses none of them.
_GRADIO = ("/assets/", "/static/")
_GRADIO_EXACTLY = ("/", "/theme.css", "/favicon.ico")
_READS = ("GET", "HEAD")
_FRESH = {"Cache-Control": "no-store"}


class OnlyWhatIsNeeded:
    """ASGI middleware: everything that is neither the bench's nor needed to load the page answers 404."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is wanted; close a socket that is not HTTP."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http" and not _is_needed(path_below(scope), scope["method"]):
            await error_response("no_page", "there is nothing here")(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class SignInFirst:
    """Sends who is not signed in from the page to the sign-in page; Gradio alone would answer a bare 401."""

    def __init__(self, app: ASGIApp, *, state: ServerState) -> None:
        self.app, self.state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a GET of ``/`` without a session with a redirect, pass on everything else."""
        if scope["type"] != "http" or path_below(scope) != "/" or scope["method"] not in _READS:
            await self.app(scope, receive, send)
            return
        try:
            account = await run_in_threadpool(user_of, self.state, Request(scope))
        except AccountError as error:  # a proxy signed somebody in under a name that cannot be taken
            await error_response(error.code, str(error))(scope, receive, send)
            return
        if account is None:
            await RedirectResponse(f"{self.state.settings.root_path}/signin", 303, headers=_FRESH)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


async def page_user(state: ServerState, request: Request) -> str | None:
    """Return the name of who is asking for a part of the page, or ``None``."""
    try:
        account: Account | None = await run_in_threadpool(user_of, state, request)
    except AccountError:
        return None
    return account.name if account else None


def _is_needed(path: str, method: str) -> bool:
    if path.startswith(_OWN) or path in _OWN_EXACTLY:
        return True
    return method in _READS and (path.startswith(_GRADIO) or path in _GRADIO_EXACTLY)
