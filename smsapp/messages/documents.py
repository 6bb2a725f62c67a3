"""Rows as the documents that callers see."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from smsapp.ids import public_id, public_job_id
from smsapp.messages.error_document import error_document, failure_of
from smsapp.messages.explain import explain_status
from smsapp.messages.models import Message, MessageEvent
from smsapp.messages.status import Outcome, Status
from smsapp.queue.lanes import Lane
from smsapp.times import optional_rfc3339


def message_view(message: Message | Mapping[str, Any], *, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Return a message as callers see it, from its row or from the values of one about to be written."""
    get: Callable[[str], Any] = message.get if isinstance(message, Mapping) else partial(getattr, message)
    status = Status(get("status"))
    outcome = Outcome(get("outcome")) if get("outcome") else None
    failure = failure_of(status, get("error_code"))
    return {
        "id": public_id(get("id")),
        "status": status,
        "outcome": outcome,
        "explanation": explain_status(status, outcome, failure),
        "error": error_document(failure) if failure else None,
        "to": get("to"),
        "from": get("sender"),
        "messaging_service_sid": get("messaging_service_sid"),
        "body": None if get("sensitive") else get("body"),
        "sensitive": get("sensitive"),
        "redacted_at": optional_rfc3339(get("redacted_at")),
        "media_urls": get("media_urls"),
        "client_reference": get("client_reference"),
        "tags": get("tags"),
        "job_id": public_job_id(get("job_id")) if get("job_id") else None,
        "callback_url": get("callback_url"),
        "encoding": get("encoding"),
        "segments": get("num_segments") or get("segments"),
        "twilio_sid": get("twilio_sid"),
        "attempt": get("attempt"),
        "next_attempt_at": optional_rfc3339(get("due_at")) if status is Status.PENDING else None,
        "price": get("price"),
        "price_unit": get("price_unit"),
        "on_unconfirmed": get("on_unconfirmed"),
        "on_failure": get("on_failure"),
        "send_at": optional_rfc3339(get("send_at")),
        "priority": Lane(get("lane")).priority,
        "deliver_by": optional_rfc3339(get("deliver_by")),
        "quiet_hours": get("quiet_hours"),
        "created_at": optional_rfc3339(get("created_at")),
        "submitted_at": optional_rfc3339(get("submitted_at")),
        "sent_at": optional_rfc3339(get("sent_at")),
        "finished_at": optional_rfc3339(get("finished_at")),
        "updated_at": optional_rfc3339(get("updated_at")),
        "warnings": list(warnings),
    }


def event_view(event: MessageEvent) -> dict[str, Any]:
    """Return an event as callers see it."""
    return {
        "seq": event.seq,
        "source": event.source,
        "status": event.status,
        "applied": event.applied,
        "reason": event.reason,
        "attempt": event.attempt,
        "error_code": event.error_code,
        "twilio_sid": event.twilio_sid,
        "received_at": optional_rfc3339(event.received_at),
        "payload": event.payload,
    }
