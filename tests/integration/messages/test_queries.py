"""The queries that everything rests on: compare-and-set, locks, one event per receipt, and times without a doubt."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import Session

from smsapp.db import counters
from smsapp.db.sessions import reading
from smsapp.messages import queries as messages
from smsapp.messages import reads
from smsapp.messages.fold import MessageState, Report, Source, Step, apply_report, apply_step
from smsapp.messages.models import FormerSid, Message
from smsapp.messages.queries import Change, StaleMessageError
from smsapp.messages.status import Status
from smsapp.pacing import due as pacing_due
from smsapp.queue.lanes import Lane
from smsapp.reconciliation import queries
from smsapp.runtime import Runtime
from tests.support.fakes import FakeClock
from tests.support.messages import Accept, claim, events, stored

SID = "SM" + "1" * 32
LEASE = timedelta(minutes=1)


def read(rt: Runtime, message_id: UUID) -> MessageState:
    """Return a message without a lock, as it is now."""
    with reading(rt.sessions) as session:
        return next(
            message
            for message in reads.page_by_id(session, after=None, limit=100)
            if message.id == message_id
        )


def sent_report(rt: Runtime, word: str = "sent", **changes: Any) -> Report:
    return Report(Source.CALLBACK, word, rt.clock(), uuid4(), 1, SID)._replace(**changes)


def save(rt: Runtime, *changes: Change) -> None:
    with rt.sessions.begin() as session:
        messages.save(session, changes)


def change(message: MessageState, *reports: Report) -> Change:
    after, kept = message, []
    for report in reports:
        after, event = apply_report(after, report)
        kept.append(event)
    return Change(message, after, kept)


# Compare-and-set.


def test_a_change_is_written_with_its_events(rt: Runtime, accept: Accept) -> None:
    message_id = accept()

    save(rt, change(read(rt, message_id), sent_report(rt), sent_report(rt, "delivered")))

    message = stored(rt, message_id)
    assert (message.status, message.twilio_sid, message.version) == (Status.DELIVERED, SID, 3)
    assert [(event.seq, event.status) for event in events(rt, message_id)] == [
        (1, "pending"),
        (2, "sent"),
        (3, "delivered"),
    ]


def test_a_change_that_is_based_on_an_old_state_is_refused_as_a_whole(rt: Runtime, accept: Accept) -> None:
    """One stale message in a batch: none of the batch may be committed, or the stale one's evidence is lost."""
    contested, other = accept(), accept()
    old, untouched = read(rt, contested), read(rt, other)
    save(rt, change(old, sent_report(rt, "delivered")))

    with pytest.raises(StaleMessageError):
        save(rt, change(untouched, sent_report(rt, twilio_sid=None)), change(old, sent_report(rt, "failed")))

    assert stored(rt, contested).status == Status.DELIVERED
    assert stored(rt, other).status == Status.PENDING
    assert len(events(rt, other)) == 1


def test_a_claim_makes_every_older_view_stale(rt: Runtime, accept: Accept) -> None:
    message_id = accept()
    old = read(rt, message_id)
    claim(rt)

    with pytest.raises(StaleMessageError):
        save(rt, change(old, sent_report(rt)))


def test_nothing_to_save_is_nothing_to_do(rt: Runtime) -> None:
    save(rt)


def test_one_receipt_is_one_event(rt: Runtime, accept: Accept) -> None:
    message_id = accept()
    report = sent_report(rt)

    save(rt, change(read(rt, message_id), report))
    save(rt, change(read(rt, message_id), report, sent_report(rt, "delivered")))

    assert [event.status for event in events(rt, message_id)] == ["pending", "sent", "delivered"]


def test_one_sid_belongs_to_one_message(rt: Runtime, accept: Accept) -> None:
    one, other = accept(), accept()
    save(rt, change(read(rt, one), sent_report(rt)))

    with pytest.raises(IntegrityError):
        save(rt, change(read(rt, other), sent_report(rt)))

    assert stored(rt, other).status == Status.PENDING


def test_the_sid_of_a_former_attempt_still_finds_its_message(rt: Runtime, accept: Accept) -> None:
    message_id = accept()
    save(rt, change(read(rt, message_id), sent_report(rt, "failed")))
    failed = read(rt, message_id)
    again = Step(Source.SYSTEM, Status.PENDING, 2, rt.clock(), uuid4(), rt.clock())
    after, event = apply_step(failed, again)
    save(rt, Change(failed, after, [event]))

    with rt.sessions.begin() as session:
        found, owners = messages.lock_for_reports(session, [], [SID, "SM" + "2" * 32])
        former = session.scalars(select(FormerSid)).all()
        bound = queries.bound_sids(session, [SID, "SM" + "2" * 32])

    assert [(row.twilio_sid, row.message_id, row.attempt) for row in former] == [(SID, message_id, 1)]
    assert (list(found), owners, bound) == ([message_id], {SID: (message_id, 1)}, {SID})


# Locks.


def test_who_locks_second_waits_and_sees_what_the_first_one_did(rt: Runtime, accept: Accept) -> None:
    message_id = accept()
    has_it = threading.Event()

    def record(word: str) -> MessageState:
        with rt.sessions.begin() as session:
            before = messages.lock(session, [message_id])[message_id]
            has_it.set()
            messages.save(session, [change(before, sent_report(rt, word))])
            return before

    with ThreadPoolExecutor(1) as pool:
        with rt.sessions.begin() as session:
            before = messages.lock(session, [message_id])[message_id]
            second = pool.submit(record, "delivered")
            was_early = has_it.wait(0.2)
            messages.save(session, [change(before, sent_report(rt))])
        seen = second.result(timeout=30)

    assert not was_early
    assert (seen.status, seen.version) == (Status.SENT, 2)
    assert stored(rt, message_id).status == Status.DELIVERED


