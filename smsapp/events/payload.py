"""Make the documents that consumers get, the same one each time: of rows that are only ever appended to."""

from collections.abc import Mapping
from typing import Any

from smsapp.events.queries import FeedEvent, HistoryEntry, Received
from smsapp.events.types import OF_OUTCOME, EventType, outcome_told
from smsapp.ids import inbound_id, public_id
from smsapp.messages.error_document import error_document, failure_of
from smsapp.messages.explain import explain_status
from smsapp.messages.status import Outcome, Status
from smsapp.times import rfc3339

_ANNOUNCED: Mapping[str, Outcome] = {str(kind): outcome for outcome, kind in OF_OUTCOME.items()}


def render_event(told: FeedEvent) -> dict[str, Any]:
    """Return an event as consumers get it: pulled, pushed, today or after a week."""
    return {
        "id": f"evt_{told.id.hex}",
        "seq": told.seq,
        "type": told.type,
        "timestamp": rfc3339(told.occurred_at),
        "data": _data(told),
    }


def _data(told: FeedEvent) -> dict[str, Any]:
    if told.message_id is None:
        return told.data or {}
    if told.type == EventType.MESSAGE_RECEIVED:
        return {"id": inbound_id(told.message_id)} | (_received(told.received) if told.received else {})
    message = told.message
    about = {
        "id": public_id(told.message_id),
        **(_line(told.type, told.line) if told.line else {}),
        "to": message and message.to,
        "client_reference": message and message.client_reference,
        "tags": message and message.tags,
        "created_at": message and rfc3339(message.created_at),
    }
    return about | (told.data or {})


def _line(kind: str, line: HistoryEntry) -> dict[str, Any]:
    """Return where the message stood after this line of its history."""
    try:
        status = Status(line.status)
    except ValueError:
        return {"status": line.status}  # a word that Twilio added; it says nothing of the message
    outcome = _ANNOUNCED.get(kind) or outcome_told(status, line.reason)
    failure = failure_of(status, line.error_code)
    return {
        "status": status,
        "outcome": outcome,
        "explanation": explain_status(status, outcome, failure),
        "error": error_document(failure) if failure else None,
        "twilio_sid": line.twilio_sid,
        "attempt": line.attempt,
        "source": line.source,
    }


def _received(text: Received) -> dict[str, Any]:
    return {
        "from": text.sender,
        "to": text.to,
        "body": text.body,
        "messaging_service_sid": text.messaging_service_sid,
        "opt_out_type": text.opt_out_type,
        "twilio_sid": text.twilio_sid,
    }
