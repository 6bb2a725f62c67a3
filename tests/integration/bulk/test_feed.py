"""Rows become messages: each once, a few ahead of what is sent, and none after a pause."""

import csv
import io
import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from smsapp.bulk import feed as feeding
from smsapp.bulk import queries as sms_jobs
from smsapp.bulk import row_queries as job_rows
from smsapp.bulk.control import Command, control_job
from smsapp.bulk.create import create_job
from smsapp.bulk.documents import results_csv
from smsapp.bulk.draft import JobDraft, RowPattern
from smsapp.bulk.feed import feed_jobs
from smsapp.bulk.models import BulkJob, BulkRow
from smsapp.bulk.tend import wake_for_jobs
from smsapp.events.examples import example_of
from smsapp.events.models import OutboxEvent
from smsapp.events.types import EventType
from smsapp.ids import new_id
from smsapp.keys.models import ApiKey
from smsapp.messages.models import Message
from smsapp.queue.lanes import Lane
from smsapp.queue.tasks import Task
from smsapp.reconciliation.fill_in_prices import fill_in_prices
from smsapp.reconciliation.reconcile import reconcile
from smsapp.retention.redact import redact_messages
from smsapp.runtime import Runtime
from smsapp.submission.send import send_messages
from smsapp.suppressions import queries as suppressions
from smsapp.suppressions.rules import OptOutEvidence, OptOutSource
from smsapp.templates.rules import parse_template
from smsapp.uploads.rows import RawRow
from tests.support.callbacks import callback, receive
from tests.support.environment import SENDER
from tests.support.fakes import FakeClock, FakeTaskQueue, FakeTwilio

Row = dict[str, str]

feed = partial(feed_jobs, idle_s=0.05, look_every_s=0.01)
"""A feeder that does not wait long for others."""


@pytest.fixture
def key_id(sessions: sessionmaker[Session], api_key: str) -> UUID:
    with sessions() as session:
        return session.scalars(select(ApiKey.id)).one()


def numbers(count: int) -> list[Row]:
    return [{"to": f"+1415555{number:04d}"} for number in range(count)]


def make(rt: Runtime, key_id: UUID, rows: list[Row], *, body: str = "Hi", **options: Any) -> UUID:
    draft = JobDraft(
        api_key_id=key_id,
        body=body,
        template_name=None,
        template_version=None,
        messaging_service_sid=None,
        on_unconfirmed="hold",
        resend_after_failure=False,
        **{"start": True, "sender": SENDER, "pattern": RowPattern(parse_template(body))} | options,
    )
    raw = [RawRow(line, cells) for line, cells in enumerate(rows, start=2)]
    accepted = create_job(rt, draft, raw, render=lambda job, _: {"id": job.id.hex})
    return UUID(accepted.answer["id"])


def job_of(rt: Runtime, job_id: UUID) -> BulkJob:
    with rt.sessions() as session:
        job = sms_jobs.get(session, job_id)
    assert job is not None
    return job


def messages_of(rt: Runtime, job_id: UUID) -> list[Message]:
    with rt.sessions() as session:
        return list(session.scalars(select(Message).where(Message.job_id == job_id).order_by(Message.id)))


def rows_of(rt: Runtime, job_id: UUID) -> list[BulkRow]:
    with rt.sessions() as session:
        return list(session.scalars(select(BulkRow).where(BulkRow.job_id == job_id).order_by(BulkRow.number)))


def suppress(rt: Runtime, number: str) -> None:
    stopped = OptOutEvidence(number, [SENDER], True, OptOutSource.INBOUND, rt.clock())
    with rt.sessions.begin() as session:
        suppressions.record(session, [stopped], now=rt.clock())
    rt.any_suppression.expect()


def end_all(rt: Runtime, outcome: str = "delivered") -> None:
    with rt.sessions.begin() as session:
        session.execute(update(Message).values(status=outcome, outcome=outcome, due_at=None))


def test_each_row_becomes_one_message_with_its_own_text(rt: Runtime, key_id: UUID) -> None:
    rows = [
        row | {"name": name, "client_reference": name} for row, name in zip(numbers(2), "ab", strict=True)
    ]
    job_id = make(rt, key_id, rows, body="Hi {{name}}", tags=["spring"])

    assert feed(rt) == 2
    assert feed(rt) == 0

    found = messages_of(rt, job_id)
    assert [(m.to, m.body, m.client_reference, m.tags) for m in found] == [
        ("+14155550000", "Hi a", "a", ["spring"]),
        ("+14155550001", "Hi b", "b", ["spring"]),
    ]
    assert [(row.state, row.message_id, row.body) for row in rows_of(rt, job_id)] == [
        ("stored", message.id, None) for message in found
    ]
    job = job_of(rt, job_id)
    assert (job.waiting, job.stored) == (0, 2)


