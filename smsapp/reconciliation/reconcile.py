"""Ask Twilio about messages that it has not reported on: callbacks get lost, and so do responses.

Every message without a final status, `sent` included, is polled on an age schedule, and the result goes through the
same state machine as a callback. Changes that only polling revealed are counted: they measure the loss of callbacks.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from smsapp import backoff as retry
from smsapp.backoff import POLICIES, Wait
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
from smsapp.reconciliation.settle import settle_unconfirmed
from smsapp.reconciliation.take_new import take_new
from smsapp.runtime import Runtime
from smsapp.twilio.gateway import TwilioMessage, TwilioUnavailableError

log = structlog.get_logger(__name__)

REPAIRED = "repaired_by_polling"
FETCHES = 8
"""Concurrent requests; the account's concurrency limit is shared with sending."""

_LISTING_PAYS_FROM = 20
_LISTED_PER_QUESTION = 20
"""A list page holds up to 1000 messages, so listing this many per wanted message still saves requests."""

_LIST_MARGIN = timedelta(minutes=5)


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
    return Polled(asked, repaired)


def _ask(rt: Runtime, due: Sequence[MessageState], fetches: int) -> Polled:
    """Poll these messages and record the results; fewer polled than due means that Twilio asks for a pause."""
    known = [message for message in due if message.twilio_sid]
    nameless = [message for message in due if not message.twilio_sid]
    lost = [message for message in nameless if message.status is Status.UNCONFIRMED]
    untold = [message for message in nameless if message.status is not Status.UNCONFIRMED]
    answers = _Answers(rt, fetches)
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
        _pause(rt, answers.refusal)
    return Polled(asked + len(answers.refused), repaired)


class _Answers:
    """Twilio's records of messages, by SID; None for one that it does not have (any more).

    `refused` holds messages whose own lookup failed; `refusal` is set when Twilio answers no request at present.
    """

    def __init__(self, rt: Runtime, fetches: int) -> None:
        self._rt = rt
        self._fetches = fetches
        self.found: dict[str, TwilioMessage | None] = {}
        self.refused: list[MessageState] = []
        self.refusal: TwilioUnavailableError | None = None

    def gather(self, wanted: Sequence[MessageState]) -> None:
        """Look up each message, by list where that is cheaper; stop when Twilio does not answer."""
        if len(wanted) >= _LISTING_PAYS_FROM:
            self._list(wanted)
        missing = [message for message in wanted if message.twilio_sid not in self.found]
        with ThreadPoolExecutor(self._fetches, thread_name_prefix="poll") as pool:
            for _ in pool.map(self._fetch, missing):
                pass

    def note(self, error: TwilioUnavailableError, message: MessageState | None = None) -> None:
        """Record why a lookup failed: for this message only, or for all."""
        if not error.concerns_one:
            self.refusal = error
        elif message is not None:
            self.refused.append(message)

    def _list(self, wanted: Sequence[MessageState]) -> None:
        sids = {message.twilio_sid for message in wanted}
        times = [message.submitted_at or message.created_at for message in wanted]
        try:
            listed = self._rt.gateway.list_sent(
                after=min(times) - _LIST_MARGIN,
                before=max(times) + _LIST_MARGIN,
                limit=len(wanted) * _LISTED_PER_QUESTION,
            )
            self.found |= {found.sid: found for found in listed if found.sid in sids}
        except TwilioUnavailableError as error:
            self.note(error)

    def _fetch(self, message: MessageState) -> None:
        assert message.twilio_sid
        if self.refusal or self._rt.stopping.is_set():
            return
        try:
            self.found[message.twilio_sid] = self._rt.gateway.fetch(message.twilio_sid)
        except TwilioUnavailableError as error:
            self.note(error, message)


def _pause(rt: Runtime, refusal: TwilioUnavailableError) -> None:
    """Pause polling for as long as Twilio asks, or for a short default."""
    now = rt.clock()
    pause = retry.retry_after(refusal.retry_after, now=now) or POLICIES[Wait.THROTTLED].cap
    log.warning("reconcile_paused", cause=str(refusal), seconds=pause.total_seconds())
    with rt.transaction() as tx:
        breakers.trip(
            tx.session,
            breakers.POLLING,
            parked=False,
            error_code=refusal.code,
            reason="Twilio does not answer questions at present.",
            now=now,
            probe_at=now + pause,
        )


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
