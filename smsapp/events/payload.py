"""Render the documents that consumers get, from append-only rows, so that each rendering gives the same document."""

from collections.abc import Mapping
from typing import Any

from smsapp.events.queries import FeedEvent, HistoryEntry, InboundText
from smsapp.events.types import OF_OUTCOME, EventType, outcome_told
from smsapp.ids import inbound_id, public_id
from smsapp.messages.error_document import error_document, failure_of
from smsapp.messages.explain import explain_status
from smsapp.messages.status import Outcome, Status
from smsapp.times import optional_rfc3339, rfc3339

_ANNOUNCED: Mapping[str, Outcome] = {str(kind): outcome for outcome, kind in OF_OUTCOME.items()}


def render_event(event: FeedEvent) -> dict[str, Any]:
    """Return an event as consumers get it, the same whether pulled or pushed, today or in a week."""
    return {
        "id": f"evt_{event.id.hex}",
        "seq": event.seq,
        "type": event.type,
        "timestamp": rfc3339(event.occurred_at),
        "data": _data(event),
    }


def _data(event: FeedEvent) -> dict[str, Any]:
    if event.message_id is None:
        return event.data or {}
    if event.type == EventType.MESSAGE_RECEIVED:
        return {"id": inbound_id(event.message_id)} | (_received(event.received) if event.received else {})
    message = event.message
    about = {
        "id": public_id(event.message_id),
        **(_entry(event.type, event.entry) if event.entry else {}),
        "to": message and message.to,
        "client_reference": message and message.client_reference,
        "tags": message and message.tags,
        "created_at": message and rfc3339(message.created_at),
    }
    return about | (event.data or {})


def _entry(kind: str, entry: HistoryEntry) -> dict[str, Any]:
    """Return the state of the message after this history entry."""
    try:
        status = Status(entry.status)
    except ValueError:
        return {"status": entry.status}  # a status that Twilio added; it says nothing about the message
    outcome = _ANNOUNCED.get(kind) or outcome_told(status, entry.reason)
    failure = failure_of(status, entry.error_code)
    return {
        "status": status,
        "outcome": outcome,
        "explanation": explain_status(status, outcome, failure),
        "error": error_document(failure) if failure else None,
        "twilio_sid": entry.twilio_sid,
        "attempt": entry.attempt,
        "source": entry.source,
        "from": entry.sender,
        "carrier_at": optional_rfc3339(entry.carrier_at),
    }


def _received(text: InboundText) -> dict[str, Any]:
    return {
        "from": text.sender,
        "to": text.to,
        "body": text.body,
        "messaging_service_sid": text.messaging_service_sid,
        "opt_out_type": text.opt_out_type,
        "twilio_sid": text.twilio_sid,
    }
