"""Why the server says no: the message is for a log, the code for programs and for the page, which has its text.

A code never changes its meaning; ``texts/*.json`` holds ``refused.CODE`` in every language.
"""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import Request

from dataset_tools.errors import UsageError, VfiError

STATUS = {
    "sign_in_first": 401,
    "wrong_password": 401,
    "too_many_attempts": 429,
    "foreign_page": 403,
    "csrf": 403,
    "role": 403,
    "name": 400,
    "account": 400,
    "request": 400,  # also what FastAPI refuses by itself, with its own status
    "fields": 422,
    "too_large": 413,
    "not_yours": 404,
    "no_image": 404,
    "no_page": 404,
    "conflict": 409,
    "changed": 409,
    "name_alike": 400,
    "last_admin": 409,
    "foreign_host": 400,
    "database": 503,
    "server": 500,
}


class ApiError(HTTPException):
    """A request is refused, with one of the codes of ``STATUS``."""

    def __init__(self, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(STATUS[code], message, headers)
        self.code = code


class _AsciiResponse(JSONResponse):
    """JSON in ASCII: a refusal repeats what was sent, which may hold half a character that UTF-8 cannot write."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode("ascii")


def error_response(
    code: str, detail: Any, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the answer that says no."""
    return _AsciiResponse({"detail": detail, "code": code}, status or STATUS[code], headers)


def answer_errors(app: FastAPI) -> None:
    """Let ``app`` answer every error with a code."""
    app.add_exception_handler(AnyHTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_wrong_fields)
    app.add_exception_handler(VfiError, _answer_error)
    app.add_exception_handler(DBAPIError, _answer_database_error)


async def _answer_http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AnyHTTPException)
    code = error.code if isinstance(error, ApiError) else "request"
    return error_response(code, error.detail, status=error.status_code, headers=error.headers)


async def _answer_wrong_fields(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return error_response("fields", jsonable_encoder(error.errors()))


async def _answer_error(_: Request, error: Exception) -> JSONResponse:
    fallback = "request" if isinstance(error, UsageError) else "server"
    return error_response(getattr(error, "code", fallback), str(error))


async def _answer_database_error(_: Request, error: Exception) -> JSONResponse:
    # Not the statement and its values: they are nobody's business. The client keeps its vote and tries again.
    return error_response("database", "the database did not answer; try again", headers={"Retry-After": "1"})
