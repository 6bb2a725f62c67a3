"""How evidence moves a message: whatever order, repetition or loss it comes in, it ends the same."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.messages.fold import (
    Event,
    MessageState,
    Reason,
    Report,
    Source,
    Step,
    apply_report,
    apply_step,
    record_only,
)
from smsapp.messages.status import FINAL, OURS, Outcome, Status, outcome_of, supersedes
from smsapp.twilio.error_codes import OwnCode

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
SID = "SM" + "1" * 32
OTHER_SID = "SM" + "2" * 32

TWILIOS = [status for status in Status if status not in OURS]
CODES = (30001, 30003, 30005, 30008)

Word = tuple[str, int | None]


def submitting(**changes: Any) -> MessageState:
    return MessageState(
        uuid4(), Status.SUBMITTING, attempt=1, version=2, created_at=NOW, due_at=LATER
    )._replace(**changes)


def sent(**changes: Any) -> MessageState:
    return submitting(status=Status.SENT, twilio_sid=SID, submitted_at=NOW, sent_at=NOW, **changes)


def callback(raw_status: str, code: int | None = None, **changes: Any) -> Report:
    report = Report(Source.CALLBACK, raw_status, NOW, uuid4(), attempt=1, twilio_sid=SID, error_code=code)
    return report._replace(**changes)


def poll(raw_status: str, code: int | None = None, **changes: Any) -> Report:
    return callback(raw_status, code, source=Source.POLL, **changes)


def fold_all(message: MessageState, words: Sequence[Word]) -> MessageState:
    return reduce(lambda so_far, item: apply_report(so_far, callback(*item))[0], words, message)


def end(message: MessageState) -> tuple[Status, Outcome | None, int | None]:
    return message.status, message.outcome, message.error_code


def step(status: Status, **changes: Any) -> Step:
    taken = Step(Source.SYSTEM, status, attempt=1, at=LATER, receipt_id=uuid4(), due_at=LATER)
    return replace(taken, **changes)


any_word = st.sampled_from([*TWILIOS, "partially_delivered", "some_new_word"]).map(str)
stray_code = st.sampled_from([None, None, *CODES])  # Twilio puts codes on callbacks that are no failures, too
anything = st.lists(st.tuples(any_word, stray_code), max_size=8)


@st.composite
def traces(draw: st.DrawFn) -> list[Word]:
    """Return what Twilio reports of one message, ending with its final event: progress, at most one refusal with its
    code, at most one correction."""
    progress = draw(
        st.lists(st.sampled_from(["accepted", "queued", "sending", "sent", "new_word"]), max_size=5)
    )
    refusal = draw(
        st.sampled_from([[], [("failed", 30008)], [("undelivered", 30003)], [("undelivered", None)]])
    )
    corrections: list[list[Word]] = [
        [("delivered", None)],
        [("delivered", 30018)],
        [("delivered", None), ("read", None)],
    ]
    correction = draw(st.sampled_from(corrections if not refusal else [[], *corrections]))
    words: list[Word] = [*((raw_status, draw(stray_code)) for raw_status in progress), *refusal, *correction]
    return words


# What the order of arrival, repetition and loss cannot change.


@given(words=anything, data=st.data())
def test_no_order_and_no_repetition_changes_the_end(words: list[Word], data: st.DataObject) -> None:
    """Not even of a history that contradicts itself."""
    repeated = words + (data.draw(st.lists(st.sampled_from(words), max_size=4)) if words else [])
    shuffled = data.draw(st.permutations(repeated))

    assert end(fold_all(submitting(), shuffled)) == end(fold_all(submitting(), words))


@given(trace=traces(), data=st.data())
def test_whatever_is_lost_the_final_event_alone_decides(trace: list[Word], data: st.DataObject) -> None:
    kept = [raw_status for raw_status in trace[:-1] if data.draw(st.booleans())]
    arrived = data.draw(
        st.permutations([*kept, trace[-1], *data.draw(st.lists(st.sampled_from(trace), max_size=3))])
    )

    assert end(fold_all(submitting(), arrived)) == end(fold_all(submitting(), trace))


@given(trace=traces(), data=st.data())
def test_polling_after_a_loss_ends_as_the_callbacks_would_have(
    trace: list[Word], data: st.DataObject
) -> None:
    arrived = [raw_status for raw_status in trace if data.draw(st.booleans())]

    polled, _ = apply_report(fold_all(submitting(), arrived), poll(*trace[-1]))

    assert end(polled) == end(fold_all(submitting(), trace))


@given(words=anything, report=st.tuples(any_word, stray_code))
def test_no_report_moves_a_message_backwards(words: list[Word], report: Word) -> None:
    before = fold_all(submitting(), words)

    after, _ = apply_report(before, callback(*report))

    assert after.status is before.status or supersedes(after.status, before.status)


@given(words=anything)
def test_a_message_ends_when_its_status_is_final(words: list[Word]) -> None:
    message = fold_all(submitting(), words)

    assert message.outcome is outcome_of(message.status)
    assert (message.due_at is None) is (message.status in FINAL)
    assert (message.finished_at is None) is (message.status not in FINAL)


@given(words=anything)
def test_every_report_is_one_event_more(words: list[Word]) -> None:
    assert fold_all(submitting(), words).version == submitting().version + len(words)


# What a report means.


def test_a_report_moves_the_message_forward_and_says_so() -> None:
    message, event = apply_report(submitting(), callback("sent", received_at=LATER))

    assert (message.status, message.twilio_sid) == (Status.SENT, SID)
    assert (message.submitted_at, message.sent_at, message.updated_at) == (LATER, LATER, LATER)
    assert (event.applied, event.reason, event.raw_status, event.attempt) == (True, None, "sent", 1)


@pytest.mark.parametrize("refusal", ["undelivered", "failed", "canceled"])
def test_delivery_overrules_a_refusal_and_its_reason(refusal: str) -> None:
    refused, _ = apply_report(sent(), callback(refusal, 30003, received_at=NOW))

    corrected, event = apply_report(refused, callback("delivered", received_at=LATER))

    assert end(corrected) == (Status.DELIVERED, Outcome.DELIVERED, None)
    assert corrected.finished_at == NOW  # when it first was final
    assert event.applied


@pytest.mark.parametrize("refusal", ["undelivered", "failed", "canceled"])
def test_no_refusal_overrules_delivery(refusal: str) -> None:
    delivered, _ = apply_report(sent(), callback("delivered"))

    message, event = apply_report(delivered, callback(refusal, 30003))

    assert end(message) == (Status.DELIVERED, Outcome.DELIVERED, None)
    assert (event.applied, event.reason, event.error_code) == (False, Reason.LATE, 30003)


def test_an_unknown_word_is_kept_and_changes_nothing_that_people_see() -> None:
    before = sent()

    message, event = apply_report(before, callback("some_new_word", 30003, received_at=LATER))

    assert message._replace(version=before.version, updated_at=before.updated_at) == before
    assert (event.raw_status, event.applied, event.reason) == ("some_new_word", False, Reason.UNKNOWN_STATUS)


def test_an_unknown_word_still_proves_that_twilio_has_the_message() -> None:
    """Else a message whose answer was lost would be sent again in spite of the evidence."""
    message, _ = apply_report(submitting(status=Status.UNCONFIRMED), callback("some_new_word"))

    assert (message.status, message.twilio_sid) == (Status.UNCONFIRMED, SID)


def test_an_unknown_word_in_an_answer_still_sets_the_next_question() -> None:
    """Else the message would stay due, and be asked about for ever without a pause."""
    message, _ = apply_report(sent(due_at=NOW), poll("some_new_word", poll_at=LATER))

    assert message.due_at == LATER


@pytest.mark.parametrize("raw_status", ["failed", "undelivered"])
def test_a_failure_keeps_its_code_when_a_later_report_has_none(raw_status: str) -> None:
    explained, _ = apply_report(sent(), callback(raw_status, 30005))

    message, _ = apply_report(explained, callback(raw_status))

    assert message.error_code == 30005


@pytest.mark.parametrize("raw_status", ["failed", "undelivered"])
def test_a_failure_learns_its_code_from_a_later_report(raw_status: str) -> None:
    unexplained, _ = apply_report(sent(), callback(raw_status))

    message, _ = apply_report(unexplained, poll(raw_status, 30005))

    assert message.error_code == 30005


@pytest.mark.parametrize("raw_status", ["queued", "sending", "sent", "delivered", "canceled", "read"])
def test_a_code_on_anything_but_a_failure_is_ignored(raw_status: str) -> None:
    message, event = apply_report(submitting(), callback(raw_status, 30005))

    assert message.error_code is None
    assert event.error_code == 30005


def test_a_code_of_an_earlier_refusal_goes_when_twilio_takes_the_message() -> None:
    message, _ = apply_report(submitting(error_code=20429), callback("queued"))

    assert message.error_code is None


def test_twilios_reason_replaces_our_own() -> None:
    """We gave the message up as not to be found; then its callback came after all."""
    given_up, _ = apply_step(
        submitting(), step(Status.FAILED, error_code=OwnCode.NOT_FOUND_AT_TWILIO, due_at=None)
    )

    confirmed, _ = apply_report(given_up, callback("failed", 30008))
    contradicted, _ = apply_report(given_up, callback("undelivered", 30003))

    assert end(confirmed) == (Status.FAILED, Outcome.FAILED, 30008)
    assert end(contradicted) == (Status.UNDELIVERED, Outcome.UNDELIVERED, 30003)


# Whose report it is.


def test_an_early_callback_binds_the_sid() -> None:
    message, _ = apply_report(submitting(), callback("sent", twilio_sid=OTHER_SID))

    assert message.twilio_sid == OTHER_SID


def test_a_callback_without_a_sid_counts_and_the_answer_binds_it() -> None:
    early, _ = apply_report(submitting(), callback("sent", twilio_sid=None))

    message, event = apply_report(early, callback("queued")._replace(source=Source.API, poll_at=LATER))

    assert (early.status, early.twilio_sid) == (Status.SENT, None)
    assert (message.status, message.twilio_sid, message.due_at) == (Status.SENT, SID, LATER)
    assert event.reason is Reason.LATE


@pytest.mark.parametrize("raw_status", ["queued", "sent", "undelivered", "failed", "canceled"])
def test_another_twilio_message_of_the_same_attempt_changes_nothing(raw_status: str) -> None:
    before = sent(due_at=NOW)

    message, event = apply_report(
        before, callback(raw_status, 30003, twilio_sid=OTHER_SID, poll_at=LATER, price="-0.1")
    )

    assert message._replace(version=before.version, updated_at=before.updated_at) == before
    assert (event.applied, event.reason, event.twilio_sid) == (False, Reason.OTHER_SID, OTHER_SID)


@pytest.mark.parametrize("raw_status", ["queued", "sent", "undelivered", "failed", "canceled"])
def test_an_earlier_attempt_does_not_speak_for_the_present_one(raw_status: str) -> None:
    before = submitting(attempt=2, status=Status.PENDING)

    message, event = apply_report(before, callback(raw_status, 30003, attempt=1))

    assert message._replace(version=before.version, updated_at=before.updated_at) == before
    assert (event.applied, event.reason, event.attempt) == (False, Reason.EARLIER_ATTEMPT, 1)


@pytest.mark.parametrize("raw_status", ["delivered", "read"])
def test_a_text_that_reached_the_phone_reached_it_whichever_attempt_it_was(raw_status: str) -> None:
    before = submitting(attempt=2, status=Status.PENDING, error_code=30003)

    message, event = apply_report(before, callback(raw_status, attempt=1))

    assert end(message) == (Status(raw_status), Outcome.DELIVERED, None)
    assert (message.due_at, message.twilio_sid) == (
        None,
        None,
    )  # never sent again, and the SID is the other one's
    assert event.applied


def test_an_earlier_delivery_is_news_only_once() -> None:
    delivered, _ = apply_report(submitting(attempt=2), callback("delivered", attempt=1))

    message, event = apply_report(delivered, callback("delivered", attempt=1))

    assert message.status is Status.DELIVERED
    assert (event.applied, event.reason) == (False, Reason.EARLIER_ATTEMPT)


def test_a_report_that_names_no_attempt_is_about_the_present_one() -> None:
    message, event = apply_report(submitting(attempt=3), callback("sent", attempt=None))

    assert message.status is Status.SENT
    assert event.attempt == 3


# Why it changed nothing.


def test_a_callback_that_was_there_before_is_a_duplicate() -> None:
    once, first = apply_report(submitting(), callback("sent"))

    _, second = apply_report(once, callback("sent"))

    assert (first.applied, second.applied, second.reason) == (True, False, Reason.DUPLICATE)


def test_a_callback_of_what_was_known_from_elsewhere_confirms_it() -> None:
    polled, _ = apply_report(submitting(), poll("sent"))

    once, first = apply_report(polled, callback("sent"))
    _, second = apply_report(once, callback("sent"))

    assert (first.reason, second.reason) == (Reason.CONFIRMS, Reason.DUPLICATE)


def test_a_callback_that_comes_late_is_late_once_and_then_a_duplicate() -> None:
    delivered, _ = apply_report(submitting(), callback("delivered"))

    once, first = apply_report(delivered, callback("sent"))
    _, second = apply_report(once, callback("sent"))

    assert (first.reason, second.reason) == (Reason.LATE, Reason.DUPLICATE)


def test_an_answer_never_counts_as_a_duplicate_callback() -> None:
    called, _ = apply_report(submitting(), callback("sent"))

    _, polled = apply_report(called, poll("sent"))

    assert polled.reason is Reason.CONFIRMS


# What reports know beside the status.


def test_prices_and_segments_are_learned_whenever_they_come() -> None:
    delivered, _ = apply_report(sent(), callback("delivered"))

    message, event = apply_report(
        delivered, poll("delivered", price="-0.0075", price_unit="USD", num_segments=2)
    )

    assert (message.price, message.price_unit, message.num_segments) == ("-0.0075", "USD", 2)
    assert (event.applied, event.reason) == (False, Reason.CONFIRMS)


def test_what_is_known_is_not_unlearned() -> None:
    priced, _ = apply_report(sent(), poll("sent", price="-0.0075", price_unit="USD", num_segments=2))

    message, _ = apply_report(priced, callback("delivered"))

    assert (message.price, message.price_unit, message.num_segments) == ("-0.0075", "USD", 2)


@pytest.mark.parametrize("raw_status", ["queued", "sent"])
def test_the_next_question_is_set_whether_or_not_the_answer_is_news(raw_status: str) -> None:
    message, _ = apply_report(sent(due_at=NOW), poll(raw_status, poll_at=LATER))

    assert message.due_at == LATER


def test_a_final_message_is_never_due_again() -> None:
    message, _ = apply_report(sent(due_at=NOW), poll("delivered", poll_at=LATER))
    again, _ = apply_report(message, poll("sent", poll_at=LATER))

    assert (message.due_at, again.due_at) == (None, None)


def test_a_receipt_revises_what_was_given_up_as_unconfirmed() -> None:
    silent = sent(outcome=Outcome.UNCONFIRMED)

    message, _ = apply_report(silent, callback("delivered"))

    assert end(message) == (Status.DELIVERED, Outcome.DELIVERED, None)


# Our own steps.


def test_a_step_is_taken_as_it_says() -> None:
    message, event = apply_step(
        submitting(), step(Status.UNCONFIRMED, error_code=2, reason="worker_lost", payload={"a": 1})
    )

    assert (message.status, message.error_code, message.due_at) == (Status.UNCONFIRMED, 2, LATER)
    assert (message.version, message.updated_at, message.outcome) == (3, LATER, None)
    assert event == Event(
        source=Source.SYSTEM,
        raw_status="unconfirmed",
        applied=True,
        reason="worker_lost",
        attempt=1,
        error_code=2,
        twilio_sid=None,
        received_at=LATER,
        receipt_id=event.receipt_id,
        payload={"a": 1},
    )


def test_a_new_attempt_forgets_the_sid_and_the_callbacks_of_the_one_before() -> None:
    called, _ = apply_report(submitting(), callback("failed", 30008))

    message, event = apply_step(called, step(Status.PENDING, attempt=2, error_code=30008))

    assert (message.attempt, message.twilio_sid, message.reported) == (2, None, 0)
    assert (message.outcome, message.finished_at, message.error_code) == (None, None, 30008)
    assert (event.attempt, event.twilio_sid) == (2, None)


def test_a_new_attempt_has_milestones_of_its_own() -> None:
    """The age of an attempt decides when it is asked about, and when the wait for its receipt ends."""
    failed, _ = apply_report(sent(), callback("failed", 30008))

    waiting, _ = apply_step(failed, step(Status.PENDING, attempt=2))
    resent, _ = apply_report(waiting, callback("sent", attempt=2, received_at=LATER, twilio_sid=OTHER_SID))

    assert (waiting.submitted_at, waiting.sent_at) == (None, None)
    assert (resent.submitted_at, resent.sent_at) == (LATER, LATER)


def test_the_same_attempt_keeps_its_sid() -> None:
    message, event = apply_step(sent(), step(Status.SENT))

    assert (message.twilio_sid, event.twilio_sid) == (SID, SID)


def test_a_step_to_the_end_ends_the_message() -> None:
    message, _ = apply_step(submitting(), step(Status.FAILED, due_at=None, error_code=21211))

    assert end(message) == (Status.FAILED, Outcome.FAILED, 21211)
    assert (message.finished_at, message.due_at) == (LATER, None)


def test_a_step_may_end_a_message_whose_status_does_not() -> None:
    message, _ = apply_step(sent(), step(Status.SENT, outcome=Outcome.UNCONFIRMED))

    assert (message.status, message.outcome) == (Status.SENT, Outcome.UNCONFIRMED)


def test_a_step_that_leaves_the_status_leaves_the_outcome() -> None:
    message, _ = apply_step(sent(outcome=Outcome.UNCONFIRMED), step(Status.SENT, reason="gone_at_twilio"))

    assert message.outcome is Outcome.UNCONFIRMED


def test_a_code_stays_while_the_message_is_open_and_goes_with_a_new_end() -> None:
    waiting, _ = apply_step(submitting(), step(Status.PENDING, attempt=2, error_code=20429))
    claimed, _ = apply_step(waiting, step(Status.SUBMITTING, attempt=2))
    canceled, _ = apply_step(claimed, step(Status.CANCELED, attempt=2))

    assert (waiting.error_code, claimed.error_code, canceled.error_code) == (20429, 20429, None)


def test_a_step_that_came_too_late_is_only_noted() -> None:
    before = sent()

    message, event = record_only(before, step(Status.FAILED, error_code=21211, source=Source.API))

    assert message._replace(version=before.version) == before
    assert message.version == before.version + 1
    assert (event.applied, event.raw_status, event.error_code) == (False, "failed", 21211)


def test_a_refusal_names_no_sid_even_when_a_callback_has_told_it() -> None:
    """Its event would be taken for Twilio's word on that SID when the history is folded again."""
    _, noted = record_only(sent(), step(Status.FAILED, source=Source.API))
    _, taken = apply_step(submitting(twilio_sid=SID), step(Status.UNCONFIRMED, source=Source.API))

    assert (noted.twilio_sid, taken.twilio_sid) == (None, None)


