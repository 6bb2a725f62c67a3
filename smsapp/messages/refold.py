"""Recompute a message from its history alone: the proof that the stored status is nothing but a fold of evidence."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from smsapp.messages.fold import MessageState, Report, Source, Step, apply_report, apply_step
from smsapp.messages.status import Outcome, Status

HELD = "held"
NEVER_CONFIRMED = "never_confirmed"
"""Reasons of the two steps that end a message as unconfirmed."""

SID_IS_ANOTHERS = "sid_is_anothers"
"""The reason of the step that removes a wrongly adopted SID."""


@dataclass(frozen=True, slots=True)
class PastEvent:
    """The fields of a stored event that can have changed the message."""

    source: Source
    raw_status: str
    applied: bool
    reason: str | None
    attempt: int | None
    error_code: int | None
    twilio_sid: str | None
    received_at: datetime
    receipt_id: UUID


def refold(message_id: UUID, events: Iterable[PastEvent]) -> MessageState | None:
    """Return the state that the events imply, None without any event."""
    message: MessageState | None = None
    for event in events:
        if message is None:
            message = MessageState(
                message_id, Status.PENDING, 1, 1, created_at=event.received_at, error_code=event.error_code
            )
        elif _is_step(event):
            message = _retake(message, event)
        else:
            message = apply_report(message, _report(event))[0]
    return message


def _is_step(event: PastEvent) -> bool:
    """Return whether the event was our own step; an API event without a SID is our reading of a refusal."""
    return event.source in {Source.REQUEST, Source.SYSTEM, Source.OPERATOR} or (
        event.source is Source.API and not event.twilio_sid
    )


def _retake(message: MessageState, event: PastEvent) -> MessageState:
    if not event.applied:
        return message
    step = Step(
        source=event.source,
        status=Status(event.raw_status),
        attempt=event.attempt or message.attempt,
        at=event.received_at,
        receipt_id=event.receipt_id,
        due_at=None,
        error_code=event.error_code,
        reason=event.reason,
        outcome=Outcome.UNCONFIRMED if event.reason in {HELD, NEVER_CONFIRMED} else None,
        forgets_sid=event.reason == SID_IS_ANOTHERS,
    )
    return apply_step(message, step)[0]


def _report(event: PastEvent) -> Report:
    return Report(
        source=event.source,
        raw_status=event.raw_status,
        received_at=event.received_at,
        receipt_id=event.receipt_id,
        attempt=event.attempt,
        twilio_sid=event.twilio_sid,
        error_code=event.error_code,
    )
