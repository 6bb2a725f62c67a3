"""Errors as the caller sees them: RFC 9457 problem documents, and one map from exceptions to responses.

A problem never echoes input, which may be personal data, and never exposes internals.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import orjson
import structlog
from flask import Flask, Response, g
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from smsapp.db.idempotency import IdempotencyKeyReusedError
from smsapp.queue.overload import OverloadedError
from smsapp.uploads.rows import UnreadableUpload
from smsapp.web.plain_http import PROBLEM_TYPE, problem_document

log = structlog.get_logger(__name__)

RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """One faulty part of a request. `pointer` is a JSON Pointer into the body, or `?name` or `Header-Name`."""

    pointer: str
    code: str
    detail: str


@dataclass(slots=True)
class ProblemError(Exception):
    """The request is answered with this problem document."""

    status: int
    code: str
    detail: str
    faults: list[Fault] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)


def invalid_request(*faults: Fault) -> ProblemError:
    """Return the problem for a request with these faults, at least one."""
    detail = faults[0].detail if len(faults) == 1 else "The request has faults; `errors` names each."
    return ProblemError(400, "invalid_request", detail, list(faults))


def problem_response(
    status: int,
    code: str,
    detail: str,
    *,
    faults: list[Fault] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the problem document as a response."""
    errors = [{"pointer": f.pointer, "code": f.code, "detail": f.detail} for f in faults or ()]
    members = {"errors": errors} if errors else {}
    document = problem_document(status, code, detail, request_id=g.get("request_id"), **members)
    return Response(orjson.dumps(document), status, headers, content_type=PROBLEM_TYPE)


def init_app(app: Flask) -> None:
    """Answer every error with a problem document."""
    for kind, handler in _HANDLERS.items():
        app.register_error_handler(kind, handler)
    app.after_request(_stay_on_this_host)


def _problem(error: ProblemError) -> Response:
    return problem_response(
        error.status, error.code, error.detail, faults=error.faults, headers=error.headers
    )


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    code, detail = _HTTP.get(status, ("http_error", HTTPStatus(status).description))
    kept = ("Allow", "Retry-After")
    headers = {name: value for name, value in error.get_headers() if name in kept}
    return problem_response(status, code, detail, headers=headers)


def _stay_on_this_host(response: Response) -> Response:
    """Redirect to path and query alone.

    werkzeug redirects to the host that the request names, by its header and its text, and whoever makes the request may
    name any. We redirect nowhere else.
    """
    if 300 <= response.status_code < 400 and "Location" in response.headers:
        response.headers["Location"] = _path_and_query(response.headers["Location"])
        response.data = b""
    return response


def _path_and_query(url: str) -> str:
    """Return an address without its host; a path that begins with two slashes would name one again."""
    parts = urlsplit(url)
    path = "/" + parts.path.lstrip("/\\")
    return f"{path}?{parts.query}" if parts.query else path


def _key_reused(_error: IdempotencyKeyReusedError) -> Response:
    detail = (
        "This key was used before, with another request; use a new key for a new request. Requests are compared by "
        "what they mean: the order of members, spaces and defaults that are spelled out make no difference."
    )
    faults = [Fault("Idempotency-Key", "reused", detail)]
    return problem_response(422, "idempotency_key_reused", detail, faults=faults)


def _unreadable_upload(error: UnreadableUpload) -> Response:
    code = "malformed_json" if error.code == "malformed_json" else "invalid_upload"
    faults = [Fault(error.pointer, error.code, error.detail)]
    return problem_response(400, code, error.detail, faults=faults)


def _overloaded(error: OverloadedError) -> Response:
    return problem_response(
        503,
        "overloaded",
        f"Too many {error.what} wait already; nothing was stored. Try again later.",
        headers={"Retry-After": str(round(error.retry_after.total_seconds()))},
    )


def _database_away(error: Exception) -> Response:
    log.error("database_away", error=type(error).__name__)
    return problem_response(
        503,
        "database_unavailable",
        # It must not say "nothing was stored": a commit whose reply is lost may have happened.
        "The database does not answer. Repeat the request, a POST with its Idempotency-Key.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def _unexpected(error: Exception) -> Response:
    log.error("unexpected_error", error=type(error).__name__, exc_info=error)
    return problem_response(
        500, "internal_error", "Something broke on our side; the request id finds it in our logs."
    )


_HANDLERS: Mapping[type[Exception], Callable[[Any], Response]] = {
    ProblemError: _problem,
    HTTPException: _http,
    IdempotencyKeyReusedError: _key_reused,
    UnreadableUpload: _unreadable_upload,
    OverloadedError: _overloaded,
    OperationalError: _database_away,
    InterfaceError: _database_away,
    PoolTimeoutError: _database_away,
    Exception: _unexpected,
}
_HTTP = {  # fixed phrases: Python's own change between its versions
    400: ("bad_request", "The request cannot be read."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not take that method."),
    413: ("too_large", "The request body is larger than 64 KiB."),
}
