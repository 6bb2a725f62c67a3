"""Accept a message from a caller: once this returns, we must deliver it or explain why not."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from smsapp.db import idempotency
from smsapp.db.idempotency import Answered, IdempotencyKeyReusedError, IdempotentRequest, Identity
from smsapp.db.sessions import reading
from smsapp.events.types import EventType
from smsapp.ids import new_id
from smsapp.lifecycle.failure_plan import parse_plan
from smsapp.lifecycle.resend import MAX_RESENDS
from smsapp.messages import queries as messages
from smsapp.messages.fold import Event, Source
from smsapp.messages.new_message import NewMessage
from smsapp.messages.status import Status
from smsapp.ports import PendingEvent
from smsapp.queue.group_commit import GroupCommit
from smsapp.queue.tasks import SENDING
from smsapp.recipients.quiet_hours import QUIET_HOURS
from smsapp.runtime import Runtime
from smsapp.sending.draft import Draft, TimeFault, time_fault
from smsapp.sending.kept_answers import recall, without_person
from smsapp.sending.recipient_limit import RecipientLimitError, above_limit
from smsapp.suppressions.check import RecipientOptedOutError, opted_out
from smsapp.suppressions.rules import Route
from smsapp.twilio.error_codes import OwnCode


class UntimelyError(Exception):
    """A time in the request has passed, or is too far ahead."""

    def __init__(self, fault: TimeFault) -> None:
        super().__init__(fault.sentence)
        self.fault = fault


@dataclass(slots=True)
class PendingInsert:
    """A message to insert with its first history entry, and the result of the insert.

    `answer` is stored with the Idempotency-Key of `request`; `replayed` is the answer that was stored before.
    """

    message: NewMessage
    event: Event
    answer: dict[str, Any]
    request: IdempotentRequest | None
    replayed: Answered | None = None
    error: Exception | None = None


WriteAlongside = Callable[[Session, list[PendingInsert]], None]
"""Writes further rows in the transaction of the messages, so that both are stored or neither."""


def prepare(draft: Draft, now: datetime) -> PendingInsert:
    """Return a draft as a message ready to insert, for a caller that waits for no answer."""
    message = _message(draft, now)
    return PendingInsert(message, _first_event(message), {}, None)


def accept_message(
    rt: Runtime,
    draft: Draft,
    *,
    render: Callable[[NewMessage], dict[str, Any]],
    request: IdempotentRequest | None = None,
    group: GroupCommit[PendingInsert] | None = None,
) -> Answered:
    """Store the message and wake a sender; once this returns, we owe it an attempt.

    `render` makes the answer from the message; it is stored with the Idempotency-Key in the same transaction. With a
    `group`, concurrent messages share one transaction.

    Raises:
        IdempotencyKeyReusedError: the key was used for a different request.
        RecipientOptedOutError: the recipient has opted out of this sender.
        RecipientLimitError: the recipient has got as many messages within a day as are allowed.
        UntimelyError: a time in the request has passed, and this is not the retry of a request that came in time.
    """
    now = rt.clock()
    if fault := time_fault(draft.send_at, draft.deliver_by, now):
        if before := find_sent(rt, request):
            return before
        raise UntimelyError(fault)
    message = _message(draft, now)
    pending = PendingInsert(message, _first_event(message), render(message), request)
    if group:
        group.add(pending)
    else:
        store_together(rt, [pending])
    if pending.error:
        raise pending.error
    return pending.replayed or Answered(pending.answer, replayed=False)


def find_sent(rt: Runtime, request: IdempotentRequest | None) -> Answered | None:
    """Return the answer to a request that was sent before; None when it is new or has no key.

    Raises:
        IdempotencyKeyReusedError: the key stands for another request.
    """
    if request is None:
        return None
    with reading(rt.sessions) as session:
        return recall(session, request)


def store_together(
    rt: Runtime, inserts: list[PendingInsert], *, alongside: WriteAlongside | None = None
) -> None:
    """Store messages in one transaction; a message that the database rejects fails alone.

    A sender is woken after the commit: a task must never look for a row that nobody can see.
    """
    try:
        _store(rt, inserts, alongside)
    except (DataError, IntegrityError) as error:
        if len(inserts) == 1:
            inserts[0].error = error
            return
        for pending in inserts:
            pending.error = pending.replayed = None  # found in a transaction that was rolled back
            store_together(rt, [pending], alongside=alongside)
        return
    for lane in {pending.message.lane for pending in inserts}:
        rt.tasks.wake(SENDING[lane])


def _store(rt: Runtime, inserts: list[PendingInsert], alongside: WriteAlongside | None) -> None:
    with rt.transaction() as tx:
        wanted = _wanted(rt, tx.session, inserts)
        first_of_key = {p.request.identity: p for p in reversed(wanted) if p.request}
        kept = [(p.request, without_person(p.answer)) for p in first_of_key.values() if p.request]
        won = idempotency.remember(tx.session, kept, now=rt.clock())
        new = [p for p in wanted if p.request is None or _is_first(p, first_of_key, won)]
        messages.insert(tx.session, [(p.message, p.event) for p in new])
        tx.emit_all(_accepted_event(p) for p in new)
        for pending in wanted:
            # If the stored answer was removed meanwhile, this request must not get a 202: its message is not stored.
            repeated = pending.request and not _is_first(pending, first_of_key, won)
            if repeated and not _replay(tx.session, pending):
                pending.error = IdempotencyKeyReusedError()
        if alongside:
            alongside(tx.session, inserts)


def _accepted_event(pending: PendingInsert) -> PendingEvent:
    event = pending.event
    return PendingEvent(
        EventType.MESSAGE_ACCEPTED, event.receipt_id, event.received_at, pending.message.id, event_seq=1
    )


def _wanted(rt: Runtime, session: Session, inserts: list[PendingInsert]) -> list[PendingInsert]:
    """Return those whose recipients may be texted; the others get an error, or the answer stored before."""
    sent = (pending.message for pending in inserts)
    refused = opted_out(rt, session, [Route(m.to, m.sender, m.messaging_service_sid) for m in sent])
    for pending, is_refused in zip(inserts, refused, strict=True):
        if is_refused and not _replay(session, pending):
            pending.error = RecipientOptedOutError()
    allowed = [pending for pending, is_refused in zip(inserts, refused, strict=True) if not is_refused]
    too_many = above_limit(rt, session, [pending.message.to for pending in allowed])
    for pending, is_one in zip(allowed, too_many, strict=True):
        if is_one and not _replay(session, pending):
            pending.error = RecipientLimitError()
    return [pending for pending, is_one in zip(allowed, too_many, strict=True) if not is_one]


def _is_first(
    pending: PendingInsert, first_of_key: dict[Identity, PendingInsert], won: set[Identity]
) -> bool:
    assert pending.request
    identity = pending.request.identity
    return identity in won and first_of_key[identity] is pending


def _replay(session: Session, pending: PendingInsert) -> bool:
    """Return whether the key has a stored answer, and set that answer, or an error if the request differs."""
    if pending.request is None:
        return False
    try:
        pending.replayed = recall(session, pending.request)
    except IdempotencyKeyReusedError as error:
        pending.error = error
    return pending.replayed is not None or pending.error is not None


def _message(draft: Draft, now: datetime) -> NewMessage:
    held_until = draft.held_until(now)
    return NewMessage(
        id=new_id(),
        api_key_id=draft.api_key_id,
        to=draft.recipient.e164,
        sender=draft.sender,
        messaging_service_sid=draft.messaging_service_sid,
        body=draft.content.body,
        media_urls=draft.content.media_urls,
        options=draft.content.options,
        client_reference=draft.client_reference,
        tags=draft.tags,
        callback_url=draft.callback_url,
        request_id=draft.request_id,
        job_id=draft.job_id,
        encoding=draft.content.measure.encoding,
        segments=draft.content.measure.segments,
        on_unconfirmed=draft.on_unconfirmed,
        send_at=draft.send_at,
        deliver_by=draft.deliver_by,
        deadline_at=draft.deliver_by,
        sensitive=draft.sensitive,
        redact_at=now if draft.sensitive else None,
        lane=draft.lane,
        country=draft.recipient.country,
        on_failure=draft.on_failure,
        steps_left=parse_plan(draft.on_failure).all_left if draft.on_failure else 0,
        resends_left=MAX_RESENDS if draft.resend_after_failure else 0,
        quiet_hours=draft.quiet_hours,
        error_code=OwnCode.QUIET_HOURS if held_until else None,
        due_at=held_until or draft.send_at or now,
        created_at=now,
        updated_at=now,
    )


def _first_event(message: NewMessage) -> Event:
    return Event(
        source=Source.REQUEST,
        raw_status=Status.PENDING,
        applied=True,
        reason=QUIET_HOURS if message.error_code == OwnCode.QUIET_HOURS else None,
        attempt=1,
        error_code=message.error_code,
        twilio_sid=None,
        received_at=message.created_at,
        receipt_id=new_id(),
        payload={"request_id": message.request_id} if message.request_id else None,
    )
