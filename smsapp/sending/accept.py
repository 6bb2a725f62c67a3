"""Take a message from a caller: once this returns, it is ours to deliver or to explain."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from smsapp.db import idempotency
from smsapp.db.idempotency import Answered, IdempotencyKeyReusedError, IdempotentRequest, Identity
from smsapp.events.types import EventType
from smsapp.ids import new_id
from smsapp.lifecycle.failure_plan import parse_plan
from smsapp.lifecycle.resend import MAX_RESENDS
from smsapp.messages import queries as messages
from smsapp.messages.fold import Event, Source
from smsapp.messages.status import Status
from smsapp.ports import PendingEvent
from smsapp.queue.group_commit import GroupCommit
from smsapp.queue.tasks import SENDING
from smsapp.recipients.quiet_hours import QUIET_HOURS
from smsapp.runtime import Runtime
from smsapp.sending.draft import Draft, TimeFault, time_fault
from smsapp.suppressions.check import RecipientOptedOutError, opted_out
from smsapp.twilio.error_codes import OwnCode


class UntimelyError(Exception):
    """The clock forbids a time of the request."""

    def __init__(self, fault: TimeFault) -> None:
        super().__init__(fault.sentence)
        self.fault = fault


@dataclass(slots=True)
class Candidate:
    """A message on its way into the database, and what became of it there."""

    values: dict[str, Any]
    event: Event
    answer: dict[str, Any]
    request: IdempotentRequest | None
    replayed: Answered | None = None
    error: Exception | None = None


Also = Callable[[Session, list[Candidate]], None]


def prepare(draft: Draft, now: datetime) -> Candidate:
    """Return the message that a draft is, ready to be stored, for a caller that waits for no answer."""
    values = _values(draft, now)
    return Candidate(values, _accepted(draft, now, values["error_code"]), {}, None)


def accept_message(
    rt: Runtime,
    draft: Draft,
    *,
    render: Callable[[dict[str, Any]], dict[str, Any]],
    request: IdempotentRequest | None = None,
    group: GroupCommit[Candidate] | None = None,
) -> Answered:
    """Store the message and wake a sender; once this returns, we owe it a try.

    `render` makes the answer from the stored values; it is kept with the Idempotency-Key in the same transaction.
    With a `group`, messages that come at the same time share one transaction.

    Raises:
        IdempotencyKeyReusedError: the key was used for another request.
        RecipientOptedOutError: the recipient wants nothing of this sender.
        UntimelyError: a time of the request has passed, and this is no repetition of one that came in time.
    """
    now = rt.clock()
    if fault := time_fault(draft.send_at, draft.deliver_by, now):
        if before := idempotency.find_answer(rt.sessions, request):
            return before
        raise UntimelyError(fault)
    values = _values(draft, now)
    candidate = Candidate(values, _accepted(draft, now, values["error_code"]), render(values), request)
    if group:
        group.add(candidate)
    else:
        store_together(rt, [candidate])
    if candidate.error:
        raise candidate.error
    return candidate.replayed or Answered(candidate.answer, replayed=False)


def store_together(rt: Runtime, candidates: list[Candidate], *, also: Also | None = None) -> None:
    """Store candidates in one transaction; one that the database refuses costs only itself.

    `also` writes what must be true together with them, in the same transaction. A sender is woken after the commit: a
    job must never look for a row that nobody can see.
    """
    try:
        _store(rt, candidates, also)
    except (DataError, IntegrityError) as error:
        if len(candidates) == 1:
            candidates[0].error = error
            return
        for candidate in candidates:
            store_together(rt, [candidate], also=also)
        return
    for lane in {c.values["lane"] for c in candidates}:
        rt.jobs.wake(SENDING[lane])


def _store(rt: Runtime, candidates: list[Candidate], also: Also | None) -> None:
    asking = candidates
    with rt.transaction() as tx:
        session = tx.session
        candidates = _wanted(rt, session, asking)
        asked = {
            c.request.identity: c for c in reversed(candidates) if c.request
        }  # the first of a key counts
        won = idempotency.remember(
            session, [(c.request, c.answer) for c in asked.values() if c.request], now=rt.clock()
        )
        new = [c for c in candidates if c.request is None or _is_first(c, asked, won)]
        messages.insert(session, [(c.values, c.event) for c in new])
        tx.emit_all(
            PendingEvent(
                EventType.MESSAGE_ACCEPTED, c.event.receipt_id, c.event.received_at, c.values["id"], 1
            )
            for c in new
        )
        for candidate in candidates:
            # One whose answer was removed since must not get a 202: its message is not stored.
            if candidate.request and not _is_first(candidate, asked, won) and not _replay(session, candidate):
                candidate.error = IdempotencyKeyReusedError()
        if also:
            also(session, asking)


def _wanted(rt: Runtime, session: Session, candidates: list[Candidate]) -> list[Candidate]:
    """Return the candidates whose recipients have not opted out; the others get an error, or the answer of before."""
    refused = opted_out(rt, session, [candidate.values for candidate in candidates])
    for candidate, is_refused in zip(candidates, refused, strict=True):
        if is_refused and not _replay(session, candidate):
            candidate.error = RecipientOptedOutError()
    return [candidate for candidate, is_refused in zip(candidates, refused, strict=True) if not is_refused]


def _is_first(candidate: Candidate, asked: dict[Identity, Candidate], won: set[Identity]) -> bool:
    assert candidate.request
    identity = candidate.request.identity
    return identity in won and asked[identity] is candidate


def _replay(session: Session, candidate: Candidate) -> bool:
    """Return whether the candidate's key stands for an answer, which it then gets: that of before, or a refusal."""
    if candidate.request is None:
        return False
    try:
        candidate.replayed = idempotency.recall(session, candidate.request)
    except IdempotencyKeyReusedError as error:
        candidate.error = error
    return candidate.replayed is not None or candidate.error is not None


