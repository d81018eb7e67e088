"""Who is asking: session cookie, bearer token, or a trusted proxy's header; CSRF tokens.

A session is a random token in an HttpOnly, SameSite=Strict cookie; the database holds its hash. Cookies are sent by the
browser whoever caused the request, so a change also needs the header ``X-CSRF-Token``, a keyed hash of the session.
"""

import hashlib
import hmac
import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import Connection, RowMapping, select
from starlette.requests import Request

from labeling_app.accounts import Account, add_account, check_name, digest, find_row, to_account
from labeling_app.database.tables import sessions, users

if TYPE_CHECKING:
    from labeling_app.annotation.state import ServerState

CSRF_HEADER = "x-csrf-token"


def cookie_name(state: "ServerState", request: Request) -> str:
    """Return the name of the session cookie: browsers keep one jar per host, whatever the port.

    The port is the one that the browser sees, so that replicas behind one address share the cookie; the project's
    part keeps a server that later listens there from being taken for this one.
    """
    port = request.url.port or (443 if request.url.scheme == "https" else 80)
    return f"vfi_session_{port}_{hashlib.sha256(b'cookie' + state.secret).hexdigest()[:8]}"


def csrf_token(secret: bytes, identity: str) -> str:
    """Return the CSRF token of a session token (or of a proxy's user)."""
    return hmac.new(secret, f"csrf:{identity}".encode(), hashlib.sha256).hexdigest()


def account_of_row(state: "ServerState", row: RowMapping) -> Account:
    """Return a stored account; in open mode the single trusted user, who needs no password, sees every page.

    That role is lent and not stored: when accounts or a proxy come later, it is gone.
    """
    account = to_account(row)
    return replace(account, role="admin") if state.settings.open_mode and row["password_hash"] is None else account


def is_proxied(state: "ServerState", request: Request) -> bool:
    """Return whether a trusted proxy says who is asking."""
    return _proxy_user(state, request) is not None


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
    return request.cookies.get(cookie_name(state, request), "")


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
        return None if row is None else account_of_row(state, row)
    if proxy_name := _proxy_user(state, request):
        return _proxy_account(state, proxy_name)
    cookie = request.cookies.get(cookie_name(state, request))
    if not cookie:
        return None
    with state.store.read() as connection:
        query = select(users).join(sessions, sessions.c.user_id == users.c.id)
        query = query.where(sessions.c.token_sha256 == digest(cookie), sessions.c.expires_at_us > state.clock())
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else account_of_row(state, row)


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _proxy_user(state: "ServerState", request: Request) -> str | None:
    header = state.settings.header_auth
    if header is None or not _from_proxy(state, request):
        return None
    value = request.headers.get(header, "")
    try:
        return value.encode("latin-1").decode("utf-8") or None
    except UnicodeError:  # a proxy that writes Latin-1, as the standard once said
        return value or None


def _proxy_account(state: "ServerState", name: str) -> Account | None:
    with state.store.read() as connection:
        row = find_row(connection, check_name(name))
    if row is not None:
        return to_account(row)
    return state.store.transact(lambda connection: _find_or_add(connection, name, state.clock()))


def _find_or_add(connection: Connection, name: str, now_us: int) -> Account:
    row = find_row(connection, check_name(name))
    return to_account(row) if row is not None else add_account(connection, name, now_us=now_us)
