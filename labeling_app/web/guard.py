"""What stands before every route: sign-in, role, CSRF, the size of a body, the host name, and safe headers."""

import hmac
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastapi import Depends
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labeling_app.accounts import ROLES, Account
from labeling_app.web.errors import ApiError, error_response
from labeling_app.web.identity import CSRF_HEADER, csrf_identity, csrf_token, user_of

if TYPE_CHECKING:
    from labeling_app.annotation.state import ServerState

MAX_BODY_BYTES = 64 * 1024  # of the bench's own routes
MAX_PAGE_BODY_BYTES = 1024 * 1024  # of Gradio's events
_OWN_PATHS = ("/api/", "/signin", "/signout", "/img/")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]", "::1")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def path_below(scope: Scope) -> str:
    """Return the path that is asked for below the application's own address: ASGI's path holds the whole."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def account_of(state: "ServerState", *, at_least: str = "annotator") -> Callable[[Request], Account]:
    """Return a dependency that gives the signed-in account, after checking its role and, for a change, CSRF.

    Raises:
        ApiError: 401 nobody is signed in, 403 the role is too low or the CSRF token does not fit.
    """

    def check(request: Request) -> Account:
        account = user_of(state, request)
        if account is None:
            raise ApiError("sign_in_first", "sign in first", {"WWW-Authenticate": "Bearer"})
        if ROLES.index(account.role) < ROLES.index(at_least):
            raise ApiError("role", f"this needs the role {at_least}")
        if request.method not in _SAFE_METHODS:
            check_csrf(state, request, request.headers.get(CSRF_HEADER, ""))
        return account

    return check


def signed_in(state: "ServerState") -> Any:
    """Return the dependency for routes that only need somebody to be signed in."""
    return Depends(account_of(state))


def check_csrf(state: "ServerState", request: Request, given: str) -> None:
    """Refuse a change that the page itself did not send (403)."""
    identity = csrf_identity(state, request)
    if identity is None:
        return
    if not hmac.compare_digest(given.encode(), csrf_token(state.secret, identity).encode()):
        raise ApiError("csrf", "the CSRF token is missing or wrong; load the page again")


class Guard:
    """ASGI middleware: refuses oversized bodies (413) and, for a local server, foreign host names (400)."""

    def __init__(self, app: ASGIApp, *, local_only: bool) -> None:
        self.app, self.local_only = app, local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self.local_only and _host_name(headers.get(b"host", b"")) not in _LOCAL_HOSTS:
            # A page from elsewhere whose name is made to point here (DNS rebinding) arrives with its own name.
            await error_response("foreign_host", "this server answers to localhost only")(scope, receive, send)
            return
        own = path_below(scope).startswith(_OWN_PATHS)
        limit = MAX_BODY_BYTES if own else MAX_PAGE_BODY_BYTES
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limit:
            await _too_large(limit)(scope, receive, send)
            return
        body = _LimitedBody(receive, limit)
        guarded = _SafeHeaders(send, body, own=own)
        with suppress(_TooLargeError, ClientDisconnect):  # who is gone needs no answer, and no traceback in the log
            await self.app(scope, body, guarded)
        if body.is_too_large and not guarded.started:
            await _too_large(limit)(scope, receive, send)


class _TooLargeError(Exception):
    """A body without Content-Length grew over the limit."""


class _LimitedBody:
    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._left = receive, limit

    @property
    def is_too_large(self) -> bool:
        return self._left < 0

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self.is_too_large:
                raise _TooLargeError
        return message


class _SafeHeaders:
    def __init__(self, send: Send, body: _LimitedBody, *, own: bool) -> None:
        self._send, self._body, self._own, self.started = send, body, own, False

    async def __call__(self, message: Message) -> None:
        if self._body.is_too_large and not self.started:
            return  # FastAPI makes its own answer (400) of the error: ours (413) follows
        if message["type"] == "http.response.start":
            self.started = True
            present = {name.lower() for name, _ in message.get("headers", [])}
            extra: Sequence[tuple[bytes, bytes]] = _HEADERS
            if self._own and b"cache-control" not in present:
                extra = (*extra, (b"cache-control", b"no-store"))
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await self._send(message)


def _too_large(limit: int) -> JSONResponse:
    return error_response("too_large", f"a body must be at most {limit} bytes")


def _host_name(host: bytes) -> str:
    name = host.decode("latin-1")
    return name[: name.rindex("]") + 1] if "]" in name else name.partition(":")[0]
