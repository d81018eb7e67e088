"""Who is asking: session cookie, bearer token, or a trusted proxy's header; CSRF tokens.

A session is a random token in an HttpOnly, SameSite=Strict cookie; the database holds its hash. Cookies are sent by the
browser whoever caused the request, so a change also needs the header ``X-CSRF-Token``, a keyed hash of the session.
"""

import hashlib
import hmac
import ipaddress
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select
from starlette.requests import Request

from labeling_app.accounts import Account, add_account, check_name, digest, find_row, to_account
from labeling_app.database.tables import sessions, users

if TYPE_CHECKING:
    from labeling_app.annotation.state import ServerState

COOKIE = "vfi_session"
CSRF_HEADER = "x-csrf-token"


def csrf_token(secret: bytes, identity: str) -> str:
    """Return the CSRF token of a session token (or of a proxy's user)."""
    return hmac.new(secret, f"csrf:{identity}".encode(), hashlib.sha256).hexdigest()


def user_of(state: "ServerState", request: Request) -> Account | None:
    """Return who is asking, or ``None``; disabled accounts are nobody."""
    account = _find(state, request)
    return None if account is None or account.disabled else account


def csrf_identity(state: "ServerState", request: Request) -> str | None:
    """Return what this request's CSRF token is bound to; ``None`` for a bearer token, which no browser sends alone."""
    if _bearer(request) is not None:
        return None
    if proxy_name := _proxy_user(state, request):
        return f"proxy:{proxy_name}"
    return request.cookies.get(COOKIE, "")


def client_address(state: "ServerState", request: Request) -> str:
    """Return the address a request comes from; a trusted proxy's word on that is believed."""
    peer = request.client.host if request.client else "unknown"
    forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    return forwarded[:64] if forwarded and _from_proxy(state, request) else peer


def is_https(state: "ServerState", request: Request) -> bool:
    """Return whether the browser speaks HTTPS, to us or to the trusted proxy before us."""
    forwarded = request.headers.get("x-forwarded-proto", "") if _from_proxy(state, request) else ""
    return request.url.scheme == "https" or forwarded == "https"


def _from_proxy(state: "ServerState", request: Request) -> bool:
    try:
        peer = ipaddress.ip_address(request.client.host if request.client else "")
        return any(peer in ipaddress.ip_network(proxy) for proxy in state.settings.trusted_proxies)
    except ValueError:
        return False


def _find(state: "ServerState", request: Request) -> Account | None:
    token = _bearer(request)
    if token is not None:
        with state.store.read() as connection:
            query = select(users).where(users.c.token_sha256 == digest(token))
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else to_account(row)
    if proxy_name := _proxy_user(state, request):
        return _proxy_account(state, proxy_name)
    cookie = request.cookies.get(COOKIE)
    if not cookie:
        return None
    with state.store.read() as connection:
        query = select(users).join(sessions, sessions.c.user_id == users.c.id)
        query = query.where(sessions.c.token_sha256 == digest(cookie), sessions.c.expires_at_us > state.clock())
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else to_account(row)


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _proxy_user(state: "ServerState", request: Request) -> str | None:
    header = state.settings.header_auth
    if header is None or not _from_proxy(state, request):
        return None
    return request.headers.get(header) or None


def _proxy_account(state: "ServerState", name: str) -> Account | None:
    with state.store.read() as connection:
        row = find_row(connection, check_name(name))
    if row is not None:
        return to_account(row)
    return state.store.transact(lambda connection: _find_or_add(connection, name, state.clock()))


def _find_or_add(connection: Connection, name: str, now_us: int) -> Account:
    row = find_row(connection, check_name(name))
    return to_account(row) if row is not None else add_account(connection, name, now_us=now_us)
