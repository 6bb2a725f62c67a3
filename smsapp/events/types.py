"""Which changes emit an event, and of which type: every event of the feed originates here."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from types import MappingProxyType

from smsapp.messages.fold import Event, MessageState
from smsapp.messages.refold import HELD, NEVER_CONFIRMED
from smsapp.messages.status import Outcome, Status, outcome_of
from smsapp.ports import PendingEvent


class EventType(StrEnum):
    """The types of events. Consumers must tolerate types that are added later."""

    MESSAGE_ACCEPTED = "message.accepted"
    MESSAGE_SENT = "message.sent"
    MESSAGE_DELIVERED = "message.delivered"
    MESSAGE_UNDELIVERED = "message.undelivered"
    MESSAGE_FAILED = "message.failed"
    MESSAGE_CANCELED = "message.canceled"
    MESSAGE_UNCONFIRMED = "message.unconfirmed"
    MESSAGE_REVISED = "message.revised"  # an outcome that was reported as final has changed
    MESSAGE_DEADLINE_MISSED = "message.deadline_missed"
    MESSAGE_RECEIVED = "message.received"
    RECIPIENT_OPTED_OUT = "recipient.opted_out"
    RECIPIENT_OPTED_IN = "recipient.opted_in"
    JOB_COMPLETED = "job.completed"
    ENDPOINT_DISABLED = "endpoint.disabled"
    FALLBACK_REQUESTED = "fallback.requested"


OF_OUTCOME = MappingProxyType(
    {
        Outcome.DELIVERED: EventType.MESSAGE_DELIVERED,
        Outcome.UNDELIVERED: EventType.MESSAGE_UNDELIVERED,
        Outcome.FAILED: EventType.MESSAGE_FAILED,
        Outcome.CANCELED: EventType.MESSAGE_CANCELED,
        Outcome.UNCONFIRMED: EventType.MESSAGE_UNCONFIRMED,
    }
)


def events_for(before: MessageState, after: MessageState, events: Sequence[Event]) -> Iterator[PendingEvent]:
    """Return the events to emit for a message that these history entries brought from one state to another.

    Each entry is judged by itself, so that what consumers get does not depend on how callbacks were batched.
    """
    status, outcome = before.status, before.outcome
    last = len(events)
    for number, event in enumerate(events, start=1):
        if not event.applied:
            continue
        was, ended = status, outcome
        if number == last:
            status, outcome = after.status, after.outcome
        else:
            status, outcome = _state_after(event, was, ended)
        kind = _kind(was, ended, status, outcome)
        if kind:
            yield PendingEvent(
                kind,
                event.receipt_id,
                event.received_at,
                after.id,
                before.version + number,
                reopens=outcome is None and ended is not None,
            )


def outcome_told(event_status: Status, reason: str | None) -> Outcome | None:
    """Return the outcome that a history entry brought, None if the message was still in flight after it."""
    return Outcome.UNCONFIRMED if reason in {HELD, NEVER_CONFIRMED} else outcome_of(event_status)


def _state_after(event: Event, was: Status, ended: Outcome | None) -> tuple[Status, Outcome | None]:
    status = Status(event.raw_status)
    told = outcome_told(status, event.reason)
    return status, told or (ended if status is was else None)


def _kind(was: Status, ended: Outcome | None, status: Status, outcome: Outcome | None) -> EventType | None:
    if outcome is not ended:
        return EventType.MESSAGE_REVISED if ended else OF_OUTCOME[outcome] if outcome else None
    if status is Status.SENT and was is not Status.SENT:
        return EventType.MESSAGE_SENT
    return None
