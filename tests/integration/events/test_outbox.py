"""The outbox: what is written with a change, what a rollback takes back, and how it is numbered."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest
from sqlalchemy import select

from smsapp.events.models import OutboxEvent, OutboxHead
from smsapp.events.outbox import DatabaseOutbox
from smsapp.events.types import EventType
from smsapp.ids import new_id
from smsapp.ports import PendingEvent
from smsapp.queue.tasks import Task
from smsapp.runtime import Runtime
from tests.support.fakes import START, FakeTaskQueue


def some(count: int) -> list[PendingEvent]:
    return [PendingEvent(EventType.JOB_COMPLETED, new_id(), START, data={"n": n}) for n in range(count)]


def written(rt: Runtime) -> list[OutboxEvent]:
    """Return everything in the outbox, in order."""
    with rt.sessions() as session:
        return list(session.scalars(select(OutboxEvent).order_by(OutboxEvent.seq)))


def head(rt: Runtime) -> int:
    with rt.sessions() as session:
        return session.scalars(select(OutboxHead.seq)).one()


class Oops(Exception):
    pass


def test_events_are_numbered_in_the_order_in_which_they_were_added(rt: Runtime) -> None:
    first, second = some(3), some(2)
    for events in (first, second):
        with rt.transaction() as tx:
            tx.emit(events[0])
            tx.emit_all(events[1:])

    rows = written(rt)

    assert [(row.seq, row.id) for row in rows] == list(enumerate([e.id for e in first + second], start=1))
    assert [row.data for row in rows] == [e.data for e in first + second]
    assert {(row.type, row.occurred_at, row.message_id, row.event_seq) for row in rows} == {
        ("job.completed", START, None, None)
    }
    assert head(rt) == 5


def test_pushers_are_woken_before_anything_else_follows_the_commit(rt: Runtime, tasks: FakeTaskQueue) -> None:
    listening = replace(rt, outbox=DatabaseOutbox(lambda _session: True))
    woken_by_then: list[Task] = []

    with listening.transaction() as tx:
        tx.after_commit(lambda: woken_by_then.extend(task for task, _ in tasks.woken))
        tx.emit_all(some(1))
        woken_within = list(tasks.woken)

    assert woken_within == []
    assert woken_by_then == [Task.PUSH_EVENTS]


def test_a_first_consumer_is_noticed_at_once(
    rt: Runtime, tasks: FakeTaskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, listens = [100.0], [False]
    monkeypatch.setattr("smsapp.events.outbox.time", SimpleNamespace(monotonic=lambda: now[0]))
    counting = replace(rt, outbox=DatabaseOutbox(lambda _session: listens[0]))

    def woken() -> bool:
        tasks.woken.clear()
        with counting.transaction() as tx:
            tx.emit(*some(1))
        return (Task.PUSH_EVENTS, 0) in tasks.woken

    assert not woken()
    listens[0] = True
    now[0] += 0.15
    assert woken()
    listens[0] = False
    now[0] += 1.0
    assert woken(), "one wake-up in vain now and then costs less than a query each time"


def test_what_follows_the_commit_does_not_follow_a_rollback(rt: Runtime, tasks: FakeTaskQueue) -> None:
    listening = replace(rt, outbox=DatabaseOutbox(lambda _session: True))
    called: list[str] = []

    with suppress(Oops), listening.transaction() as tx:
        tx.after_commit(lambda: called.append("after all of it"))
        tx.emit_all(some(1))
        raise Oops
    with listening.transaction() as tx:
        with suppress(Oops), tx.savepoint():
            tx.after_commit(lambda: called.append("after the savepoint"))
            raise Oops
        tx.after_commit(lambda: called.append("after the rest"))

    assert called == ["after the rest"]
    assert tasks.woken == []


def test_a_rollback_gives_its_numbers_back(rt: Runtime) -> None:
    with rt.transaction() as tx:
        tx.emit_all(some(1))
    with suppress(Oops), rt.transaction() as tx:
        tx.emit_all(some(5))
        raise Oops
    with rt.transaction() as tx:
        tx.emit_all(some(1))

    assert [row.seq for row in written(rt)] == [1, 2]


def test_a_failed_commit_gives_its_numbers_back(rt: Runtime) -> None:
    [twice, *_] = written_once = some(1)
    with rt.transaction() as tx:
        tx.emit(twice)
    session = rt.sessions()
    rt.outbox.write(session, some(3))  # what comes before the commit; then the process dies
    session.close()
    with rt.transaction() as tx:
        tx.emit_all([*some(1)])

    assert [row.seq for row in written(rt)] == [1, 2]
    assert written(rt)[0].id == written_once[0].id


def test_what_follows_a_rollback_tells_nothing_of_before(rt: Runtime) -> None:
    kept = some(1)
    with suppress(Oops), rt.transaction() as tx:
        tx.emit_all(some(2))
        raise Oops
    with rt.transaction() as tx:
        tx.emit_all(kept)
    with rt.transaction():
        pass

    assert [row.id for row in written(rt)] == [kept[0].id]


def test_a_savepoint_that_is_rolled_back_takes_its_events_along(rt: Runtime) -> None:
    before, inside, deeper, after = some(1), some(1), some(1), some(1)
    with rt.transaction() as tx:
        tx.emit_all(before)
        with suppress(Oops), tx.savepoint():
            tx.emit_all(some(1))
            with tx.savepoint():
                tx.emit_all(some(1))
            raise Oops
        with tx.savepoint():
            tx.emit_all(inside)
            with suppress(Oops), tx.savepoint():
                tx.emit_all(some(1))
                raise Oops
            with tx.savepoint():
                tx.emit_all(deeper)
        tx.emit_all(after)

    assert [row.id for row in written(rt)] == [e.id for e in before + inside + deeper + after]


def test_an_end_that_is_taken_back_in_the_same_transaction_is_not_told(rt: Runtime) -> None:
    def of(message_id: UUID, kind: EventType, seq: int, *, reopens: bool = False) -> PendingEvent:
        return PendingEvent(kind, new_id(), START, message_id, seq, reopens=reopens)

    one, other, corrected = new_id(), new_id(), new_id()
    with rt.transaction() as tx:
        tx.emit(of(one, EventType.MESSAGE_SENT, 3), of(one, EventType.MESSAGE_FAILED, 4))
        tx.emit(of(other, EventType.MESSAGE_FAILED, 4))
        tx.emit(of(one, EventType.MESSAGE_DEADLINE_MISSED, 4))
        tx.emit(of(one, EventType.MESSAGE_REVISED, 5, reopens=True))
        tx.emit(of(corrected, EventType.MESSAGE_FAILED, 4), of(corrected, EventType.MESSAGE_REVISED, 5))
        tx.emit(of(corrected, EventType.MESSAGE_REVISED, 6, reopens=True))
    with rt.transaction() as tx:
        tx.emit(of(other, EventType.MESSAGE_REVISED, 5, reopens=True))

    assert [(row.message_id, row.type, row.event_seq) for row in written(rt)] == [
        (one, "message.sent", 3),
        (other, "message.failed", 4),
        (one, "message.deadline_missed", 4),
        (other, "message.revised", 5),
    ]


def test_the_time_of_writing_is_the_databases_own(rt: Runtime) -> None:
    with rt.transaction() as tx:
        tx.emit(PendingEvent(EventType.JOB_COMPLETED, new_id(), START - timedelta(days=6)))
    [row] = written(rt)

    assert row.occurred_at == START - timedelta(days=6)
    assert abs(row.written_at - datetime.now(UTC)) < timedelta(minutes=5)
