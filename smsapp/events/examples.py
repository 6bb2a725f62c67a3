"""Example events, for consumers that want to see one before the first real event: rendered as real ones are."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from smsapp.events.payload import render_event
from smsapp.events.queries import FeedEvent, HistoryEntry, InboundText, MessageSummary
from smsapp.events.types import EventType
from smsapp.messages.status import Outcome, Status
from smsapp.times import rfc3339

_PERSON, _OURS = "+15005550009", "+15005550006"  # test numbers of Twilio's, which nobody has
_SID = "SM" + "0" * 32
_MESSAGE = UUID("00000000-0000-7000-8000-000000000000")
_UNDELIVERED_CODE = 30003
_STATUS: Mapping[EventType, Status] = MappingProxyType(
    {
        EventType.MESSAGE_ACCEPTED: Status.PENDING,
        EventType.MESSAGE_DELIVERED: Status.DELIVERED,
        EventType.MESSAGE_UNDELIVERED: Status.UNDELIVERED,
        EventType.MESSAGE_FAILED: Status.FAILED,
        EventType.MESSAGE_CANCELED: Status.CANCELED,
        EventType.MESSAGE_REVISED: Status.DELIVERED,
        EventType.FALLBACK_REQUESTED: Status.UNDELIVERED,
    }
)
_ROW_STATES = ("faulty", "duplicate", "opted_out", "waiting", "stored", "refused", "canceled")
_FAILURES = frozenset({Status.UNDELIVERED, Status.FAILED})


def example_of(event_type: EventType, *, id: UUID, now: datetime) -> dict[str, Any]:  # noqa: A002 - the event's id
    """Return an example of this event type that happened now; `example` marks it, and its number is 0."""
    about_message = event_type.startswith("message.") or event_type == EventType.FALLBACK_REQUESTED
    event = FeedEvent(
        seq=0,
        id=id,
        type=event_type,
        occurred_at=now,
        message_id=_MESSAGE if about_message else None,
        data=_data(event_type, now),
        entry=_entry(event_type) if about_message and event_type != EventType.MESSAGE_RECEIVED else None,
        message=MessageSummary(_PERSON, "example", ["example"], now) if about_message else None,
        received=_RECEIVED,
    )
    return render_event(event) | {"example": True}


def _entry(event_type: EventType) -> HistoryEntry:
    status = _STATUS.get(event_type, Status.SENT)
    accepted = status is Status.PENDING
    return HistoryEntry(
        status=status,
        reason=None,
        attempt=1,
        error_code=_UNDELIVERED_CODE if status in _FAILURES else None,
        twilio_sid=None if accepted else _SID,
        source="request" if accepted else "callback",
        sender=None if accepted else _OURS,
        carrier_at=None,
    )


_RECEIVED = InboundText(
    twilio_sid=_SID,
    sender=_PERSON,
    to=_OURS,
    messaging_service_sid=None,
    body="This is an example.",
    opt_out_type=None,
)


def _data(event_type: EventType, now: datetime) -> dict[str, Any] | None:
    """Return what an event of this type carries besides its message."""
    if event_type.startswith("recipient."):
        return {
            "recipient": _PERSON,
            "senders": [_OURS],
            "every_sender": False,
            "source": "inbound",
            "note": None,
            "reference": None,
            "suppressions": [],
        }
    if event_type == EventType.JOB_COMPLETED:
        return {
            "id": "job_" + _MESSAGE.hex,
            "name": "example",
            "state": "completed",
            "rows": 1,
            "counts": dict.fromkeys(_ROW_STATES, 0) | {"stored": 1},
            "outcomes": {str(Outcome.DELIVERED): 1},
        }
    if event_type == EventType.ENDPOINT_DISABLED:
        return {
            "subscription_id": "sub_" + _MESSAGE.hex,
            "url": "https://example.com/",
            "reason": "failing",
            "disabled_at": rfc3339(now),
        }
    return {"step": 1} if event_type == EventType.FALLBACK_REQUESTED else None
