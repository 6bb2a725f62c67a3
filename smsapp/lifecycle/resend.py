"""Whether a failed text is resent as a new attempt of the same message: the error table alone decides."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from smsapp.backoff import backoff
from smsapp.messages.fold import Event, MessageState, Source, Step, apply_step
from smsapp.messages.status import BAD_NEWS, Status
from smsapp.twilio.error_codes import explain

MAX_RESENDS = 2
"""The most resends of one message; each is a new text at Twilio, billed again."""


def resend(
    before: MessageState, after: MessageState, *, now: datetime, receipt_id: UUID, rng: Callable[[], float]
) -> tuple[MessageState, Event] | None:
    """Return the message pending its next attempt and the history entry, or None when it stays failed.

    A message is resent only at the moment it fails, only for transient reasons, as often as both the caller and the
    reason allow, and never past the caller's deadline.
    """
    if not has_just_failed(before, after) or not after.resends_left:
        return None
    delay = explain(after.error_code, status=after.status).resend_delay(MAX_RESENDS - after.resends_left)
    if delay is None:
        return None
    again = attempt_again(after, delay=delay, reason="resend", now=now, receipt_id=receipt_id, rng=rng)
    if again is None:
        return None
    waiting, event = again
    return waiting._replace(resends_left=after.resends_left - 1), event


def has_just_failed(before: MessageState, after: MessageState) -> bool:
    """Return whether this change is the failure itself, which happens once per attempt."""
    return after.status in BAD_NEWS and before.status not in BAD_NEWS


def attempt_again(
    failed: MessageState,
    *,
    delay: timedelta,
    reason: str,
    now: datetime,
    receipt_id: UUID,
    rng: Callable[[], float],
    payload: dict[str, object] | None = None,
) -> tuple[MessageState, Event] | None:
    """Return the message pending a new attempt after this wait plus jitter; None when that is too late."""
    due_at = now + delay + backoff(1, base=delay / 5, cap=delay / 5, rng=rng)
    if failed.deliver_by and due_at > failed.deliver_by:
        return None
    step = Step(
        source=Source.SYSTEM,
        status=Status.PENDING,
        attempt=failed.attempt + 1,
        at=now,
        receipt_id=receipt_id,
        due_at=due_at,
        error_code=failed.error_code,
        reason=reason,
        payload=payload,
    )
    return apply_step(failed, step)
