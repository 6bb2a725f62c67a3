"""Guards against abuse: what is over a cap waits and says why, and a country that delivers nothing is parked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from smsapp.breakers import queries as breakers
from smsapp.ids import new_id
from smsapp.lifecycle.record_reports import TargetedReport, record_reports
from smsapp.messages import reads
from smsapp.messages.fold import Report, Source
from smsapp.messages.models import Message, MessageEvent
from smsapp.pacing import tallies
from smsapp.pacing.models import Tally
from smsapp.reconciliation.check_ledger import check_histories, check_ledger
from smsapp.runtime import Runtime
from smsapp.submission.guard import check_delivery, open_country, release_held
from smsapp.submission.probe_breakers import probe_breakers
from smsapp.submission.send import send_messages
from smsapp.twilio.error_codes import OwnCode
from tests.support.environment import make_settings
from tests.support.fakes import FakeClock, FakeTwilio
from tests.support.messages import Accept

GB = "+442071838750"
US = "+14155552671"
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
HOUR = timedelta(hours=1)


def guarded(rt: Runtime, **settings: Any) -> Runtime:
    """Return the runtime of a worker with these settings."""
    urls = {"database_url": rt.settings.database_url, "redis_url": rt.settings.redis_url}
    return replace(rt, settings=make_settings(**urls, **settings))


def waiting(rt: Runtime) -> list[tuple[int | None, str | None, datetime | None]]:
    with rt.sessions() as session:
        query = select(Message.error_code, Message.country, Message.due_at)
        return [tuple(row) for row in session.execute(query.where(Message.status == "pending"))]


def tally(rt: Runtime) -> dict[str, int]:
    with rt.sessions() as session:
        return {row.scope: row.count for row in session.scalars(select(Tally))}


def end(rt: Runtime, ids: list[UUID], status: str) -> None:
    """Have Twilio report how messages ended."""
    with rt.transaction() as tx:
        record_reports(
            rt,
            tx,
            [
                TargetedReport(each, Report(Source.CALLBACK, status, rt.clock(), new_id(), attempt=1))
                for each in ids
            ],
        )


def test_what_is_over_the_days_cap_waits_for_the_next_day(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    rt = guarded(rt, daily_cap=3)
    ids = [accept() for _ in range(5)]

    send_messages(rt)

    assert len(twilio.sent) == 3
    assert waiting(rt) == [(OwnCode.DAILY_CAP, "US", MIDNIGHT)] * 2
    assert tally(rt) == {"all": 3}
    clock.now = MIDNIGHT
    send_messages(rt)
    assert sorted(sent.id for sent in twilio.sent) == sorted(ids)
    assert {sent.attempt for sent in twilio.sent} == {1}, "nothing was tried while it was held"


def test_a_country_has_a_cap_of_its_own(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    rt = guarded(rt, country_caps={"GB": 1, "*": 10})
    for number in (GB, US, GB, US, GB):
        accept(number)

    send_messages(rt)

    assert sorted(sent.to for sent in twilio.sent) == sorted([US, US, GB])
    assert waiting(rt) == [(OwnCode.COUNTRY_CAP, "GB", MIDNIGHT)] * 2
    assert tally(rt) == {"GB": 1, "US": 2}


def test_the_history_tells_why_and_still_folds_to_the_status(rt: Runtime, accept: Accept) -> None:
    rt = guarded(rt, daily_cap=0)
    message_id = accept()

    send_messages(rt)

    with rt.sessions() as session:
        events = [(event.status, event.reason) for event in reads.history(session, message_id)]
    assert events == [("pending", None), ("submitting", "claimed"), ("pending", "daily_cap")]
    assert check_histories(rt)[1] == []
    assert check_ledger(rt).balanced


def test_only_a_first_attempt_counts(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    rt = guarded(rt, daily_cap=1)
    accept()
    twilio.behaviours = [twilio.unreachable, twilio.unreachable]

    for _ in range(3):
        send_messages(rt)
        clock.advance(timedelta(minutes=10))

    assert [sent.attempt for sent in twilio.sent] == [3]
    assert tally(rt) == {"all": 1}


def test_an_operator_lets_go_what_is_held(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    rt = guarded(rt, country_caps={"GB": 1, "US": 1})
    for number in (GB, GB, GB, US, US):
        accept(number)
    send_messages(rt)
    with rt.sessions() as session:
        before = [(each.code, each.country, each.count) for each in tallies.held(session)]

    released = release_held(rt, "GB")
    send_messages(rt)

    assert before == [(OwnCode.COUNTRY_CAP, "GB", 2), (OwnCode.COUNTRY_CAP, "US", 1)]
    assert released == 2
    assert [sent.to for sent in twilio.sent].count(GB) == 3
    assert waiting(rt) == [(OwnCode.COUNTRY_CAP, "US", MIDNIGHT)]
    assert check_histories(rt)[1] == []


# --- The ratio of what is delivered


@pytest.fixture
def judged(rt: Runtime) -> Runtime:
    """A worker that wants half of at least ten to be delivered."""
    return guarded(rt, min_delivery_ratio=0.5, delivery_sample=10)


def send(rt: Runtime, accept: Accept, number: str, *, delivered: int, undelivered: int) -> None:
    ids = [accept(number) for _ in range(delivered + undelivered)]
    send_messages(rt)
    end(rt, ids[:delivered], "delivered")
    end(rt, ids[delivered:], "undelivered")


def test_a_country_to_which_too_little_is_delivered_is_parked_and_no_other(
    judged: Runtime, twilio: FakeTwilio, accept: Accept
) -> None:
    send(judged, accept, GB, delivered=4, undelivered=6)
    send(judged, accept, US, delivered=5, undelivered=5)

    parked = check_delivery(judged), check_delivery(judged)
    accept(GB)
    accept(US)
    send_messages(judged)

    assert parked == (1, 0)
    assert twilio.sent[-1].to == US
    assert waiting(judged) == [(OwnCode.COUNTRY_PARKED, "GB", judged.clock() + HOUR)]


def test_too_few_prove_nothing(judged: Runtime, accept: Accept) -> None:
    send(judged, accept, GB, delivered=0, undelivered=9)

    assert check_delivery(judged) == 0


def test_what_never_reached_twilio_proves_nothing(judged: Runtime, accept: Accept) -> None:
    ids = [accept(GB) for _ in range(20)]
    with judged.sessions.begin() as session:
        session.execute(update(Message).where(Message.id.in_(ids)).values(status="failed", outcome="failed"))

    assert check_delivery(judged) == 0


def test_a_parked_country_opens_by_itself_when_its_time_is_over(
    judged: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    send(judged, accept, GB, delivered=0, undelivered=10)
    check_delivery(judged)
    held = accept(GB)
    send_messages(judged)

    clock.advance(HOUR)
    opened = probe_breakers(judged)
    again = check_delivery(judged)
    send_messages(judged)

    assert (opened, again, twilio.sent[-1].id) == (1, 0, held)


def test_a_country_that_an_operator_opens_stays_open_and_its_messages_go(
    judged: Runtime, twilio: FakeTwilio, accept: Accept
) -> None:
    send(judged, accept, GB, delivered=0, undelivered=10)
    check_delivery(judged)
    held = accept(GB)
    send_messages(judged)

    opened = open_country(judged, "GB")
    judged_again = check_delivery(judged)
    send_messages(judged)

    assert (opened, judged_again, twilio.sent[-1].id) == (True, 0, held)
    assert open_country(judged, "FR") is False
    with judged.sessions() as session:
        assert breakers.parked_countries(session) == {}
        reasons = session.scalars(select(MessageEvent.reason).where(MessageEvent.message_id == held)).all()
    assert "country_parked" in reasons
    assert "released" in reasons


def test_without_guards_nothing_is_counted(rt: Runtime, accept: Accept) -> None:
    accept()

    send_messages(rt)

    assert (tally(rt), check_delivery(rt)) == ({}, 0)
