"""Begin and end each request, by WSGI or by the fast path: an id first, a log line and metrics last."""

import re
import time
from dataclasses import dataclass

import structlog

from smsapp.db.idempotency import IdempotentRequest
from smsapp.ids import new_id
from smsapp.metrics import REQUESTS
from smsapp.web.auth import Caller

log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Who makes a request, its id, and its Idempotency-Key's fingerprint (None without a key)."""

    caller: Caller
    request_id: str
    idempotent: IdempotentRequest | None


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
        method=method,
        endpoint=endpoint,
        status=status,
        ms=round(elapsed_s * 1000, 1),
        message_id=message_id,
    )
    return {
        "X-Request-Id": request_id,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",  # numbers and texts are personal data
    }