def test_a_job_that_was_not_started_sends_nothing(rt: Runtime, key_id: UUID, tasks: FakeTaskQueue) -> None:
    job_id = make(rt, key_id, numbers(3), start=False)

    assert feed(rt) == 0
    assert wake_for_jobs(rt) == 0
    assert messages_of(rt, job_id) == []
    control_job(rt, job_id, Command.START)
    assert (Task.FEED_JOBS, 0) in tasks.woken
    assert wake_for_jobs(rt) == 1
    assert feed(rt) == 3


def test_only_a_window_of_messages_waits_at_a_time(rt: Runtime, key_id: UUID) -> None:
    object.__setattr__(rt, "settings", rt.settings.model_copy(update={"job_window": 10}))
    job_id = make(rt, key_id, numbers(35))

    assert feed(rt) == 10
    assert feed(rt) == 0
    send_messages(rt, lane=Lane.BULK)
    assert feed(rt) == 10

    assert len(messages_of(rt, job_id)) == 20


def test_no_row_follows_a_pause(rt: Runtime, key_id: UUID) -> None:
    object.__setattr__(rt, "settings", rt.settings.model_copy(update={"job_window": 10}))
    job_id = make(rt, key_id, numbers(25))
    feed(rt)

    control_job(rt, job_id, Command.PAUSE)
    send_messages(rt, lane=Lane.BULK)
    assert feed(rt) == 0
    control_job(rt, job_id, Command.RESUME)

    assert feed(rt) == 10


def test_canceling_stops_rows_and_messages_that_are_not_sent_yet(
    rt: Runtime, key_id: UUID, twilio: FakeTwilio
) -> None:
    object.__setattr__(rt, "settings", rt.settings.model_copy(update={"job_window": 10}))
    job_id = make(rt, key_id, numbers(25))
    feed(rt)
    send_messages(rt, lane=Lane.BULK)
    feed(rt)

    control_job(rt, job_id, Command.CANCEL)
    assert feed(rt) == 10

    job = job_of(rt, job_id)
    assert (job.state, job.stored, job.canceled, job.waiting) == ("canceled", 20, 5, 0)
    assert {row.body for row in rows_of(rt, job_id)} == {None}
    assert Counter(m.outcome for m in messages_of(rt, job_id)) == {None: 10, "canceled": 10}
    send_messages(rt, lane=Lane.BULK)
    assert len(twilio.sent) == 10
    assert job_of(rt, job_id).finished_at is None
    end_all(rt)
    feed(rt)
    assert job_of(rt, job_id).finished_at is not None
    assert job_of(rt, job_id).state == "canceled"


