"""Asking Twilio about what it has not told us: what callbacks lose, polling repairs, and counts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from smsapp.db import counters
from smsapp.messages.fold import MessageState
from smsapp.messages.status import Outcome, Status
from smsapp.reconciliation.reconcile import REPAIRED, Polled, next_poll, reconcile
from smsapp.runtime import Runtime
from smsapp.submission.outbound import Outbound
from smsapp.submission.send import send_messages
from smsapp.twilio.gateway import Submission, TwilioMessage, TwilioUnavailableError
from tests.support.callbacks import callback, receive
from tests.support.fakes import FakeClock, FakeTwilio
from tests.support.messages import Accept, claim, events, stored

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
AGES = (2 * MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, 24 * HOUR, 72 * HOUR)


@pytest.fixture(autouse=True)
def _nothing_is_lost(rt: Runtime, nothing_is_lost: None) -> None:
    """After each test; and these are the usual spans."""
    assert (rt.settings.poll_ages, rt.settings.confirm_within) == (AGES, 72 * HOUR)


def sent(rt: Runtime, accept: Accept, to: str = "+14155552671") -> tuple[UUID, str]:
    """Submit a message; return its id and SID."""
    message_id = accept(to)
    send_messages(rt)
    sid = stored(rt, message_id).twilio_sid
    assert sid
    return message_id, sid


def now_says(twilio: FakeTwilio, sid: str, status: str, **changes: Any) -> None:
    """Let Twilio's records show another status, of which no callback tells."""
    twilio.records[sid] = replace(twilio.records[sid], status=status, **changes)


def repaired(rt: Runtime) -> int:
    with rt.sessions() as session:
        return counters.read(session).get(REPAIRED, 0)