def _values(draft: Draft, now: datetime) -> dict[str, Any]:
    held_until = draft.held_until(now)
    return {
        "id": new_id(),
        "api_key_id": draft.api_key_id,
        "to": draft.recipient.e164,
        "sender": draft.sender,
        "messaging_service_sid": draft.messaging_service_sid,
        "body": draft.body,
        "media_urls": draft.media_urls,
        "client_reference": draft.client_reference,
        "tags": draft.tags,
        "callback_url": draft.callback_url,
        "request_id": draft.request_id,
        "job_id": draft.job_id,
        "encoding": draft.measure.encoding,
        "segments": draft.measure.segments,
        "on_unconfirmed": draft.on_unconfirmed,
        "send_at": draft.send_at,
        "deliver_by": draft.deliver_by,
        "deadline_at": draft.deliver_by,
        "sensitive": draft.sensitive,
        "redact_at": now if draft.sensitive else None,
        "lane": draft.lane,
        "country": draft.recipient.country,
        "status": Status.PENDING,
        "attempt": 1,
        "on_failure": draft.on_failure,
        "steps_left": parse_plan(draft.on_failure).all_left if draft.on_failure else 0,
        "resends_left": MAX_RESENDS if draft.resend_after_failure else 0,
        "version": 1,
        "reported": 0,
        "quiet_hours": draft.quiet_hours,
        "error_code": OwnCode.QUIET_HOURS if held_until else None,
        "due_at": held_until or draft.send_at or now,
        "created_at": now,
        "updated_at": now,
    }


def _accepted(draft: Draft, now: datetime, error_code: int | None) -> Event:
    return Event(
        source=Source.REQUEST,
        word=Status.PENDING,
        applied=True,
        reason=QUIET_HOURS if error_code == OwnCode.QUIET_HOURS else None,
        attempt=1,
        error_code=error_code,
        twilio_sid=None,
        received_at=now,
        receipt_id=new_id(),
        payload={"request_id": draft.request_id} if draft.request_id else None,
    )