# What Twilio says beside the status.


def test_the_sender_that_twilio_chose_is_kept_even_if_the_status_is_known() -> None:
    known, _ = apply_report(sent(), callback("sent", sender="+15005550011"))
    late, event = apply_report(sent(), callback("queued", sender="+15005550011"))

    assert (known.status, known.actual_sender) == (Status.SENT, "+15005550011")
    assert (late.actual_sender, event.reason) == ("+15005550011", Reason.LATE)


def test_the_first_sender_stays_and_one_of_another_attempt_is_none_of_this() -> None:
    chosen = sent(actual_sender="+15005550011")

    assert apply_report(chosen, callback("delivered", sender="+1999"))[0].actual_sender == "+15005550011"
    assert apply_report(chosen, callback("delivered"))[0].actual_sender == "+15005550011"
    second = sent(attempt=2)
    assert apply_report(second, callback("sent", sender="+1999"))[0].actual_sender is None


@pytest.mark.parametrize("changes", [{"attempt": 2, "status": Status.PENDING}, {"forgets_sid": True}])
def test_a_new_attempt_and_a_sid_of_another_forget_the_sender(changes: dict[str, Any]) -> None:
    taken = step(**({"status": Status.UNCONFIRMED} | changes))

    assert apply_step(sent(actual_sender="+15005550011"), taken)[0].actual_sender is None


