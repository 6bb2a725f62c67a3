"""Parts of documents that API responses and events share."""

from datetime import datetime
from typing import Any

from smsapp.messages.status import BAD_NEWS, Status
from smsapp.times import optional_rfc3339
from smsapp.twilio.error_codes import Failure, explain

_WAITING = frozenset({Status.PENDING, Status.UNCONFIRMED})


def failure_of(status: Status, code: int | None) -> Failure | None:
    """Return why the message failed or waits; None for one that goes well, whatever errors its earlier attempts met."""
    if status in BAD_NEWS:
        return explain(code, status=status)
    return explain(code, status=status) if status in _WAITING and code is not None else None


def error_document(failure: Failure, *, until: datetime | None = None) -> dict[str, Any]:
    """Return a failure as callers see it; `until` is how long a message waits for it at least, None where it ended."""
    return {
        "code": failure.code or None,
        "class": failure.failure_class,
        "sentence": failure.sentence,
        "advice": failure.advice,
        "retryable": failure.retryable,
        "scope": failure.scope,
        "who_acts": failure.actor,
        "doc_url": failure.doc_url if failure.code else None,
        "until": optional_rfc3339(until),
    }
