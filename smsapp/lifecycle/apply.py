"""The one door to a message's status: whoever changes one comes through here, so no step is forgotten.

A change is saved with a compare-and-set, appended to the history, told to consumers, followed by the next step of the
message's failure plan, and logged once it is committed.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from uuid import UUID

import structlog

from smsapp.events.types import events_for
from smsapp.ids import public_id
from smsapp.lifecycle.failure_plan import Followed
from smsapp.lifecycle.follow_up import late_steps, plan_steps, resends, write_step
from smsapp.lifecycle.resend import has_just_failed
from smsapp.messages import queries as messages
from smsapp.messages.fold import Event, MessageState, Source
from smsapp.messages.queries import Change
from smsapp.ports import PendingEvent
from smsapp.runtime import Runtime, Transaction
from smsapp.suppressions.record import record_refusals

log = structlog.get_logger(__name__)

Decide = Callable[[MessageState], tuple[MessageState, Event] | None]
"""What is to become of a locked message, and the entry of its history; None to leave it alone. Pure."""

News = Callable[[Change], Iterable[PendingEvent]]
"""Events about a change beside those that every change of status brings."""


def apply(
    rt: Runtime, tx: Transaction, ids: Iterable[UUID], decide: Decide, *, news: News | None = None
) -> list[Change]:
    """Change messages as `decide` says, and return every change, follow-ups included.

    The messages are locked in the order of their ids, so two batches never wait for each other.

    Raises:
        StaleMessageError: another transaction was faster; nothing may be committed.
    """
    locked = messages.lock(tx.session, ids)
    changes = [
        Change(message, decided[0], [decided[1]])
        for message in locked.values()
        if (decided := decide(message))
    ]
    return conclude(rt, tx, changes, news=news)


def conclude(
    rt: Runtime, tx: Transaction, changes: Sequence[Change], *, news: News | None = None
) -> list[Change]:
    """Save changes of locked messages and do what follows; return them with the follow-ups.

    Only for this room: others come through `apply` or `record_reports`.
    """
    _write(tx, changes, news)
    record_refusals(rt, tx, changes)
    failed = [change for change in changes if has_just_failed(change.before, change.after)]
    if not failed:
        return list(changes)
    # By itself: a SID that came with the bad news is known to belong to the attempt that it ended.
    resent = resends(rt, failed)
    _write(tx, resent)
    return [*changes, *resent, *_take(tx, plan_steps(rt, tx.session, failed))]


def follow_late_ones(rt: Runtime, tx: Transaction, changes: Sequence[Change]) -> list[Change]:
    """Take the next step of plans whose message is at Twilio while its deadline has passed."""
    return _take(tx, late_steps(rt, tx.session, changes))


def _take(tx: Transaction, followed: Sequence[tuple[Change, Followed]]) -> list[Change]:
    changes = [change for change, _ in followed]
    _write(tx, changes)
    for change, step in followed:
        write_step(tx, change, step)
    return changes


def _write(tx: Transaction, changes: Sequence[Change], news: News | None = None) -> None:
    """Save, tell of what was recorded now, and log after the commit; an event that was there before is not told."""
    if not changes:
        return
    recorded = messages.save(tx.session, changes)
    for change in changes:
        events = events_for(change.before, change.after, change.events)
        tx.emit_all(each for each in events if recorded is None or each.id in recorded)
    if news:
        for change in changes:
            tx.emit_all(news(change))
    tx.after_commit(partial(_log, changes))


def _log(changes: Sequence[Change]) -> None:
    """Write one line for each message whose status or outcome changed.

    What Twilio answered to a submission is not told again: `message_submitted` says it, with more.
    """
    tell = log.bind().info  # once for all: each use of the unbound logger makes a bound one
    for change in changes:
        before, after = change.before, change.after
        source = change.events[-1].source
        if source is Source.API or (after.status is before.status and after.outcome is before.outcome):
            continue
        tell(
            "status_changed",
            message_id=public_id(after.id),
            request_id=after.request_id,
            twilio_sid=after.twilio_sid,
            attempt=after.attempt,
            was=str(before.status),
            status=str(after.status),
            outcome=after.outcome and str(after.outcome),
            error_code=after.error_code,
            source=str(source),
        )