def test_a_message_whose_callbacks_were_lost_is_repaired_and_counted(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id, sid = sent(rt, accept)
    now_says(twilio, sid, "delivered", price="-0.00750", price_unit="USD", num_segments=2)

    clock.advance(2 * MINUTE - timedelta(seconds=1))
    early = reconcile(rt)
    clock.advance(timedelta(seconds=1))
    in_time = reconcile(rt)

    message = stored(rt, message_id)
    assert (early, in_time) == (Polled(0, 0), Polled(1, 1))
    assert (message.status, message.outcome) == (Status.DELIVERED, Outcome.DELIVERED)
    assert (message.price, message.price_unit, message.num_segments) == ("-0.00750", "USD", 2)
    assert repaired(rt) == 1
    assert events(rt, message_id)[-1].source == "poll"


def test_a_failure_is_repaired_with_its_code(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id, sid = sent(rt, accept)
    now_says(twilio, sid, "undelivered", error_code=30005)
    clock.advance(2 * MINUTE)

    reconcile(rt)

    assert (stored(rt, message_id).status, stored(rt, message_id).error_code) == (Status.UNDELIVERED, 30005)


def test_sent_is_not_the_end(rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept) -> None:
    message_id, sid = sent(rt, accept)
    receive(rt, callback(rt, message_id, "sent"))
    now_says(twilio, sid, "delivered")
    clock.advance(2 * MINUTE)

    assert reconcile(rt).repaired == 1
    assert stored(rt, message_id).status == Status.DELIVERED


def test_what_polling_only_confirms_is_not_counted(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id, sid = sent(rt, accept)
    receive(rt, callback(rt, message_id, "sent"))
    now_says(twilio, sid, "sent")
    clock.advance(2 * MINUTE)

    assert reconcile(rt) == Polled(1, 0)
    assert repaired(rt) == 0


def test_what_is_final_is_not_asked_about(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id, _ = sent(rt, accept)
    receive(rt, callback(rt, message_id, "delivered"))
    clock.advance(100 * HOUR)

    assert reconcile(rt) == Polled(0, 0)
    assert twilio.fetched == []


def test_each_message_is_asked_about_on_the_schedule_of_its_age(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    began = clock()
    _, sid = sent(rt, accept)
    now_says(twilio, sid, "sent")

    asked = []
    while clock() < began + 200 * HOUR:
        clock.advance(2 * MINUTE if clock() < began + HOUR else HOUR)
        if reconcile(rt).asked:
            asked.append(clock() - began)

    assert asked == [*AGES, 144 * HOUR]


def tracked(**changes: Any) -> MessageState:
    created = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    return MessageState(uuid4(), Status.SENT, 1, 1, created_at=created, submitted_at=created)._replace(
        **changes
    )


@pytest.mark.parametrize(
    ("age", "next_age"),
    [
        (timedelta(), 2 * MINUTE),
        (2 * MINUTE, 10 * MINUTE),
        (11 * MINUTE, HOUR),
        (71 * HOUR, 72 * HOUR),
        (72 * HOUR, 144 * HOUR),
        (500 * HOUR, 572 * HOUR),
    ],
)
def test_the_next_question_comes_at_the_next_age(age: timedelta, next_age: timedelta) -> None:
    message = tracked()

    assert next_poll(AGES, message, message.created_at + age) == message.created_at + next_age


def test_the_age_counts_from_when_twilio_took_it() -> None:
    message = tracked()
    waited = message._replace(submitted_at=message.created_at + 5 * HOUR)

    assert (
        next_poll(AGES, waited, message.created_at + 5 * HOUR) == message.created_at + 5 * HOUR + 2 * MINUTE
    )


# What never becomes final.


def test_without_a_receipt_it_ends_unconfirmed_and_a_late_receipt_revises_that(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id, sid = sent(rt, accept)
    receive(rt, callback(rt, message_id, "sent"))
    now_says(twilio, sid, "sent")
    clock.advance(71 * HOUR)
    reconcile(rt)
    before = stored(rt, message_id).outcome
    clock.advance(HOUR)
    reconcile(rt)
    given_up = stored(rt, message_id)

    receive(rt, callback(rt, message_id, "delivered"))

    assert before is None
    assert (given_up.status, given_up.outcome) == (Status.SENT, Outcome.UNCONFIRMED)
    assert (stored(rt, message_id).status, stored(rt, message_id).outcome) == (
        Status.DELIVERED,
        Outcome.DELIVERED,
    )


def test_what_ended_unconfirmed_is_still_asked_about(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id, sid = sent(rt, accept)
    clock.advance(72 * HOUR)
    reconcile(rt)
    given_up = stored(rt, message_id).outcome
    now_says(twilio, sid, "undelivered", error_code=30003)
    clock.advance(72 * HOUR)

    reconcile(rt)

    assert given_up == Outcome.UNCONFIRMED
    assert stored(rt, message_id).outcome == Outcome.UNDELIVERED


def test_a_message_that_is_gone_at_twilio_keeps_its_status_and_ends_unconfirmed(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id, _ = sent(rt, accept)
    twilio.records.clear()
    clock.advance(2 * MINUTE)

    first = reconcile(rt)
    early = stored(rt, message_id)
    clock.advance(72 * HOUR)
    reconcile(rt)
    clock.advance(72 * HOUR)
    reconcile(rt)

    assert first == Polled(1, 0)
    assert (early.status, early.outcome) == (Status.QUEUED, None)
    assert events(rt, message_id)[3].reason == "gone_at_twilio"
    assert (stored(rt, message_id).status, stored(rt, message_id).outcome) == (
        Status.QUEUED,
        Outcome.UNCONFIRMED,
    )


def test_a_status_that_is_not_known_yet_is_asked_about_on_schedule_like_any_other(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id, sid = sent(rt, accept)
    now_says(twilio, sid, "handed_over")
    clock.advance(2 * MINUTE)

    asked = (reconcile(rt).asked, reconcile(rt).asked)
    clock.advance(8 * MINUTE)

    assert asked == (1, 0)
    assert reconcile(rt).asked == 1
    assert stored(rt, message_id).status == Status.QUEUED


def test_a_message_whose_sid_nobody_told_is_not_asked_about_for_ever(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    """A callback without a SID overtook an answer that never came."""
    message_id = accept()
    claim(rt)
    receive(rt, callback(rt, message_id, "sent", MessageSid=""))
    clock.advance(rt.settings.send_lease)

    asked = (reconcile(rt).asked, reconcile(rt).asked)
    clock.advance(72 * HOUR)
    reconcile(rt)

    assert asked == (1, 0)
    assert (stored(rt, message_id).status, stored(rt, message_id).outcome) == (
        Status.SENT,
        Outcome.UNCONFIRMED,
    )


def test_a_text_that_is_sent_again_has_a_schedule_of_its_own(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(resend_after_failure=True)
    send_messages(rt)
    clock.advance(71 * HOUR)
    receive(rt, callback(rt, message_id, "failed", ErrorCode="30500"))
    clock.advance(HOUR)
    send_messages(rt)
    sid = stored(rt, message_id).twilio_sid
    assert sid
    now_says(twilio, sid, "sent")
    clock.advance(2 * MINUTE)

    asked = reconcile(rt)
    clock.advance(8 * MINUTE)
    again = reconcile(rt)

    assert (asked.asked, again.asked) == (1, 1)
    assert stored(rt, message_id).outcome is None


# When Twilio does not want to be asked.


def throttled(**facts: Any) -> TwilioUnavailableError:
    return TwilioUnavailableError("http_429", code=20429, status=429, **facts)


@pytest.mark.parametrize(
    ("refusal", "pause"),
    [
        pytest.param(throttled(retry_after="30"), timedelta(seconds=30), id="429 that says how long"),
        pytest.param(throttled(), MINUTE, id="429 that does not"),
        pytest.param(TwilioUnavailableError("TimeoutError"), MINUTE, id="no answer"),
        pytest.param(TwilioUnavailableError("http_503", status=503), MINUTE, id="503"),
        pytest.param(TwilioUnavailableError("http_401", code=20003, status=401), MINUTE, id="401"),
    ],
)
def test_it_pauses_when_twilio_does_not_answer_and_goes_on_later(
    rt: Runtime,
    twilio: FakeTwilio,
    clock: FakeClock,
    accept: Accept,
    refusal: TwilioUnavailableError,
    pause: timedelta,
) -> None:
    message_id, sid = sent(rt, accept)
    now_says(twilio, sid, "delivered")
    clock.advance(2 * MINUTE)
    twilio.unavailable = refusal

    refused = reconcile(rt)
    twilio.unavailable = None
    clock.advance(pause - timedelta(seconds=1))
    paused = reconcile(rt)
    clock.advance(timedelta(seconds=1))
    resumed = reconcile(rt)

    assert (refused, paused, resumed) == (Polled(0, 0), Polled(0, 0), Polled(1, 1))
    assert stored(rt, message_id).status == Status.DELIVERED


def test_a_pause_in_asking_is_none_in_sending(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    sent(rt, accept)
    clock.advance(2 * MINUTE)
    twilio.unavailable = throttled(retry_after="300")
    reconcile(rt)

    sent(rt, accept)

    assert len(twilio.sent) == 2


def test_it_pauses_also_when_the_search_for_a_lost_one_is_refused(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept()
    twilio.behaviours = [twilio.accept_silently]
    send_messages(rt)
    clock.advance(MINUTE)
    twilio.unavailable = throttled(retry_after="300")

    reconcile(rt)
    twilio.unavailable = None
    paused = reconcile(rt)
    clock.advance(5 * MINUTE)
    resumed = reconcile(rt)

    assert (paused.asked, resumed.asked) == (0, 1)
    assert stored(rt, message_id).status == Status.QUEUED


def test_what_was_answered_before_the_pause_is_kept(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    ids = {}
    for number in range(30):
        message_id, sid = sent(rt, accept, f"+1415555{number:04}")
        now_says(twilio, sid, "delivered", created_at=None)  # so that a list does not show it
        ids[message_id] = sid
    clock.advance(2 * MINUTE)
    fetch = twilio.fetch

    def fetch_some(sid: str) -> TwilioMessage | None:
        if len(twilio.fetched) >= 10:
            raise throttled()
        return fetch(sid)

    twilio.fetch = fetch_some  # type: ignore[method-assign]

    first = reconcile(rt)
    twilio.fetch = fetch  # type: ignore[method-assign]
    clock.advance(MINUTE)
    second = reconcile(rt)

    assert 10 <= first.asked == first.repaired < 30
    assert first.repaired + second.repaired == repaired(rt) == 30
    assert sorted(twilio.fetched) == sorted(ids.values())


def test_what_never_moves_does_not_starve_what_is_new(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    for number in range(250):  # more than a batch
        accept(f"+1415555{number:04}")
    send_messages(rt)
    for sid in twilio.records:
        now_says(twilio, sid, "sent")
    clock.advance(MINUTE)
    fresh, sid = sent(rt, accept)
    now_says(twilio, sid, "delivered")
    clock.advance(2 * MINUTE)

    round_ = reconcile(rt)

    assert round_ == Polled(251, 251)
    assert stored(rt, fresh).status == Status.DELIVERED


def test_the_longest_waiting_are_asked_about_first(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    for number in range(5):
        sent(rt, accept, f"+1415555{number:04}")
        clock.advance(timedelta(seconds=1))
    clock.advance(2 * MINUTE)

    reconcile(rt, batch=2, fetches=1)

    assert twilio.fetched == list(twilio.records)


@pytest.mark.parametrize(
    "refusal", [TwilioUnavailableError("unreadable_answer"), TwilioUnavailableError("http_400", status=400)]
)
def test_a_message_that_twilio_chokes_on_does_not_starve_the_others(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, refusal: TwilioUnavailableError
) -> None:
    _, stuck = sent(rt, accept)
    clock.advance(timedelta(seconds=1))
    ids = [sent(rt, accept, f"+1415555{number:04}")[0] for number in range(15)]
    for sid in twilio.records:
        now_says(twilio, sid, "delivered")
    fetch = twilio.fetch

    def choke(sid: str) -> TwilioMessage | None:
        if sid == stuck:
            raise refusal
        return fetch(sid)

    twilio.fetch = choke  # type: ignore[method-assign]
    clock.advance(2 * MINUTE)

    reconcile(rt)

    assert {stored(rt, message_id).status for message_id in ids} == {Status.DELIVERED}
    assert reconcile(rt).asked == 0  # the stuck one waits for its next age, too


# In bulk.


def test_many_are_asked_about_in_one_list(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    ids = [accept(f"+1415555{number:04}") for number in range(40)]
    send_messages(rt)
    sids = list(twilio.records)
    for sid in sids:
        now_says(twilio, sid, "delivered")
    twilio.records[sids[0]] = replace(twilio.records[sids[0]], created_at=None)  # not in the list
    clock.advance(2 * MINUTE)

    assert reconcile(rt) == Polled(40, 40)
    assert twilio.fetched == [sids[0]]
    assert {stored(rt, message_id).status for message_id in ids} == {Status.DELIVERED}


def test_an_answer_that_was_overtaken_by_a_resend_is_not_taken_for_the_new_attempt(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(resend_after_failure=True)
    send_messages(rt)
    first = stored(rt, message_id).twilio_sid
    assert first
    now_says(twilio, first, "failed", error_code=30008)
    fetch = twilio.fetch

    def overtaken(sid: str) -> TwilioMessage | None:
        answer = fetch(sid)
        receive(rt, callback(rt, message_id, "failed", ErrorCode="30500"))
        return answer

    twilio.fetch = overtaken  # type: ignore[method-assign]
    clock.advance(2 * MINUTE)

    reconcile(rt)

    message = stored(rt, message_id)
    assert (message.status, message.attempt, message.error_code) == (Status.PENDING, 2, 30500)
    assert events(rt, message_id)[-1].reason == "earlier_attempt"


def test_it_stops_when_the_worker_is_told_to(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    sent(rt, accept)
    clock.advance(2 * MINUTE)
    rt.stopping.set()

    assert reconcile(rt) == Polled(0, 0)
    assert twilio.fetched == []


def test_a_submission_under_way_is_none_of_its_business(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept()

    def slow(message: Outbound) -> Submission:
        clock.advance(HOUR)
        assert reconcile(rt) == Polled(0, 0)
        return twilio.accept(message)

    twilio.behaviours = [slow]

    send_messages(rt)

    assert stored(rt, message_id).status == Status.QUEUED
