"""Begin and end each request, by WSGI or by the fast path: an id first, a log line and metrics last.

By WSGI each passes `Front` before anything else: behind it a target has one form, and a body fails in one way.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import orjson
import structlog
from pydantic import BaseModel

from smsapp.db.idempotency import IdempotentRequest
from smsapp.ids import new_id
from smsapp.metrics import REQUESTS
from smsapp.web.auth import Caller
from smsapp.web.plain_http import SECURITY_HEADERS, MalformedTargetError, parse_target, problem_answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger(__name__)

_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


_MAX_DIGITS = 20


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Who makes a request, its id, and its Idempotency-Key's fingerprint (None without a key)."""

    caller: Caller
    request_id: str
    idempotent: IdempotentRequest | None


def meaning(request: BaseModel) -> bytes:
    """Return what a valid request means: the same however its JSON is written, and with defaults spelled out or not."""
    return orjson.dumps(request.model_dump(exclude_defaults=True), option=orjson.OPT_SORT_KEYS)


def begin(given: str) -> str:
    """Return the request's id (the caller's own if it sent a plain one) and bind it to the log context."""
    request_id = given if _REQUEST_ID.fullmatch(given) else new_id().hex
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return request_id


def end(
    request_id: str, method: str, endpoint: str, status: int, *, began: float, message_id: str | None
) -> dict[str, str]:
    """Log and measure the response, and return the headers that all responses share; `began` is of `perf_counter`."""
    elapsed_s = time.perf_counter() - began
    REQUESTS.labels(endpoint, status).observe(elapsed_s)
    log.info(
        "request_answered",
        method=method if method in _METHODS else "other",  # any word that the caller likes
        endpoint=endpoint,
        status=status,
        ms=round(elapsed_s * 1000, 1),
        message_id=message_id,
    )
    return {"X-Request-Id": request_id, **SECURITY_HEADERS}


class Front:
    """Passes requests on to the application, each with its target in origin form and a body that fails as OSError."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        began = time.perf_counter()
        method: str = environ["REQUEST_METHOD"]
        try:
            target = parse_target(method, raw_target(environ) or "/")
        except MalformedTargetError:
            detail = "The request line names no address of this service."
            return _refuse(environ, start_response, problem=(400, "bad_request", detail), began=began)
        if "\0" in environ["PATH_INFO"]:  # nothing is called so, and PostgreSQL cannot even look for it
            detail = "There is nothing at this address."
            return _refuse(environ, start_response, problem=(404, "not_found", detail), began=began)
        if target.authority is not None:
            # It replaces the Host field: https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
            environ |= {"RAW_URI": target.raw, "REQUEST_URI": target.raw, "HTTP_HOST": target.authority}
            environ["PATH_INFO"] = environ["PATH_INFO"] or "/"
        environ["wsgi.input"] = _Body(environ["wsgi.input"], environ.get("CONTENT_LENGTH", ""))
        return self._app(environ, start_response)


def raw_target(environ: "WSGIEnvironment") -> str | None:
    """Return the target as requested, percent-escapes untouched; None if the server does not say."""
    target: str | None = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    return target


def _refuse(
    environ: "WSGIEnvironment",
    start_response: "StartResponse",
    *,
    problem: tuple[int, str, str],
    began: float,
) -> Iterable[bytes]:
    status, code, detail = problem
    request_id = begin(environ.get("HTTP_X_REQUEST_ID", ""))
    headers = end(request_id, environ["REQUEST_METHOD"], "none", status, began=began, message_id=None)
    answer = problem_answer(status, code, detail, request_id=request_id, headers=headers)
    start_response(answer.status, answer.headers)
    return [answer.body]


class _Body:
    """A request's body; reading raises OSError for whatever is wrong with it, also for an early end.

    Servers raise errors of their own kinds (gunicorn: not even OSError for a malformed chunk), or none.
    """

    def __init__(self, file: IO[bytes], announced: str) -> None:
        self._file = file
        self._left = int(announced) if announced.isdecimal() and len(announced) < _MAX_DIGITS else 0

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, fewer only at the end.

        Raises:
            OSError: the body cannot be read, or ends before its announced length.
        """
        try:
            block = self._file.read(size)
        except Exception as error:  # noqa: BLE001 - each server has its own errors, and their texts quote the body
            raise OSError(f"the body cannot be read: {type(error).__name__}") from None
        self._left -= len(block)
        ended = size < 0 or len(block) < size
        if ended and self._left > 0:
            raise OSError("the body ended early")
        return block
