"""What can go wrong, as exceptions that carry the facts of the service's problem document."""

import json
from dataclasses import dataclass
from typing import Any


class SmsappError(Exception):
    """Any failure that this client reports."""


class Unreachable(SmsappError):
    """No answer came, however often it was tried; whether the last request arrived is not known."""


class InvalidSignature(SmsappError):
    """A request that claims to be the service's is not signed with your secret, or is too old."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One faulty part of a request. `pointer` is a JSON Pointer into the body, `?name`, or a header's name."""

    pointer: str
    code: str
    detail: str


class ApiError(SmsappError):
    """The service refused. Branch on `code`, which stays; `detail` is for people."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code", "unknown"))
        self.detail = str(problem.get("detail", "The answer is no problem document."))
        self.request_id: str | None = problem.get("request_id")
        self.faults = [Fault(f["pointer"], f["code"], f["detail"]) for f in problem.get("errors", ())]
        places = "".join(f"; {fault.pointer or 'the body'}: {fault.detail}" for fault in self.faults)
        super().__init__(f"{status} {self.code}: {self.detail}{places}")


class InvalidRequest(ApiError):
    """400, 413, 415: the request is wrong, and `faults` says where."""


class Unauthorized(ApiError):
    """401, 403: the API key is missing, unknown or revoked."""


class NotFound(ApiError):
    """404: there is no such thing."""


class Conflict(ApiError):
    """409: not in its present state, such as `too_late_to_cancel`."""


class Gone(ApiError):
    """410: events after that number are not kept any more."""


class Refused(ApiError):
    """422: `recipient_opted_out`, or `idempotency_key_reused`."""


class Unavailable(ApiError):
    """5xx, however often it was tried; a later repetition with the same Idempotency-Key does no harm."""


_KINDS: dict[int, type[ApiError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: InvalidRequest,
    415: InvalidRequest,
    422: Refused,
}


def api_error(status: int, body: bytes) -> ApiError:
    """Return the error of an answer; one that is no problem document (a proxy's page, say) has `code` unknown."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    kind = Unavailable if status >= 500 else _KINDS.get(status, ApiError)
    return kind(status, problem if isinstance(problem, dict) else {})
