"""Recompute a message from its history alone: the proof that the stored status is nothing but a fold of evidence."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from smsapp.messages.fold import Report, Source, Step, Tracked, fold, take
from smsapp.messages.status import Outcome, Status

HELD = "held"
NEVER_CONFIRMED = "never_confirmed"
"""Reasons of the two steps that end a message as unconfirmed."""

SID_IS_ANOTHERS = "sid_is_anothers"
"""The reason of the step that takes a wrongly adopted SID away."""


@dataclass(frozen=True, slots=True)
class PastEvent:
    """A stored event, as far as it can have changed the message."""

    source: Source
    word: str
    applied: bool
    reason: str | None
    attempt: int | None
    error_code: int | None
    twilio_sid: str | None
    received_at: datetime
    receipt_id: UUID


def refold(message_id: UUID, events: Iterable[PastEvent]) -> Tracked | None:
    """Return the message as its events say it must be, None without any event."""
    message: Tracked | None = None
    for event in events:
        if message is None:
            message = Tracked(
                message_id, Status.PENDING, 1, 1, created_at=event.received_at, error_code=event.error_code
            )
        elif _is_step(event):
            message = _retake(message, event)
        else:
            message = fold(message, _report(event))[0]
    return message


def _is_step(event: PastEvent) -> bool:
    """Return whether this was our own doing; an answer of Twilio's without a SID is what we made of a refusal."""
    return event.source in {Source.REQUEST, Source.SYSTEM, Source.OPERATOR} or (
        event.source is Source.API and not event.twilio_sid
    )


def _retake(message: Tracked, event: PastEvent) -> Tracked:
    if not event.applied:
        return message
    step = Step(
        source=event.source,
        status=Status(event.word),
        attempt=event.attempt or message.attempt,
        at=event.received_at,
        receipt_id=event.receipt_id,
        due_at=None,
        error_code=event.error_code,
        reason=event.reason,
        outcome=Outcome.UNCONFIRMED if event.reason in {HELD, NEVER_CONFIRMED} else None,
        forgets_sid=event.reason == SID_IS_ANOTHERS,
    )
    return take(message, step)[0]


def _report(event: PastEvent) -> Report:
    return Report(
        source=event.source,
        word=event.word,
        received_at=event.received_at,
        receipt_id=event.receipt_id,
        attempt=event.attempt,
        twilio_sid=event.twilio_sid,
        error_code=event.error_code,
    )
