"""Whether a text that failed after Twilio had accepted it goes out again, as a new attempt of the same message."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from smsapp.domain.failures import explain
from smsapp.domain.retry import backoff
from smsapp.domain.status import BAD_NEWS, Status
from smsapp.domain.tracking import Event, Source, Step, Tracked, take

MAX_RESENDS = 2
"""How often in all; each is a new text at Twilio, billed again."""


def resend(
    before: Tracked, after: Tracked, *, now: datetime, receipt_id: UUID, rng: Callable[[], float]
) -> tuple[Tracked, Event] | None:
    """Return the message as it waits for its next attempt and the event, or None when it stays as it is.

    Only at the moment of failing, only for reasons that pass by themselves, as often as the caller allowed and the
    reason permits, and never past the caller's deadline.
    """
    if after.status not in BAD_NEWS or before.status in BAD_NEWS or not after.resends_left:
        return None
    delay = explain(after.error_code, status=after.status).resend_delay(MAX_RESENDS - after.resends_left)
    if delay is None:
        return None
    due_at = now + delay + backoff(1, base=delay / 5, cap=delay / 5, rng=rng)
    if after.deliver_by and due_at > after.deliver_by:
        return None
    step = Step(
        source=Source.SYSTEM,
        status=Status.PENDING,
        attempt=after.attempt + 1,
        at=now,
        receipt_id=receipt_id,
        due_at=due_at,
        error_code=after.error_code,
        reason="resend",
    )
    waiting, event = take(after, step)
    return replace(waiting, resends_left=after.resends_left - 1), event
