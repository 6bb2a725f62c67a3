"""Cancel a message: this always works before it is submitted, afterwards only if Twilio can still cancel it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from smsapp.ids import new_id
from smsapp.lifecycle.apply import apply
from smsapp.lifecycle.record_reports import TargetedReport, record_reports, report_of
from smsapp.messages.fold import Event, MessageState, Source, Step, apply_step
from smsapp.messages.status import Status
from smsapp.runtime import Runtime
from smsapp.twilio.gateway import TwilioMessage, TwilioUnavailableError

CANCELED_BY_CALLER = "canceled_by_caller"

_PERHAPS_AT_TWILIO = frozenset({Status.ACCEPTED, Status.SCHEDULED, Status.QUEUED})
"""Only `scheduled` can be canceled there (https://www.twilio.com/docs/messaging/api/message-resource), but our status
may lag behind Twilio's."""


class MessageNotFoundError(Exception):
    """There is no such message."""


class TooLateToCancelError(Exception):
    """The message is on its way, or has ended otherwise. `status` is its current status."""

    def __init__(self, status: Status) -> None:
        super().__init__(str(status))
        self.status = status


def cancel_message(rt: Runtime, message_id: UUID, *, request_id: str | None) -> None:
    """Cancel the message; once this returns it is canceled. Idempotent.

    The row's lock decides between this call and a worker that claims the message at the same moment.

    Raises:
        MessageNotFoundError: no message has this id.
        TooLateToCancelError: it can no longer be stopped.
        TwilioUnavailableError: Twilio has the message and cannot be reached now.
    """
    message = _cancel_ours(rt, message_id, request_id)
    if message.status is Status.CANCELED:
        return
    if message.status not in _PERHAPS_AT_TWILIO or not message.twilio_sid:
        raise TooLateToCancelError(message.status)
    try:
        found = rt.gateway.cancel(message.twilio_sid)
    except TwilioUnavailableError as error:
        if error.concerns_one:
            raise TooLateToCancelError(message.status) from error
        raise
    reached = _record(rt, message, found, request_id)
    if reached is not Status.CANCELED:
        raise TooLateToCancelError(reached)


def _cancel_ours(rt: Runtime, message_id: UUID, request_id: str | None) -> MessageState:
    """Return the message, canceled if it had not been submitted yet."""
    now = rt.clock()
    seen: list[MessageState] = []

    def decide(message: MessageState) -> tuple[MessageState, Event] | None:
        seen.append(message)
        return _canceled(message, request_id, now)

    with rt.transaction() as tx:
        changes = apply(rt, tx, [message_id], decide)
    if not seen:
        raise MessageNotFoundError
    return changes[0].after if changes else seen[0]


def cancel_pending(rt: Runtime, ids: Sequence[UUID]) -> int:
    """Cancel those of the messages that no worker has claimed; return how many were canceled."""
    now = rt.clock()
    with rt.transaction() as tx:
        return len(apply(rt, tx, ids, lambda message: _canceled(message, None, now)))


def _canceled(
    message: MessageState, request_id: str | None, now: datetime
) -> tuple[MessageState, Event] | None:
    if message.status is not Status.PENDING:
        return None
    step = Step(
        source=Source.REQUEST,
        status=Status.CANCELED,
        attempt=message.attempt,
        at=now,
        receipt_id=new_id(),
        due_at=None,
        reason=CANCELED_BY_CALLER,
        payload={"request_id": request_id} if request_id else None,
    )
    return apply_step(message, step)


def _record(rt: Runtime, message: MessageState, found: TwilioMessage, request_id: str | None) -> Status:
    """Record what Twilio did with the message; return its status."""
    now = rt.clock()
    report = report_of(
        found, Source.POLL, attempt=message.attempt, now=now, poll_at=now + rt.settings.poll_ages[0]
    )
    asked = report._replace(payload={"request": "cancel", "request_id": request_id})
    with rt.transaction() as tx:
        changes, _ = record_reports(rt, tx, [TargetedReport(message.id, asked)])
    return changes[-1].after.status
