"""The one door to a message's status: every change goes through here, so that no step is forgotten.

A change is saved with a compare-and-set, appended to the history, emitted to consumers, followed by the next step of
the message's failure plan, and published and logged after the commit.
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
"""Returns the new state of a locked message and its history entry, or None to leave it unchanged. Pure."""

News = Callable[[Change], Iterable[PendingEvent]]
"""Returns events about a change in addition to those that every status change emits."""


def apply(
    rt: Runtime, tx: Transaction, ids: Iterable[UUID], decide: Decide, *, news: News | None = None
) -> list[Change]:
    """Change messages as `decide` says, and return every change, follow-ups included.

    The messages are locked in the order of their ids, so two batches cannot deadlock.

    Raises:
        StaleMessageError: another transaction changed a message first; nothing may be committed.
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
    """Save changes of locked messages and apply their follow-ups; return both.

    Only for this room: other rooms call `apply` or `record_reports`.
    """
    _write(tx, changes, news)
    record_refusals(rt, tx, changes)
    failed = [change for change in changes if has_just_failed(change.before, change.after)]
    if not failed:
        return list(changes)
    # A write of its own, so that a SID that arrived with the failure is recorded for the attempt that failed.
    resent = resends(rt, failed)
    _write(tx, resent)
    return [*changes, *resent, *_take(tx, plan_steps(rt, tx.session, failed))]


def follow_late_ones(rt: Runtime, tx: Transaction, changes: Sequence[Change]) -> list[Change]:
    """Take the next plan step of messages that are still at Twilio after their deadline."""
    return _take(tx, late_steps(rt, tx.session, changes))


def _take(tx: Transaction, followed: Sequence[tuple[Change, Followed]]) -> list[Change]:
    changes = [change for change, _ in followed]
    _write(tx, changes)
    for change, step in followed:
        write_step(tx, change, step)
    return changes


def _write(tx: Transaction, changes: Sequence[Change], news: News | None = None) -> None:
    """Save, emit events for the entries recorded now (not for those recorded before), and log after the commit."""
    if not changes:
        return
    recorded = messages.save(tx.session, changes)
    for change in changes:
        events = events_for(change.before, change.after, change.events)
        tx.emit_all(each for each in events if recorded is None or each.id in recorded)
    if news:
        for change in changes:
            tx.emit_all(news(change))
    tx.publish_outcomes(
        change.after.id
        for change in changes
        if change.after.outcome and change.after.outcome is not change.before.outcome
    )
    tx.after_commit(partial(_log, changes))


def _log(changes: Sequence[Change]) -> None:
    """Write one line for each message whose status or outcome changed.

    Twilio's answer to a submission is not logged here: `message_submitted` already says it, in more detail.
    """
    tell = log.bind().info  # bound once: each use of the unbound logger would create a bound one
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
