"""Signing in and out. Passwords are checked slowly and few times; in open mode a name is enough."""

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter
from sqlalchemy import Connection, RowMapping
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from labeling_app.accounts import Account, add_account, check_name, find_row, require_row, verify_password
from labeling_app.accounts.sessions import SESSION_SECONDS, close_session, open_session
from labeling_app.accounts.throttle import lock_name, read_attempts, seconds_to_wait
from labeling_app.annotation.state import ServerState
from labeling_app.annotation.voting import leave
from labeling_app.database.events import Event, append
from labeling_app.web.errors import ApiError
from labeling_app.web.guard import check_csrf
from labeling_app.web.identity import (
    CSRF_HEADER,
    account_of_row,
    client_address,
    cookie_name,
    csrf_token,
    is_https,
    is_proxied,
    user_of,
)

_MAX_PASSWORD = 256
# Few threads of their own: a hash takes a core and 19 MiB, and those at work must not wait for those who come.
_HASHING = ThreadPoolExecutor(max(1, (os.cpu_count() or 2) // 2), thread_name_prefix="sign-in")


def signin_router(state: ServerState) -> APIRouter:
    """Return ``POST /signin`` and ``POST /signout``, for JSON (answers JSON) and forms (answers a redirect)."""
    router = APIRouter()
    home = f"{state.settings.root_path}/"
    entrance = f"{home}signin"

    @router.post("/signin", include_in_schema=False)
    async def signin(request: Request) -> Response:
        fields = await _fields(request)
        name, password = str(fields.get("name", "")), str(fields.get("password", ""))
        account, token = await _sign_in(state, request, name, password)
        response: Response
        if _is_form(request):
            response = RedirectResponse(home, 303)
        else:
            csrf = csrf_token(state.secret, token)
            response = JSONResponse({"user": account.name, "role": account.role, "csrf": csrf})
        response.set_cookie(
            cookie_name(state, request),
            token,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=is_https(state, request),
            path=home,
        )
        return response

    @router.post("/signout", include_in_schema=False)
    async def signout(request: Request) -> Response:
        fields = await _fields(request) if _is_form(request) else {}
        given = request.headers.get(CSRF_HEADER) or str(fields.get("csrf", ""))
        proxied = await run_in_threadpool(_end_session, state, request, given)
        # Behind a proxy that signs people in, only the proxy can sign them out: the page goes there, or says so.
        following = (state.settings.sign_out_url or home) if proxied else entrance
        response: Response
        if _is_form(request):
            response = RedirectResponse(following, 303)
        else:
            response = JSONResponse({"proxied": proxied, "next": state.settings.sign_out_url if proxied else entrance})
        response.delete_cookie(cookie_name(state, request), path=home, httponly=True, samesite="strict")
        return response

    return router


async def _sign_in(state: ServerState, request: Request, name: str, password: str) -> tuple[Account, str]:
    """Return the account that name and password open, and the token of its new session, or raise 401, 403 or 429."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ApiError("foreign_page", "sign in on the page of this server")
    name, address = check_name(name), client_address(state, request)
    row = await run_in_threadpool(_look_up, state, name, address)
    loop = asyncio.get_running_loop()
    account = await loop.run_in_executor(_HASHING, _account, state, row, name, password)
    agent = request.headers.get("user-agent", "")[:200]
    token = await run_in_threadpool(_let_in, state, name, address, row, account, agent)
    if account is None or token is None:
        raise ApiError("wrong_password", "name or password is wrong")
    return account, token


def _look_up(state: ServerState, name: str, address: str) -> RowMapping | None:
    """Return the account's row, or raise 429 before the slow look at the password."""
    with state.store.read() as connection:
        row = find_row(connection, name)
        _throttle(state, connection, name, address, row)
    return row


def _let_in(
    state: ServerState, name: str, address: str, row: RowMapping | None, account: Account | None, agent: str
) -> str | None:
    """Log how the attempt ended and return the token of a new session, ``None`` for a wrong password, or raise 429."""

    def work(connection: Connection) -> str | None:
        # Once more, now that nobody else with this name can come between: however many try at once, on however many
        # replicas, no more of them than the limit learn whether their password was right.
        lock_name(connection, name)
        _throttle(state, connection, name, address, row)
        now_us = state.clock()
        if account is None:
            user_id = None if row is None else row["id"]
            details = {"name": name, "address": address}
            append(connection, Event(kind="sign_in_failed", at_us=now_us, user_id=user_id, payload=details))
            return None
        details = {"address": address, "agent": agent}
        append(connection, Event(kind="sign_in", at_us=now_us, user_id=account.id, payload=details))
        return open_session(connection, account.id, now_us=now_us)

    return state.store.transact(work)


def _throttle(state: ServerState, connection: Connection, name: str, address: str, row: RowMapping | None) -> None:
    user_id = None if row is None else row["id"]
    limits, now_us = state.sign_in_limits, state.clock()
    since_us = now_us - limits.window_seconds * 1_000_000
    attempts = read_attempts(connection, name=name, user_id=user_id, since_us=since_us)
    wait = seconds_to_wait(attempts, name=name, address=address, now_us=now_us, limits=limits)
    if wait > 0:
        seconds = int(wait) + 1
        raise ApiError(
            "too_many_attempts", f"too many attempts; try again in {seconds} s", {"Retry-After": str(seconds)}
        )


def _account(state: ServerState, row: RowMapping | None, name: str, password: str) -> Account | None:
    """Return the account behind ``row`` if the password opens it; in open mode a name without one is enough."""
    if state.settings.open_mode and (row is None or row["password_hash"] is None):
        account = state.store.transact(lambda connection: _open_account(state, connection, name))
    elif len(password) <= _MAX_PASSWORD and verify_password(row, password) and row is not None:
        account = account_of_row(state, row)
    else:
        return None
    return None if account.disabled else account


def _open_account(state: ServerState, connection: Connection, name: str) -> Account:
    if find_row(connection, name) is None:
        add_account(connection, name, now_us=state.clock())
    return account_of_row(state, require_row(connection, name))


def _end_session(state: ServerState, request: Request, given_csrf: str) -> bool:
    """Release what the annotator holds, end the session, and return whether a proxy goes on signing them in."""
    account, cookie = user_of(state, request), request.cookies.get(cookie_name(state, request))
    proxied = is_proxied(state, request)
    if account is None or (cookie is None and not proxied):
        return False
    check_csrf(state, request, given_csrf)
    leave(state, account)

    def work(connection: Connection) -> None:
        if cookie is not None:
            close_session(connection, cookie)
        append(connection, Event(kind="sign_out", at_us=state.clock(), user_id=account.id))

    state.store.transact(work)
    return proxied


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


async def _fields(request: Request) -> dict[str, Any]:
    body = await request.body()
    try:
        if _is_form(request):
            return {key: values[0] for key, values in parse_qs(body.decode(), max_num_fields=10).items()}
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError("request", "the body must be JSON or a form with name and password") from None
    if not isinstance(fields, dict):
        raise ApiError("request", "the body must be a JSON object with name and password")
    return fields
