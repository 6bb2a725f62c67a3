"""What a missed deadline means for a message."""

from datetime import datetime
from uuid import UUID

from smsapp.messages.carrier_time import ended_at
from smsapp.messages.fold import Event, MessageState, Source, Step, apply_step, record_only
from smsapp.messages.status import GOOD_NEWS, Status
from smsapp.twilio.error_codes import OWN_FAILURES, OwnCode

DEADLINE_MISSED = "deadline_missed"

_EXPIRED_AT_TWILIO = 30036
"""Our ValidityPeriod ran out in Twilio's queue: https://www.twilio.com/docs/api/errors/30036."""

_OF_THE_DEADLINE = frozenset({int(OwnCode.DEADLINE_MISSED), _EXPIRED_AT_TWILIO})


def was_missed(message: MessageState) -> bool:
    """Return whether a message whose deadline has passed did not arrive in time.

    A message that was canceled, or that failed earlier for another reason, does not count: consumers heard of that when
    it happened. A receipt that came late counts from the carrier's time of it.
    """
    if message.deliver_by is None or message.status is Status.CANCELED:
        return False
    ended = ended_at(message.finished_at, message.carrier_at)
    late = ended is None or ended > message.deliver_by
    if message.status in GOOD_NEWS:
        return late
    return late or message.error_code in _OF_THE_DEADLINE


def miss(message: MessageState, *, now: datetime, receipt_id: UUID) -> tuple[MessageState, Event]:
    """Return the message after its deadline and the history entry: a pending one fails, one at Twilio continues."""
    step = Step(
        source=Source.SYSTEM,
        status=message.status,
        attempt=message.attempt,
        at=now,
        receipt_id=receipt_id,
        due_at=message.due_at,
        reason=DEADLINE_MISSED,
    )
    if message.status is not Status.PENDING:
        return record_only(message, step)
    # Twilio's error code is more specific than "too late", which the reason records anyway.
    known = message.error_code if message.error_code not in {None, *OWN_FAILURES} else None
    failed = Step(
        source=Source.SYSTEM,
        status=Status.FAILED,
        attempt=message.attempt,
        at=now,
        receipt_id=receipt_id,
        due_at=None,
        error_code=known or OwnCode.DEADLINE_MISSED,
        reason=DEADLINE_MISSED,
    )
    return apply_step(message, failed)