@pytest.mark.parametrize("by", ["id", "sid"])
def test_batches_that_overlap_crosswise_do_not_wait_for_each_other(
    rt: Runtime, accept: Accept, by: str
) -> None:
    ids = [accept() for _ in range(20)]
    sids = {message_id: f"SM{number:032}" for number, message_id in enumerate(ids)}
    save(
        rt,
        *(
            change(read(rt, message_id), sent_report(rt, "queued", twilio_sid=sids[message_id]))
            for message_id in ids
        ),
    )

    def work(order: Callable[[list[UUID]], list[UUID]]) -> None:
        for _ in range(10):
            wanted = order(ids)
            with rt.sessions.begin() as session:
                if by == "id":
                    found, _ = messages.lock_for_reports(session, wanted, [])
                else:
                    found, _ = messages.lock_for_reports(
                        session, [], [sids[message_id] for message_id in wanted]
                    )
                reports = [
                    change(found[message_id], sent_report(rt, twilio_sid=sids[message_id]))
                    for message_id in wanted
                ]
                messages.save(session, reports)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work, list), pool.submit(work, lambda wanted: wanted[::-1])]:
            done.result(timeout=60)

    assert {len(events(rt, message_id)) for message_id in ids} == {22}


# What is due, and for whom.


def test_what_is_due_is_counted(rt: Runtime, clock: FakeClock, accept: Accept) -> None:
    accept()
    oldest = rt.clock()
    clock.advance(timedelta(seconds=1))
    accept()

    with reading(rt.sessions) as session:
        now = rt.clock()
        due = pacing_due.has_due(session, Lane.NORMAL, now=now), pacing_due.count_due(session, now=now)
        since = pacing_due.oldest_due(session, now=now)
        crowded = [pacing_due.has_more_due_than(session, limit, now=now) for limit in (1, 2)]
    claim(rt)
    with reading(rt.sessions) as session:
        later = pacing_due.has_due(session, Lane.NORMAL, now=now), pacing_due.count_due(session, now=now)

    assert (due, since, crowded, later) == ((True, 2), oldest, [True, False], (False, 0))


def test_twins_are_the_same_text_to_the_same_number_without_a_sid(
    rt: Runtime, clock: FakeClock, accept: Accept
) -> None:
    me = accept("+14155550100", "same")
    twin = accept("+14155550100", "same", sender="+15005550010")
    accept("+14155550100", "different")
    accept("+14155550101", "same")
    clock.advance(timedelta(seconds=5))
    claimed_at = rt.clock()
    claim(rt)
    named = accept("+14155550100", "same")
    save(rt, change(read(rt, named), sent_report(rt)))
    clock.advance(timedelta(seconds=5))
    accept("+14155550100", "same")  # still pending

    with reading(rt.sessions) as session:
        found = queries.duplicate_candidates(session, me)

    assert {each.id for each in found} == {me, twin}
    assert {each.claimed_at for each in found} == {claimed_at}


# Times and counters.


def test_a_time_is_an_instant_in_every_zone(rt: Runtime, accept: Accept) -> None:
    half_past = timezone(timedelta(hours=5, minutes=30))
    deliver_by = datetime(2026, 12, 24, 23, 30, 0, 123456, tzinfo=half_past)

    message = stored(rt, accept(deliver_by=deliver_by))

    assert message.deliver_by == deliver_by
    assert message.deliver_by.tzinfo is UTC
    assert message.created_at == rt.clock()


def test_a_time_without_a_zone_is_refused(rt: Runtime, accept: Accept) -> None:
    message_id = accept()

    with rt.sessions() as session:
        message = session.get(Message, message_id)
        assert message is not None
        message.deliver_by = datetime(2026, 12, 24)  # noqa: DTZ001 - the point
        with pytest.raises(StatementError, match="aware"):
            session.flush()


def test_a_counter_counts_for_everybody(rt: Runtime) -> None:
    def count(_: int) -> None:
        with rt.sessions.begin() as session:
            counters.add(session, "counted", 2)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(20)))

    with reading(rt.sessions) as session:
        assert counters.read(session)["counted"] == 40


def test_a_reader_does_not_wait_for_a_writer(rt: Runtime, accept: Accept) -> None:
    message_id = accept()

    with rt.sessions.begin() as writer:
        messages.lock(writer, [message_id])
        with reading(rt.sessions) as reader:
            assert reads.page_by_id(reader, after=None, limit=10)[0].id == message_id


def test_both_databases_answer_in_utc(rt: Runtime) -> None:
    def ask(session: Session) -> str:
        if session.get_bind().dialect.name == "sqlite":
            return str(session.execute(text("SELECT datetime('now')")).scalar_one())
        return str(session.execute(text("SELECT to_char(now(), 'YYYY-MM-DD HH24:MI:SS')")).scalar_one())

    with rt.sessions() as session:
        answered = datetime.fromisoformat(ask(session)).replace(tzinfo=UTC)

    assert abs(datetime.now(UTC) - answered) < timedelta(minutes=1)
