"""Ask Twilio about messages that it has not reported on: callbacks get lost, and so do responses.

Every message without a final status, `sent` included, is polled on an age schedule, and the result goes through the
same state machine as a callback. Changes that only polling revealed are counted: they measure the loss of callbacks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from smsapp.breakers import queries as breakers
from smsapp.db import counters
from smsapp.db.sessions import reading
from smsapp.ids import new_id
from smsapp.lifecycle.record_reports import TargetedReport, record_reports, report_of
from smsapp.messages.fold import MessageState, Source, Step
from smsapp.messages.refold import NEVER_CONFIRMED
from smsapp.messages.status import FINAL, Outcome, Status
from smsapp.queue.drain import singleton_lock
from smsapp.queue.tasks import Task
from smsapp.reconciliation import queries
from smsapp.reconciliation.fill_in_prices import fill_in_prices
from smsapp.reconciliation.lookups import Lookups, pause_polling
from smsapp.reconciliation.settle import settle_unconfirmed
from smsapp.reconciliation.take_new import take_new
from smsapp.runtime import Runtime
from smsapp.twilio.gateway import TwilioMessage, TwilioUnavailableError

log = structlog.get_logger(__name__)

REPAIRED = "repaired_by_polling"
FETCHES = 8
"""Concurrent requests; the account's concurrency limit is shared with sending."""


@dataclass(frozen=True, slots=True)
class Polled:
    """The result of a round: how many messages were polled, and how many of them changed."""

    asked: int
    repaired: int


def reconcile(rt: Runtime, *, batch: int = 200, fetches: int = FETCHES) -> Polled:
    """Poll every message that is due, the longest due first, until none is left or Twilio asks for a pause.

    Results are recorded batch by batch, also when Twilio stops answering in the middle of one: the next round continues
    where this one stopped. A polled message waits for the next age of the schedule, so one that never changes starves
    no other.
    """
    with singleton_lock(rt, Task.RECONCILE) as may_run:
        return _reconcile(rt, batch, fetches) if may_run else Polled(0, 0)


def _reconcile(rt: Runtime, batch: int, fetches: int) -> Polled:
    asked = repaired = 0
    while not rt.stopping.is_set():
        now = rt.clock()
        with reading(rt.sessions) as session:
            if breakers.is_closed(session, breakers.POLLING, now=now):
                break
            due = queries.waiting_due(session, now=now, limit=batch)
        if not due:
            break
        progress = _ask(rt, due, fetches)
        asked += progress.asked
        repaired += progress.repaired
        if progress.asked < len(due):
            break
    if repaired:
        log.info(REPAIRED, count=repaired)
    fill_in_prices(rt)
    return Polled(asked, repaired)


def _ask(rt: Runtime, due: Sequence[MessageState], fetches: int) -> Polled:
    """Poll these messages and record the results; fewer polled than due means that Twilio asks for a pause."""
    known = [message for message in due if message.twilio_sid]
    nameless = [message for message in due if not message.twilio_sid]
    lost = [message for message in nameless if message.status is Status.UNCONFIRMED]
    untold = [message for message in nameless if message.status is not Status.UNCONFIRMED]
    answers = Lookups(rt, fetches)
    answers.gather(known)
    repaired = _record(rt, known, answers.found)
    _ask_later(rt, untold, reason="no_sid")  # no callback has brought the SID yet; the next one may
    asked = len(answers.found) + len(untold)
    for message in lost:
        if answers.refusal or rt.stopping.is_set():
            break
        try:
            repaired += settle_unconfirmed(rt, message)
            asked += 1
        except TwilioUnavailableError as error:
            answers.note(error, message)
    _ask_later(rt, answers.refused, reason="no_answer")
    if answers.refusal:
        pause_polling(rt, answers.refusal)
    return Polled(asked + len(answers.refused), repaired)


def _record(rt: Runtime, asked: Sequence[MessageState], found: Mapping[str, TwilioMessage | None]) -> int:
    """Record the results; return how many messages changed."""
    now = rt.clock()
    answered = [message for message in asked if message.twilio_sid in found]
    reports = []
    for message in answered:
        answer = found[message.twilio_sid or ""]
        if answer is not None:
            poll_at = next_poll(rt.settings.poll_ages, message, now)
            report = report_of(answer, Source.POLL, attempt=message.attempt, now=now, poll_at=poll_at)
            reports.append(TargetedReport(message.id, report))
    moved: set[UUID] = set()
    if reports:
        with rt.transaction() as tx:
            changes, _ = record_reports(rt, tx, reports)
            moved = {c.before.id for c in changes if c.after.status is not c.before.status}
            if moved:
                counters.add(tx.session, REPAIRED, len(moved))
    gone = [message for message in answered if found[message.twilio_sid or ""] is None]
    silent = [message for message in answered if message.id not in moved and message not in gone]
    _ask_later(rt, gone, reason="gone_at_twilio")
    _ask_later(rt, [message for message in silent if _is_overdue(rt, message, now)], reason=NEVER_CONFIRMED)
    return len(moved)


def _is_overdue(rt: Runtime, message: MessageState, now: datetime) -> bool:
    """Return whether the carrier has been silent for too long; a later receipt still revises the outcome."""
    since = message.submitted_at or message.created_at
    return now - since >= rt.settings.confirm_within and message.outcome is None


def next_poll(ages: Sequence[timedelta], message: MessageState, now: datetime) -> datetime:
    """Return the next poll time: at the next age of the schedule; after the last age, at intervals of that age."""
    since = message.submitted_at or message.created_at
    for age in ages:
        if since + age > now:
            return since + age
    return now + ages[-1]


def _ask_later(rt: Runtime, asked: Sequence[MessageState], *, reason: str) -> None:
    """Postpone to the next age of the schedule, or mark the message as unconfirmed after the last one."""
    if not asked:
        return
    now = rt.clock()

    def step_of(message: MessageState) -> Step | None:
        if message.status in FINAL | {Status.PENDING, Status.SUBMITTING}:
            return None
        overdue = _is_overdue(rt, message, now)
        return Step(
            source=Source.SYSTEM,
            status=message.status,
            attempt=message.attempt,
            at=now,
            receipt_id=new_id(),
            due_at=next_poll(rt.settings.poll_ages, message, now),
            reason=NEVER_CONFIRMED if overdue else reason,
            outcome=Outcome.UNCONFIRMED if overdue else None,
        )

    with rt.transaction() as tx:
        take_new(rt, tx, [message.id for message in asked], step_of)
