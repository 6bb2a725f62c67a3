"""What is old goes by itself: texts first, numbers and histories later, counts never."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from smsapp.bulk.feed import feed_jobs
from smsapp.bulk.models import BulkJob, BulkRow
from smsapp.callbacks import dead_letters
from smsapp.db.base import Base
from smsapp.ids import new_id
from smsapp.keys.models import ApiKey
from smsapp.lifecycle.record_reports import TargetedReport, record_reports
from smsapp.maintenance import PARTS
from smsapp.messages.documents import message_view
from smsapp.messages.fold import Report, Source
from smsapp.messages.models import Message
from smsapp.reconciliation.check_ledger import check_histories, check_ledger
from smsapp.retention import expire
from smsapp.retention.expire import (
    expire_dead_letters,
    expire_job_rows,
    expire_job_texts,
    expire_numbers,
    expire_texts,
)
from smsapp.retention.redact import redact_messages
from smsapp.runtime import Runtime
from smsapp.submission.send import send_messages
from tests.support.fakes import FakeClock, FakeTwilio
from tests.support.jobs import make_job
from tests.support.messages import Accept, events, stored

NUMBER = "+14155552671"
TEXT = "Your code is 918273"
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _today(clock: FakeClock) -> None:
    """Let the clock begin where ids do: they carry the real time."""
    clock.now = datetime.now(UTC)


@pytest.fixture
def delivered(rt: Runtime, accept: Accept) -> UUID:
    """A message that was delivered."""
    message_id = accept(to=NUMBER, body=TEXT, client_reference="order-4711", tags=["fall"])
    send_messages(rt)
    said = Report(Source.CALLBACK, "delivered", rt.clock(), new_id(), attempt=1, payload={"To": NUMBER})
    with rt.transaction() as tx:
        record_reports(rt, tx, [TargetedReport(message_id, said)])
    return message_id


def everything_stored(rt: Runtime) -> str:
    with rt.sessions() as session:
        return "\n".join(
            str(tuple(row)) for table in Base.metadata.sorted_tables for row in session.execute(select(table))
        )


def end_all(rt: Runtime) -> None:
    with rt.sessions.begin() as session:
        session.execute(update(Message).values(status="delivered", outcome="delivered", due_at=None))


def test_a_text_goes_after_its_time_and_its_number_stays(
    rt: Runtime, clock: FakeClock, delivered: UUID
) -> None:
    clock.advance(30 * DAY - timedelta(minutes=1))
    early = expire_texts(rt)
    clock.advance(timedelta(minutes=2))

    assert (early, expire_texts(rt), expire_texts(rt)) == (0, 1, 0)

    message = stored(rt, delivered)
    assert TEXT not in everything_stored(rt)
    assert (message.to, message.status, message_view(message)["body"]) == (NUMBER, "delivered", None)


def test_numbers_and_histories_go_later_and_the_count_stays(
    rt: Runtime, clock: FakeClock, delivered: UUID
) -> None:
    clock.advance(397 * DAY)

    assert (expire_numbers(rt), expire_numbers(rt)) == (1, 0)

    left = everything_stored(rt)
    assert not [each for each in (NUMBER[1:], TEXT, "order-4711", "fall") if each in left]
    assert events(rt, delivered) == []
    assert stored(rt, delivered).outcome == "delivered"
    assert check_ledger(rt).by_outcome == {"delivered": 1}
    assert check_histories(rt) == (0, [])


def test_a_message_under_way_keeps_what_it_needs_until_it_ends(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(body=TEXT)
    clock.advance(31 * DAY)

    assert expire_texts(rt) == 0
    assert stored(rt, message_id).body == TEXT

    send_messages(rt)
    redact_messages(rt)
    assert stored(rt, message_id).body == ""


def test_nothing_goes_where_it_is_kept_for_ever(rt: Runtime, clock: FakeClock, delivered: UUID) -> None:
    settings = rt.settings.model_copy(update={"keep_texts": None, "keep_numbers": None, "keep_inbound": None})
    clock.advance(4000 * DAY)
    before = stored(rt, delivered)

    for part in PARTS:
        if part.__module__ == expire.__name__:
            assert part(replace(rt, settings=settings)) == 0

    assert stored(rt, delivered).body == before.body == TEXT


def test_a_pass_takes_small_batches_and_never_looks_at_a_message_twice(
    rt: Runtime, clock: FakeClock, accept: Accept
) -> None:
    for number in range(5):
        accept(body=f"text {number}")
    send_messages(rt)
    clock.advance(31 * DAY)

    assert [expire_texts(rt, batch=2, batches=2) for _ in range(3)] == [4, 1, 0]


def test_dead_letters_expire(rt: Runtime, clock: FakeClock) -> None:
    with rt.transaction() as tx:
        dead_letters.add(
            tx.session, id=new_id(), kind="callback", payload={"body": NUMBER}, cause="?", now=clock()
        )
    kept = expire_dead_letters(rt)
    clock.advance(31 * DAY)

    assert (kept, expire_dead_letters(rt), expire_dead_letters(rt)) == (0, 1, 0)
    assert NUMBER not in everything_stored(rt)


def test_rows_and_texts_of_jobs_go_and_a_draft_that_nobody_started_is_canceled(
    rt: Runtime, clock: FakeClock, sessions: sessionmaker[Session], api_key: str
) -> None:
    with sessions() as session:
        key_id = session.scalars(select(ApiKey.id)).one()
    for start in (True, False):
        make_job(rt, key_id, [{"to": NUMBER}], body=TEXT, start=start)
    feed_jobs(rt, idle_s=0.05, look_every_s=0.01)
    send_messages(rt)
    end_all(rt)
    feed_jobs(rt, idle_s=0.05, look_every_s=0.01)
    clock.advance(31 * DAY)
    assert (expire_job_texts(rt), expire_job_texts(rt), expire_job_rows(rt)) == (1, 0, 0)
    clock.advance(366 * DAY)

    first = expire_job_rows(rt)
    feed_jobs(rt, idle_s=0.05, look_every_s=0.01)
    second = expire_job_rows(rt)

    with rt.sessions() as session:
        jobs = session.scalars(select(BulkJob).order_by(BulkJob.id)).all()
        assert session.scalars(select(BulkRow)).all() == []
    assert (first, second) == (1, 1)
    assert [(job.state, job.stored, job.canceled) for job in jobs] == [
        ("completed", 1, 0),
        ("canceled", 0, 1),
    ]
