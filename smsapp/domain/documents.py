"""Parts of documents that callers see, the same in an answer and in an event."""

from datetime import UTC, datetime
from typing import Any

from smsapp.domain.failures import Failure, explain
from smsapp.domain.status import BAD_NEWS, Status

_WAITING = frozenset({Status.PENDING, Status.UNCONFIRMED})


def rfc3339(value: datetime) -> str:
    """Return a time in UTC, with milliseconds."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def failure_of(status: Status, code: int | None) -> Failure | None:
    """Return why it failed, or why it waits; a message that goes well has no error, whatever it met on its way."""
    if status in BAD_NEWS:
        return explain(code, status=status)
    return explain(code, status=status) if status in _WAITING and code is not None else None


def error_document(failure: Failure) -> dict[str, Any]:
    """Return a failure as callers see it."""
    return {
        "code": failure.code or None,
        "class": failure.failure_class,
        "sentence": failure.sentence,
        "advice": failure.advice,
        "retryable": failure.retryable,
        "scope": failure.scope,
        "who_acts": failure.actor,
        "doc_url": failure.doc_url if failure.code else None,
    }
