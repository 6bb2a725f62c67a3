"""Rows as the documents that callers see."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from smsapp.breakers import queries as breakers
from smsapp.breakers.queries import ParkedScope
from smsapp.content.rules import is_removed, shown_options
from smsapp.ids import public_id, public_job_id
from smsapp.messages.carrier_time import latency_s
from smsapp.messages.error_document import error_document, failure_of
from smsapp.messages.explain import explain_parked, explain_status
from smsapp.messages.models import Message, MessageEvent
from smsapp.messages.new_message import NewMessage
from smsapp.messages.status import Outcome, Status
from smsapp.queue.lanes import Lane
from smsapp.times import optional_rfc3339
from smsapp.twilio.error_codes import explain

_NOTHING_PARKED: Mapping[str, ParkedScope] = MappingProxyType({})


def message_view(
    message: Message | NewMessage,
    *,
    warnings: Sequence[str] = (),
    parked: Mapping[str, ParkedScope] = _NOTHING_PARKED,
) -> dict[str, Any]:
    """Return a message as callers see it, stored or about to be; `parked` are the scopes that it may wait for."""
    status = Status(message.status)
    outcome = Outcome(message.outcome) if message.outcome else None
    next_attempt_at = message.due_at if status is Status.PENDING else None
    failure = failure_of(status, message.error_code)
    explanation = explain_status(status, outcome, failure)
    if parked and (scope := _waits_for(message, parked)):
        failure = explain(scope.error_code, http_status=401)
        explanation = explain_parked(scope.reason, scope.until)
        next_attempt_at = scope.until
    created_at = optional_rfc3339(message.created_at)

    def shown(time: datetime | None) -> str | None:
        # The times of a new message are one; to write it three times is a fifth of making the message and its answer.
        return created_at if time is message.created_at else optional_rfc3339(time)

    return {
        "id": public_id(message.id),
        "status": status,
        "outcome": outcome,
        "explanation": explanation,
        "error": error_document(failure, until=next_attempt_at) if failure else None,
        "to": message.to,
        "from": message.sender or message.actual_sender,
        "messaging_service_sid": message.messaging_service_sid,
        "body": None if message.sensitive or _is_gone(message) else message.body,
        "sensitive": message.sensitive,
        "redacted_at": optional_rfc3339(message.redacted_at),
        "media_urls": message.media_urls,
        **shown_options(message.options, sensitive=message.sensitive),
        "client_reference": message.client_reference,
        "tags": message.tags,
        "job_id": public_job_id(message.job_id) if message.job_id else None,
        "callback_url": message.callback_url,
        "encoding": message.encoding,
        "segments": message.num_segments or message.segments,
        "twilio_sid": message.twilio_sid,
        "attempt": message.attempt,
        "next_attempt_at": shown(next_attempt_at),
        "price": message.price,
        "price_unit": message.price_unit,
        "on_unconfirmed": message.on_unconfirmed,
        "on_failure": message.on_failure,
        "send_at": optional_rfc3339(message.send_at),
        "priority": Lane(message.lane).priority,
        "deliver_by": optional_rfc3339(message.deliver_by),
        "quiet_hours": message.quiet_hours,
        "created_at": created_at,
        "submitted_at": optional_rfc3339(message.submitted_at),
        "sent_at": optional_rfc3339(message.sent_at),
        "finished_at": optional_rfc3339(message.finished_at),
        "carrier_at": optional_rfc3339(message.carrier_at),
        "latency_s": latency_s(message.submitted_at, message.finished_at, message.carrier_at),
        "updated_at": shown(message.updated_at),
        "warnings": list(warnings),
    }


def _waits_for(message: Message | NewMessage, parked: Mapping[str, ParkedScope]) -> ParkedScope | None:
    """Return the parked scope that a message waits for, None if it may go or waits for longer by itself."""
    if message.status != Status.PENDING or message.due_at is None:
        return None
    keys = (breakers.ACCOUNT, message.sender or message.messaging_service_sid or "")
    scope = next((parked[key] for key in keys if key in parked), None)
    return scope if scope and message.due_at <= scope.until else None


def _is_gone(message: Message | NewMessage) -> bool:
    """Return whether the text was removed; one of media alone never had any."""
    return not message.body and is_removed(message.body, message.media_urls, message.options)


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
        "carrier_at": optional_rfc3339(event.carrier_at),
        "repeats": event.repeats,
        "payload": event.payload,
    }
