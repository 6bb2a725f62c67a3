"""A deadline holds whatever state the message is in, also while nothing is sent, and is told once."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from smsapp.events.models import OutboxEvent
from smsapp.ids import new_id
from smsapp.lifecycle.miss_deadlines import miss_deadlines
from smsapp.lifecycle.record_reports import TargetedReport, record_reports
from smsapp.maintenance import sweep
from smsapp.messages.fold import Report, Source
from smsapp.messages.status import Outcome, Status
from smsapp.runtime import Runtime
from smsapp.sending.cancel import cancel_message
from smsapp.submission.outbound import Outbound
from smsapp.submission.send import send_messages
from smsapp.twilio.error_codes import OwnCode
from tests.support.fakes import FakeClock, FakeTwilio, refuse
from tests.support.messages import Accept, claim, events, stored

MINUTE = timedelta(minutes=1)


pytestmark = pytest.mark.usefixtures("nothing_is_lost")


def told(rt: Runtime) -> list[str]:
    """Return the types of all events that consumers hear of, in order."""
    with rt.sessions() as session:
        return list(session.scalars(select(OutboxEvent.type).order_by(OutboxEvent.seq)))


def report(rt: Runtime, message_id: UUID, word: str, code: int | None = None) -> None:
    said = Report(Source.CALLBACK, word, rt.clock(), new_id(), attempt=1, error_code=code)
    with rt.transaction() as tx:
        record_reports(rt, tx, [TargetedReport(message_id, said)])


def test_a_parked_message_ends_at_its_deadline(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    twilio.behaviours = [refuse(20003, 401)]
    first = accept()
    send_messages(rt)
    message_id = accept(deliver_by=clock() + MINUTE)
    twilio.probes = [refuse(20003, 401)(None)] * 9

    clock.advance(MINUTE)
    sweep(rt)

    message = stored(rt, message_id)
    assert (message.status, message.outcome) == (Status.FAILED, Outcome.FAILED)
    assert (message.error_code, message.due_at, message.deadline_at) == (OwnCode.DEADLINE_MISSED, None, None)
    assert stored(rt, first).status == Status.PENDING
    assert twilio.sent == []
    assert told(rt)[-2:] == ["message.failed", "message.deadline_missed"]


def test_a_message_at_twilio_goes_on_and_its_lateness_is_told_once(
    rt: Runtime, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(deliver_by=clock() + MINUTE)
    send_messages(rt)

    early = miss_deadlines(rt)
    clock.advance(MINUTE)
    on_time, again = miss_deadlines(rt), miss_deadlines(rt)

    assert (early, on_time, again) == (0, 1, 0)
    assert stored(rt, message_id).status == Status.QUEUED
    last = events(rt, message_id)[-1]
    assert (last.status, last.applied, last.reason) == ("queued", False, "deadline_missed")
    report(rt, message_id, "delivered")
    assert stored(rt, message_id).status == Status.DELIVERED
    assert told(rt) == ["message.accepted", "message.deadline_missed", "message.delivered"]


def test_a_message_that_is_being_submitted_is_not_disturbed(
    rt: Runtime, clock: FakeClock, accept: Accept, monkeypatch: pytest.MonkeyPatch, twilio: FakeTwilio
) -> None:
    message_id = accept(deliver_by=clock() + MINUTE)

    def slowly(message: Outbound) -> object:
        clock.advance(MINUTE)
        assert miss_deadlines(rt) == 1
        return twilio.accept(message)

    monkeypatch.setattr(twilio, "submit", slowly)
    send_messages(rt)

    assert stored(rt, message_id).status == Status.QUEUED


@pytest.mark.parametrize("word", ["delivered", "undelivered"])
def test_what_ended_in_time_is_not_told_again(
    rt: Runtime, clock: FakeClock, accept: Accept, word: str
) -> None:
    message_id = accept(deliver_by=clock() + MINUTE)
    send_messages(rt)
    report(rt, message_id, word, 30005 if word == "undelivered" else None)

    clock.advance(2 * MINUTE)

    assert miss_deadlines(rt) == 0
    assert stored(rt, message_id).deadline_at is None
    assert "message.deadline_missed" not in told(rt)


def test_what_twilio_dropped_for_our_deadline_missed_it(
    rt: Runtime, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(deliver_by=clock() + MINUTE)
    send_messages(rt)
    report(rt, message_id, "failed", 30036)

    clock.advance(2 * MINUTE)

    assert miss_deadlines(rt) == 1
    assert told(rt) == ["message.accepted", "message.failed", "message.deadline_missed"]


def test_a_canceled_message_misses_nothing(rt: Runtime, clock: FakeClock, accept: Accept) -> None:
    message_id = accept(deliver_by=clock() + MINUTE)
    cancel_message(rt, message_id, request_id=None)

    clock.advance(MINUTE)

    assert miss_deadlines(rt) == 0


def test_what_is_given_up_because_the_next_try_would_be_late_is_told_too(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    twilio.behaviours = [twilio.unreachable]
    message_id = accept(deliver_by=clock() + timedelta(milliseconds=150))
    send_messages(rt)
    assert stored(rt, message_id).error_code == OwnCode.DEADLINE_MISSED

    clock.advance(MINUTE)

    assert miss_deadlines(rt) == 1


def test_many_are_looked_at_batch_by_batch(rt: Runtime, clock: FakeClock, accept: Accept) -> None:
    ids = [accept(f"+1415555{number:04}", deliver_by=clock() + MINUTE) for number in range(2000, 2005)]
    claim(rt, limit=1)

    clock.advance(MINUTE)

    assert miss_deadlines(rt, batch=2) == 5
    assert sorted(stored(rt, message_id).status for message_id in ids) == ["failed"] * 4 + ["submitting"]
