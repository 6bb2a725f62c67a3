"""End messages that can no longer arrive in time, even while sending is parked, and notify consumers."""

from collections.abc import Iterator

from smsapp.events.types import EventType
from smsapp.ids import new_id
from smsapp.lifecycle import deadline_queries as deadlines
from smsapp.lifecycle.apply import apply, follow_late_ones
from smsapp.lifecycle.deadline import DEADLINE_MISSED, miss, was_missed
from smsapp.messages.fold import Event, MessageState
from smsapp.messages.queries import Change
from smsapp.ports import PendingEvent
from smsapp.runtime import Runtime


def miss_deadlines(rt: Runtime, *, batch: int = 500) -> int:
    """Process every deadline that has passed, once each; return how many messages had not arrived."""
    missed = 0
    while not rt.stopping.is_set():
        seen, found = _miss_some(rt, batch)
        missed += found
        if seen < batch:
            break
    return missed


def _miss_some(rt: Runtime, limit: int) -> tuple[int, int]:
    now = rt.clock()

    def decide(message: MessageState) -> tuple[MessageState, Event] | None:
        return miss(message, now=now, receipt_id=new_id()) if was_missed(message) else None

    with rt.transaction() as tx:
        ids = deadlines.passed(tx.session, now=now, limit=limit)
        if not ids:
            return 0, 0
        changes = apply(rt, tx, ids, decide, news=_missed)
        late = [change for change in changes if change.events[-1].reason == DEADLINE_MISSED]
        follow_late_ones(rt, tx, late)
        deadlines.close(tx.session, ids)
    return len(ids), len(late)


def _missed(change: Change) -> Iterator[PendingEvent]:
    """Return the deadline's own event; a failure that it causes is emitted separately, as any failure is."""
    yield PendingEvent(
        EventType.MESSAGE_DEADLINE_MISSED,
        new_id(),
        change.events[-1].received_at,
        change.after.id,
        change.before.version + len(change.events),
    )
