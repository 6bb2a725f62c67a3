"""Quiet hours: a text waits for the recipient's morning, says why, and still ends when it is worth nothing any more."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session, sessionmaker

from smsapp.config import Settings
from smsapp.keys import queries as api_keys
from smsapp.messages.documents import message_view
from smsapp.runtime import Runtime
from smsapp.submission.send import send_messages
from smsapp.twilio.error_codes import OwnCode
from tests.support.fakes import FakeClock, FakeTwilio, refuse
from tests.support.messages import Accept, events, stored
from tests.support.web import TO, Api, faults, serving

NIGHT = "21:00-08:00"
ALL_BUT_A_MINUTE = "00:01-00:00"
MIDNIGHT_IN_SAN_FRANCISCO = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
EIGHT_THERE = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)


pytestmark = pytest.mark.usefixtures("nothing_is_lost")


@pytest.fixture
def night(clock: FakeClock) -> FakeClock:
    """Midnight in San Francisco."""
    clock.now = MIDNIGHT_IN_SAN_FRANCISCO
    return clock


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def reasons(rt: Runtime, message_id: UUID) -> list[tuple[str, str | None, int | None]]:
    return [(event.status, event.reason, event.error_code) for event in events(rt, message_id)]


def test_a_text_waits_for_the_morning_and_goes_out_then(
    rt: Runtime, accept: Accept, night: FakeClock, twilio: FakeTwilio
) -> None:
    message_id = accept(quiet_hours=NIGHT)
    send_messages(rt)
    assert twilio.sent == []

    night.now = EIGHT_THERE
    send_messages(rt)

    assert [sent.id for sent in twilio.sent] == [message_id]
    assert (stored(rt, message_id).status, stored(rt, message_id).error_code) == ("queued", None)
    assert stored(rt, message_id).attempt == 1


def test_message_and_history_say_why_it_waits(rt: Runtime, accept: Accept, night: FakeClock) -> None:
    message_id = accept(quiet_hours=NIGHT)

    view = message_view(stored(rt, message_id))

    assert reasons(rt, message_id) == [("pending", "quiet_hours", OwnCode.QUIET_HOURS)]
    assert view["next_attempt_at"] == "2026-11-24T16:00:00.000Z"
    assert view["explanation"] == "The message waits. These are quiet hours where the recipient is."
    assert (view["error"]["code"], view["error"]["retryable"]) == (OwnCode.QUIET_HOURS, True)


def test_by_day_it_goes_out_at_once(
    rt: Runtime, accept: Accept, clock: FakeClock, twilio: FakeTwilio
) -> None:
    clock.now = EIGHT_THERE
    accept(quiet_hours=NIGHT)

    send_messages(rt)

    assert len(twilio.sent) == 1


def test_the_same_moment_is_night_for_one_and_day_for_another(
    rt: Runtime, accept: Accept, night: FakeClock, twilio: FakeTwilio
) -> None:
    accept("+14155552671", quiet_hours=NIGHT)
    in_london = accept("+442071838750", quiet_hours=NIGHT)  # 8 am there

    send_messages(rt)

    assert [sent.id for sent in twilio.sent] == [in_london]


def test_what_comes_due_again_at_night_waits_too(
    rt: Runtime, accept: Accept, clock: FakeClock, twilio: FakeTwilio
) -> None:
    clock.now = MIDNIGHT_IN_SAN_FRANCISCO - timedelta(hours=3, seconds=1)  # a second before nine
    twilio.behaviours.append(refuse(20429, 429, retry_after="60"))
    message_id = accept(quiet_hours=NIGHT)
    send_messages(rt)

    clock.advance(timedelta(minutes=5))
    send_messages(rt)

    assert stored(rt, message_id).due_at == EIGHT_THERE
    assert reasons(rt, message_id)[-1] == ("pending", "quiet_hours", OwnCode.QUIET_HOURS)
    assert stored(rt, message_id).attempt == 2  # the second was not made yet
    clock.now = EIGHT_THERE
    send_messages(rt)
    assert [(sent.id, sent.attempt) for sent in twilio.sent] == [(message_id, 2)]


def test_a_scheduled_text_meets_the_quiet_hours_of_its_time(
    rt: Runtime, accept: Accept, clock: FakeClock, twilio: FakeTwilio
) -> None:
    clock.now = EIGHT_THERE - timedelta(days=1)
    message_id = accept(quiet_hours=NIGHT, send_at=MIDNIGHT_IN_SAN_FRANCISCO)
    assert stored(rt, message_id).error_code is None

    clock.now = MIDNIGHT_IN_SAN_FRANCISCO
    send_messages(rt)

    assert stored(rt, message_id).due_at == EIGHT_THERE
    assert twilio.sent == []


def test_a_deadline_before_the_morning_ends_it(
    rt: Runtime, accept: Accept, night: FakeClock, twilio: FakeTwilio
) -> None:
    deliver_by = night.now + timedelta(hours=1)
    message_id = accept(quiet_hours=NIGHT, deliver_by=deliver_by)
    assert stored(rt, message_id).due_at == deliver_by

    night.now = deliver_by
    send_messages(rt)

    assert (stored(rt, message_id).status, stored(rt, message_id).error_code) == (
        "failed",
        OwnCode.DEADLINE_MISSED,
    )
    assert twilio.sent == []


# Over HTTP; the time is the real one, so the hours are nearly all of the day, or it is urgent.


def test_a_request_names_its_quiet_hours(api: Api) -> None:
    answer = api.send(quiet_hours=ALL_BUT_A_MINUTE)

    waits = answer["error"] is not None  # unless it is that one minute
    assert answer["quiet_hours"] == ALL_BUT_A_MINUTE
    assert waits == (answer["next_attempt_at"] > answer["created_at"])
    assert not waits or answer["error"]["code"] == OwnCode.QUIET_HOURS


@pytest.mark.parametrize("hurry", [{"urgent": True}, {"priority": "otp"}])
def test_what_is_urgent_waits_for_no_hour(api: Api, hurry: dict[str, Any]) -> None:
    answer = api.send(quiet_hours=ALL_BUT_A_MINUTE, **hurry)

    assert (answer["quiet_hours"], answer["error"]) == (None, None)
    assert answer["next_attempt_at"] == answer["created_at"]


def test_a_key_has_quiet_hours_for_what_names_none(api: Api, sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        key = api_keys.issue(session, "shy", mode="live", now=datetime.now(UTC), quiet_hours=NIGHT)

    asked = [
        api.post({"to": TO, "body": "hello"} | fields, key=key).json
        for fields in ({}, {"quiet_hours": "12:00-13:00"}, {"urgent": True})
    ]

    assert [answer["quiet_hours"] for answer in asked if answer] == [NIGHT, "12:00-13:00", None]


@pytest.mark.parametrize("hours", ["9pm", "21:00-21:00", 21, "25:00-08:00"])
def test_impossible_hours_are_refused(api: Api, hours: object) -> None:
    response = api.post({"to": TO, "body": "hello", "quiet_hours": hours})

    assert set(faults(response)) == {"/quiet_hours"}
