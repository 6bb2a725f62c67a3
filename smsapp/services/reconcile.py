"""Ask Twilio about what it has not told us: callbacks get lost, and answers too.

Everything that is not final is asked about on an age schedule, `sent` included, through the same state machine as any
callback. What only the asking brought is counted: it is the measured loss of callbacks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from smsapp.domain.ids import new_id
from smsapp.domain.refold import NEVER_CONFIRMED
from smsapp.domain.status import FINAL, Outcome, Status
from smsapp.domain.tracking import Source, Step, Tracked, take
from smsapp.gateway.twilio import TwilioUnavailableError
from smsapp.runtime import Runtime
from smsapp.services.record_reports import Addressed, record_reports, report_of
from smsapp.services.settle_unconfirmed import settle_unconfirmed
from smsapp.store import counters, messages
from smsapp.store.messages import Change
from smsapp.store.sessions import reading

log = structlog.get_logger(__name__)

REPAIRED = "repaired_by_polling"
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Polled:
    """How a round went: how many were asked about, and how many the answer moved."""

    asked: int
    repaired: int


def reconcile(rt: Runtime) -> Polled:
    """Ask about everything that is due, the longest-waiting first, until nothing is due or Twilio wants a pause.

    Each question is written down by itself, so that a round that is cut short has lost nothing and the next one goes
    on where it stopped.
    """
    asked = repaired = 0
    while not rt.stopping.is_set():
        now = rt.clock()
        with reading(rt.sessions) as session:
            due = messages.waiting_due(session, now=now, limit=_BATCH)
        if not due:
            break
        try:
            for message in due:
                if rt.stopping.is_set():
                    break
                moved = _ask(rt, message)
                asked += 1
                repaired += moved
        except TwilioUnavailableError as error:
            log.warning("reconcile_paused", cause=str(error), asked=asked)
            break
    if repaired:
        log.info("repaired_by_polling", count=repaired)
    return Polled(asked, repaired)


def _ask(rt: Runtime, message: Tracked) -> bool:
    """Find out about one message and write it down; return whether that moved it."""
    if message.status is Status.UNCONFIRMED:
        return settle_unconfirmed(rt, message)
    if message.twilio_sid is None:
        return False
    found = rt.gateway.fetch(message.twilio_sid)
    now = rt.clock()
    if found is None:
        _ask_later(rt, [message], now, reason="gone_at_twilio")
        return False
    with rt.sessions.begin() as session:
        poll_at = next_poll(rt.settings.poll_ages, message, now)
        report = report_of(found, Source.POLL, attempt=message.attempt, now=now, poll_at=poll_at)
        changes, _ = record_reports(rt, session, [Addressed(message.id, report)])
        moved = any(change.after.status is not change.before.status for change in changes)
        if moved:
            counters.add(session, REPAIRED, 1)
    if not moved:
        _give_up_waiting(rt, message, now)
    return moved


def next_poll(ages: Sequence[timedelta], message: Tracked, now: datetime) -> datetime:
    """Return when to ask next: at the next age of the schedule, and after the last one once in as long again."""
    since = message.submitted_at or message.created_at
    for age in ages:
        if since + age > now:
            return since + age
    return now + ages[-1]


def _give_up_waiting(rt: Runtime, message: Tracked, now: datetime) -> None:
    """Call it unconfirmed when the carrier has said nothing for too long; a later receipt still revises that."""
    since = message.submitted_at or message.created_at
    if now - since >= rt.settings.confirm_within and message.outcome is None:
        _ask_later(rt, [message], now, reason=NEVER_CONFIRMED, outcome=Outcome.UNCONFIRMED)


def _ask_later(
    rt: Runtime, asked: Sequence[Tracked], now: datetime, *, reason: str, outcome: Outcome | None = None
) -> None:
    with rt.sessions.begin() as session:
        locked = messages.lock(session, [message.id for message in asked])
        changes = []
        for message in locked.values():
            if message.status in FINAL:
                continue
            step = Step(
                source=Source.SYSTEM,
                status=message.status,
                attempt=message.attempt,
                at=now,
                receipt_id=new_id(),
                due_at=next_poll(rt.settings.poll_ages, message, now),
                reason=reason,
                outcome=outcome or message.outcome,
            )
            after, event = take(message, step)
            changes.append(Change(message, after, [event]))
        messages.save(session, changes)