def test_the_carriers_time_is_that_of_the_status() -> None:
    at = NOW.replace(minute=2)
    delivered, event = apply_report(
        sent(), callback("delivered", done_date="2611231202", received_at=NOW + timedelta(minutes=3))
    )
    again, _ = apply_report(delivered, callback("delivered", done_date="2611231201"))
    read, _ = apply_report(delivered, callback("read"))

    assert (delivered.carrier_at, event.carrier_at) == (at, at)
    assert again.carrier_at == at
    assert read.carrier_at is None


def test_a_receipt_after_a_poll_still_brings_the_carriers_time() -> None:
    polled, _ = apply_report(sent(), poll("delivered", received_at=LATER))

    told, event = apply_report(polled, callback("delivered", done_date="2611231202", received_at=LATER))

    assert told.carrier_at == NOW.replace(minute=2)
    assert event.reason is Reason.CONFIRMS


@pytest.mark.parametrize("raw", ["", "x", "9" * 10, "2699999999", "\ud800" * 10])
def test_no_carriers_time_stops_a_report(raw: str) -> None:
    delivered, _ = apply_report(sent(), callback("delivered", done_date=raw))

    assert (delivered.status, delivered.carrier_at) == (Status.DELIVERED, None)


def test_parts_that_arrived_are_no_end() -> None:
    parts, event = apply_report(sent(), callback("partially_delivered", poll_at=LATER))

    assert (parts.status, parts.outcome, event.applied) == (Status.PARTIALLY_DELIVERED, None, True)
    assert parts.due_at == LATER
    assert apply_report(parts, callback("delivered"))[0].outcome is Outcome.DELIVERED
    assert apply_report(parts, callback("undelivered", 30003))[0].outcome is Outcome.UNDELIVERED
    assert apply_report(parts, callback("sent"))[1].reason is Reason.LATE
