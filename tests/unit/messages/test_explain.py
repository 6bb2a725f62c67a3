"""One plain sentence for every state that a message can be in."""

from itertools import product

import pytest

from smsapp.bulk.rows import explain_row
from smsapp.messages.explain import explain_status
from smsapp.messages.status import Outcome, Status, outcome_of
from smsapp.twilio.error_codes import FAILURES, OWN_FAILURES, OwnCode, explain


@pytest.mark.parametrize("status", Status)
def test_every_status_has_a_sentence_of_its_own(status: Status) -> None:
    sentence = explain_status(status, outcome_of(status), None)

    others = {explain_status(other, outcome_of(other), None) for other in Status if other is not status}
    assert sentence.endswith(".")
    assert sentence not in others


@pytest.mark.parametrize("code", [None, 0, *OWN_FAILURES, *FAILURES])
def test_every_state_can_be_explained(code: int | None) -> None:
    for status, outcome in product(Status, [None, *Outcome]):
        failure = explain(code, status=status) if code is not None else None

        assert explain_status(status, outcome, failure).endswith(".")


def test_bad_news_gives_its_reason() -> None:
    sentence = explain_status(Status.UNDELIVERED, Outcome.UNDELIVERED, explain(30003, status="undelivered"))

    assert sentence == (
        "The carrier reports that the message did not reach the phone. "
        "The phone is switched off or out of coverage."
    )


def test_a_waiting_message_tells_what_it_waits_for() -> None:
    sentence = explain_status(Status.PENDING, None, FAILURES[20429])

    assert sentence.startswith("The message waits for another attempt. ")
    assert sentence.endswith(FAILURES[20429].sentence)


@pytest.mark.parametrize(
    "code", [OwnCode.QUIET_HOURS, OwnCode.DAILY_CAP, OwnCode.COUNTRY_CAP, OwnCode.COUNTRY_PARKED]
)
def test_what_is_held_before_it_was_tried_waits_for_no_other_attempt(code: OwnCode) -> None:
    sentence = explain_status(Status.PENDING, None, OWN_FAILURES[code])

    assert sentence == f"The message waits. {OWN_FAILURES[code].sentence}"


def test_an_opt_out_is_one_sentence_wherever_it_is_met() -> None:
    assert explain_row("opted_out", None) == FAILURES[21610].sentence


def test_a_message_that_nobody_can_be_sure_of_says_so() -> None:
    held = explain_status(Status.UNCONFIRMED, Outcome.UNCONFIRMED, None)
    silent = explain_status(Status.SENT, Outcome.UNCONFIRMED, None)

    assert "may or may not have gone out" in held
    assert "never said whether it reached the phone" in silent


def test_good_news_hides_an_earlier_failure() -> None:
    assert explain_status(Status.DELIVERED, Outcome.DELIVERED, FAILURES[30003]) == (
        "The carrier confirms that the message reached the phone."
    )


def test_a_message_that_twilio_still_has_is_not_said_to_be_with_the_carrier() -> None:
    """Twilio may never report on a text that stayed in its own queue."""
    queued = explain_status(Status.QUEUED, Outcome.UNCONFIRMED, None)

    assert "carrier took" not in queued