def test_a_pause_between_reading_and_storing_wins(
    rt: Runtime, key_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = make(rt, key_id, numbers(5))
    real = feeding.store_together

    def paused_meanwhile(*arguments: Any, **options: Any) -> None:
        control_job(rt, job_id, Command.PAUSE)
        real(*arguments, **options)

    monkeypatch.setattr(feeding, "store_together", paused_meanwhile)

    assert feed(rt) == 0
    assert messages_of(rt, job_id) == []
    assert job_of(rt, job_id).waiting == 5


def test_two_feeders_at_once_store_each_row_once(rt: Runtime, key_id: UUID) -> None:
    job_id = make(rt, key_id, numbers(400))

    threads = [threading.Thread(target=partial(feed, batch=20), args=(rt,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(messages_of(rt, job_id)) == len({m.to for m in messages_of(rt, job_id)}) == 400
    job = job_of(rt, job_id)
    assert (job.stored, job.waiting) == (400, 0)


def test_a_feeder_that_dies_before_its_commit_leaves_the_rows_to_the_next(
    rt: Runtime, key_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = make(rt, key_id, numbers(5))

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(feeding.sms_jobs, "count", die)
        with pytest.raises(KeyboardInterrupt):
            feed(rt)
    assert messages_of(rt, job_id) == []

    assert feed(rt) == 5
    assert len(messages_of(rt, job_id)) == 5


def test_one_row_that_the_database_refuses_costs_only_itself(
    rt: Runtime, key_id: UUID, sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = make(rt, key_id, numbers(3))
    real = feeding.prepare

    def broken(draft: Any, now: Any) -> Any:
        pending = real(draft, now)
        if draft.recipient.e164.endswith("1"):
            pending.message = pending.message._replace(body=None)
        return pending

    monkeypatch.setattr(feeding, "prepare", broken)
    feed(rt)

    assert [(row.state, row.reason) for row in rows_of(rt, job_id)] == [
        ("stored", None),
        ("refused", "not_storable"),
        ("stored", None),
    ]
    job = job_of(rt, job_id)
    assert (job.stored, job.refused, job.waiting) == (2, 1, 0)


def test_a_job_is_completed_when_every_message_has_an_outcome(
    rt: Runtime, key_id: UUID, twilio: FakeTwilio
) -> None:
    job_id = make(rt, key_id, [*numbers(3), {"to": "nobody"}])
    feed(rt)
    send_messages(rt, lane=Lane.BULK)
    feed(rt)
    assert job_of(rt, job_id).state == "running"

    end_all(rt)
    feed(rt)
    feed(rt)

    job = job_of(rt, job_id)
    assert (job.state, job.finished_at) == ("completed", rt.clock())
    with rt.sessions() as session:
        (event,) = session.scalars(select(OutboxEvent).where(OutboxEvent.type == "job.completed"))
    assert event.data is not None
    assert event.data["id"] == f"job_{job_id.hex}"
    assert (event.data["outcomes"], event.data["counts"]["faulty"]) == ({"delivered": 3}, 1)
    example = example_of(EventType.JOB_COMPLETED, id=new_id(), now=rt.clock())["data"]
    assert (set(example), set(example["counts"])) == (set(event.data), set(event.data["counts"]))
    assert wake_for_jobs(rt) == 0


def test_rows_whose_time_is_over_are_refused(rt: Runtime, key_id: UUID, clock: Any) -> None:
    job_id = make(rt, key_id, numbers(2), deliver_by=clock() + timedelta(hours=1))
    clock.advance(timedelta(hours=2))

    feed(rt)

    assert {(row.state, row.reason) for row in rows_of(rt, job_id)} == {("refused", "deadline_passed")}
    feed(rt)
    assert job_of(rt, job_id).state == "completed"


def test_people_who_opted_out_meanwhile_are_left_alone(rt: Runtime, key_id: UUID) -> None:
    job_id = make(rt, key_id, numbers(3), start=False)
    suppress(rt, "+14155550001")
    control_job(rt, job_id, Command.START)

    assert feed(rt) == 3

    job = job_of(rt, job_id)
    assert (job.stored, job.opted_out, job.waiting) == (2, 1, 0)
    assert [row.reason for row in rows_of(rt, job_id)] == [None, "opted_out", None]
    assert {message.to for message in messages_of(rt, job_id)} == {"+14155550000", "+14155550002"}


def test_people_who_have_opted_out_are_counted_at_once(rt: Runtime, key_id: UUID) -> None:
    suppress(rt, "+14155550001")

    job = job_of(rt, make(rt, key_id, numbers(3), start=False))

    assert (job.opted_out, job.waiting, job.segments) == (1, 2, 2)


def test_those_who_sleep_do_not_hold_up_those_who_are_awake(rt: Runtime, key_id: UUID) -> None:
    object.__setattr__(rt, "settings", rt.settings.model_copy(update={"job_window": 4}))
    asleep = [{"to": f"+1415555{number:04d}"} for number in range(8)]  # it is 4 in the morning in California
    awake = [{"to": f"+491512345678{number}"} for number in range(3)]
    job_id = make(rt, key_id, asleep + awake, quiet_hours="21:00-08:00")

    feed(rt)

    assert len(messages_of(rt, job_id)) == 11


# --- Options of the whole job


def test_every_message_has_the_options_of_its_job(rt: Runtime, key_id: UUID) -> None:
    late = rt.clock() + timedelta(hours=1)
    plan = {"steps": [{"on": ["any"], "do": "request_fallback"}]}
    options = {
        "deliver_by": late,
        "callback_url": "https://example.com/told",
        "tags": ["a"],
        "on_failure": plan,
    }
    job_id = make(rt, key_id, numbers(2), sensitive=True, **options)

    feed(rt)

    for message in messages_of(rt, job_id):
        assert {name: getattr(message, name) for name in options} == options
        assert (message.sensitive, message.redact_at, message.steps_left) == (True, rt.clock(), 1)


def test_a_sensitive_text_is_nowhere_once_it_is_out(rt: Runtime, twilio: FakeTwilio, key_id: UUID) -> None:
    rows = [row | {"code": code} for row, code in zip(numbers(3), ("111", "222", ""), strict=True)]
    job_id = make(rt, key_id, rows, body="Secret {{code}}", sensitive=True)
    before = [row.body for row in rows_of(rt, job_id)]

    feed(rt)
    send_messages(rt, 0, Lane.BULK)
    redact_messages(rt)

    assert sorted(sent.body for sent in twilio.sent) == ["Secret 111", "Secret 222"]
    assert (before, job_of(rt, job_id).body) == (["Secret 111", "Secret 222", None], "")
    assert [row.body for row in rows_of(rt, job_id)] == [None] * 3
    assert [message.body for message in messages_of(rt, job_id)] == ["", ""]


def test_no_row_becomes_a_message_before_its_time(
    rt: Runtime, tasks: FakeTaskQueue, clock: FakeClock, key_id: UUID
) -> None:
    job_id = make(rt, key_id, numbers(3), send_at=clock() + timedelta(hours=1))

    clock.advance(timedelta(minutes=59))
    early = feed(rt), wake_for_jobs(rt)
    control_job(rt, job_id, Command.PAUSE)
    clock.advance(timedelta(minutes=1))
    paused = feed(rt)
    control_job(rt, job_id, Command.RESUME)

    assert (early, paused) == ((0, 0), 0)
    assert wake_for_jobs(rt) == 1
    assert feed(rt) == 3
    assert [message.due_at for message in messages_of(rt, job_id)] == [clock()] * 3


def test_a_scheduled_job_of_which_nothing_can_be_sent_is_done_at_once(
    rt: Runtime, clock: FakeClock, key_id: UUID
) -> None:
    job_id = make(rt, key_id, [{"to": "nobody"}], send_at=clock() + timedelta(hours=1))

    feed(rt)

    assert job_of(rt, job_id).state == "completed"


def test_a_window_of_one_message_waits_until_that_is_sent(rt: Runtime, key_id: UUID) -> None:
    object.__setattr__(rt, "settings", rt.settings.model_copy(update={"job_window": 1}))
    job_id = make(rt, key_id, numbers(2))

    assert feed(rt) == 1
    assert feed(rt) == 0  # the one is pending
    send_messages(rt, lane=Lane.BULK)
    assert feed(rt) == 1

    assert job_of(rt, job_id).waiting == 0


def test_a_feeder_whose_rows_were_all_taken_meanwhile_goes_on(
    rt: Runtime, key_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = make(rt, key_id, numbers(2))
    real = sms_jobs.pending

    def another_is_faster(*arguments: Any, **options: Any) -> int:
        monkeypatch.setattr(sms_jobs, "pending", real)
        feeding._feed(rt, job_of(rt, job_id), feeding.BATCH)
        return 0

    monkeypatch.setattr(sms_jobs, "pending", another_is_faster)

    feed(rt)

    assert len(messages_of(rt, job_id)) == 2


def test_the_results_have_price_sender_and_latency(
    rt: Runtime, key_id: UUID, twilio: FakeTwilio, clock: FakeClock
) -> None:
    fill_in_prices(rt)  # from here on
    job_id = make(rt, key_id, numbers(2))
    feed(rt)
    send_messages(rt, lane=Lane.BULK)
    delivered, failed = (message.id for message in messages_of(rt, job_id))
    clock.advance(timedelta(minutes=3))
    receive(
        rt,
        callback(rt, delivered, "delivered", RawDlrDoneDate="2611231202"),
        callback(rt, failed, "failed", ErrorCode="30001"),
    )
    for sid, record in twilio.records.items():
        twilio.records[sid] = replace(record, price="-0.00750")
    clock.advance(timedelta(minutes=6))

    reconcile(rt)

    with rt.sessions() as session:
        page = job_rows.results(session, job_id, after=0, limit=10)
    lines = list(csv.DictReader(io.StringIO("".join(results_csv([page])))))
    told = [
        (line["outcome"], line["price"], line["from"], line["carrier_at"], line["latency_s"])
        for line in lines
    ]
    assert told == [
        ("delivered", "-0.00750", SENDER, "2026-11-23T12:02:00.000Z", "120.0"),
        ("failed", "", SENDER, "", "180.0"),
    ]


def test_rows_whose_links_nobody_can_shorten_any_more_are_refused(rt: Runtime, key_id: UUID) -> None:
    pattern = RowPattern(parse_template("https://example.com/"), options={"shorten_urls": True})
    job_id = make(rt, key_id, numbers(2), pattern=pattern, sender=None)  # when a service was configured

    feed_jobs(rt)

    assert [(row.state, row.reason) for row in rows_of(rt, job_id)] == [
        ("refused", "no_messaging_service")
    ] * 2
    assert job_of(rt, job_id).state == "completed"
