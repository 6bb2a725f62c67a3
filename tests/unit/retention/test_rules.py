"""Until when the text of a sensitive message is needed."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from smsapp.messages.fold import MessageState
from smsapp.messages.status import FINAL, OURS, Outcome, Status
from smsapp.retention.rules import is_settled_at_twilio, is_spent, look_again_at
from smsapp.twilio.error_codes import OwnCode

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SENT = MessageState(uuid4(), Status.SENT, attempt=1, version=1, created_at=NOW, twilio_sid="SM1")
UNDER_WAY = [status for status in Status if status not in FINAL | OURS]


@pytest.mark.parametrize("status", sorted(OURS))
def test_before_the_hand_over_the_text_is_needed(status: Status) -> None:
    assert not is_spent(SENT._replace(status=status))


@pytest.mark.parametrize("status", UNDER_WAY)
def test_once_twilio_has_it_the_text_is_not(status: Status) -> None:
    assert is_spent(SENT._replace(status=status))
    assert not is_spent(SENT._replace(status=status, twilio_sid=None))  # only a word of it so far
    assert not is_spent(SENT._replace(status=status, resends_left=1))


@pytest.mark.parametrize("status", sorted(FINAL))
def test_once_it_is_over_the_text_is_not(status: Status) -> None:
    assert is_spent(SENT._replace(status=status, twilio_sid=None, resends_left=2))


def test_twilio_is_asked_once_the_outcome_is_known() -> None:
    assert not is_settled_at_twilio(SENT, NOW)
    assert is_settled_at_twilio(SENT._replace(outcome=Outcome.DELIVERED), NOW)
    assert is_settled_at_twilio(SENT._replace(outcome=Outcome.UNCONFIRMED), NOW)


@pytest.mark.parametrize("code", [OwnCode.ANSWER_LOST, OwnCode.NOT_FOUND_AT_TWILIO])
def test_of_one_that_may_be_at_twilio_the_sid_is_waited_for(code: OwnCode) -> None:
    given_up = SENT._replace(status=Status.FAILED, outcome=Outcome.FAILED, twilio_sid=None, error_code=code)

    assert not is_settled_at_twilio(given_up, NOW)
    assert is_settled_at_twilio(given_up._replace(twilio_sid="SM1"), NOW)
    assert is_settled_at_twilio(given_up, NOW + timedelta(days=8))


@pytest.mark.parametrize(
    ("age", "wait"),
    [
        (timedelta(), timedelta(seconds=5)),
        (timedelta(minutes=4), timedelta(minutes=1)),
        (timedelta(days=3), timedelta(hours=1)),
    ],
)
def test_it_is_tried_again_less_and_less_often(age: timedelta, wait: timedelta) -> None:
    assert look_again_at(SENT._replace(submitted_at=NOW - age), NOW) == NOW + wait
