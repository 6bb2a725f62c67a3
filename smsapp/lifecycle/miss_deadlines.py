"""End what can no longer arrive in time, also while sending is parked, and tell that it did not."""

from uuid import UUID

from sqlalchemy.orm import Session

from smsapp.events import outbox
from smsapp.events.types import EventType, Outgoing
from smsapp.ids import new_id
from smsapp.lifecycle import deadline_queries as deadlines
from smsapp.lifecycle.deadline import miss, was_missed
from smsapp.lifecycle.follow_up import follow_late_ones, follow_up
from smsapp.lifecycle.log_changes import log_changes
from smsapp.messages import queries as messages
from smsapp.messages.fold import Tracked
from smsapp.messages.queries import Change
from smsapp.runtime import Runtime

_BATCH = 500


def miss_deadlines(rt: Runtime) -> int:
    """Look at every message whose deadline has passed since, once; return how many had not arrived."""
    missed = 0
    while not rt.stopping.is_set():
        with rt.sessions.begin() as session:
            ids = deadlines.passed(session, now=rt.clock(), limit=_BATCH)
            changes = _miss(rt, session, messages.lock(session, ids)) if ids else []
        log_changes(changes)
        missed += len(changes)
        if len(ids) < _BATCH:
            break
    return missed


def _miss(rt: Runtime, session: Session, locked: dict[UUID, Tracked]) -> list[Change]:
    now = rt.clock()
    changes = []
    for message in locked.values():
        if was_missed(message):
            after, event = miss(message, now=now, receipt_id=new_id())
            changes.append(Change(message, after, [event]))
    messages.save(session, changes)
    outbox.add_all(session, [_told(change) for change in changes])
    follow_up(rt, session, changes)
    follow_late_ones(rt, session, changes)
    deadlines.close(session, list(locked))
    return changes


def _told(change: Change) -> Outgoing:
    """Return the event of its own: failing for it, if it did, is told as any failure is."""
    return Outgoing(
        EventType.MESSAGE_DEADLINE_MISSED,
        new_id(),
        change.events[-1].received_at,
        change.after.id,
        change.before.version + len(change.events),
    )
