"""Texts that failed after Twilio had taken them: which go out again, when, and how often at most."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from smsapp.lifecycle.resend import MAX_RESENDS, resend
from smsapp.messages.fold import Event, MessageState, Source
from smsapp.messages.status import Status
from smsapp.twilio.error_codes import FAILURES

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SID = "SM" + "1" * 32


def sent(**changes: Any) -> MessageState:
    message = MessageState(
        uuid4(),
        Status.SENT,
        attempt=1,
        version=4,
        created_at=NOW,
        twilio_sid=SID,
        reported=1,
        resends_left=MAX_RESENDS,
    )
    return message._replace(**changes)


def failed(code: int | None, status: Status = Status.UNDELIVERED, **changes: Any) -> MessageState:
    return sent(status=status, error_code=code, finished_at=NOW, **changes)


def decide(
    before: MessageState, after: MessageState, rng: Callable[[], float] = lambda: 0.5
) -> tuple[MessageState, Event] | None:
    return resend(before, after, now=NOW, receipt_id=uuid4(), rng=rng)


def test_a_text_whose_phone_was_off_goes_out_again_half_an_hour_later() -> None:
    decided = decide(sent(), failed(30003))

    assert decided is not None
    message, event = decided
    assert (message.status, message.attempt, message.resends_left) == (Status.PENDING, 2, 1)
    assert (message.twilio_sid, message.reported, message.outcome, message.finished_at) == (
        None,
        0,
        None,
        None,
    )
    assert message.error_code == 30003  # what it waits for
    assert message.due_at == NOW + timedelta(minutes=33)
    assert (event.source, event.raw_status, event.reason, event.attempt) == (
        Source.SYSTEM,
        "pending",
        "resend",
        2,
    )


def test_by_default_nothing_is_sent_again() -> None:
    assert decide(sent(resends_left=0), failed(30003, resends_left=0)) is None


@pytest.mark.parametrize(
    "code",
    [code for code, failure in FAILURES.items() if failure.resend_after is None],
)
def test_what_time_does_not_mend_is_not_sent_again(code: int) -> None:
    assert decide(sent(), failed(code)) is None


@pytest.mark.parametrize(("status", "code"), [(Status.FAILED, None), (Status.FAILED, 99999)])
def test_what_failed_for_reasons_unknown_is_not_sent_again(status: Status, code: int | None) -> None:
    assert decide(sent(), failed(code, status=status)) is None


@pytest.mark.parametrize("status", [Status.SENT, Status.DELIVERED, Status.CANCELED])
def test_only_a_failure_is_sent_again(status: Status) -> None:
    assert decide(sent(), sent(status=status, error_code=30003)) is None


def test_it_is_decided_once_at_the_moment_of_failing() -> None:
    assert decide(failed(None), failed(30003)) is None


def test_a_second_failure_waits_twice_as_long_and_a_third_is_the_end() -> None:
    second = decide(sent(resends_left=1), failed(30003, resends_left=1))

    assert second is not None
    assert second[0].due_at == NOW + timedelta(minutes=66)
    assert second[0].resends_left == 0
    assert decide(sent(resends_left=0), failed(30003, resends_left=0)) is None


def test_a_reason_may_allow_fewer_than_the_caller() -> None:
    assert decide(sent(resends_left=1), failed(30008, resends_left=1)) is None


def test_many_that_failed_together_do_not_come_back_together() -> None:
    early, late = decide(sent(), failed(30003), lambda: 0.0), decide(sent(), failed(30003), lambda: 0.99)

    assert early is not None
    assert late is not None
    assert early[0].due_at is not None
    assert late[0].due_at is not None
    assert early[0].due_at >= NOW + timedelta(minutes=30)
    assert late[0].due_at - early[0].due_at > timedelta(minutes=5)


def test_nothing_goes_out_after_the_callers_deadline() -> None:
    soon, late = NOW + timedelta(minutes=32), NOW + timedelta(minutes=34)

    assert decide(sent(), failed(30003, deliver_by=soon)) is None
    assert decide(sent(), failed(30003, deliver_by=late)) is not None
