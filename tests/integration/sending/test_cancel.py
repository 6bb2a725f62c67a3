"""Messages for later, and canceling: before the hand-over for certain, after it only as far as Twilio lets go."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from uuid import UUID, uuid4

import pytest

from smsapp.maintenance import wake_for_due
from smsapp.messages.status import Outcome, Status
from smsapp.runtime import Runtime
from smsapp.sending.cancel import MessageNotFoundError, TooLateToCancelError, cancel_message
from smsapp.submission.send import send_messages
from smsapp.twilio.gateway import TwilioUnavailableError
from tests.support.fakes import FakeClock, FakeTwilio
from tests.support.messages import Accept, claim, events, stored

HOUR = timedelta(hours=1)


pytestmark = pytest.mark.usefixtures("nothing_is_lost")


def cancel(rt: Runtime, message_id: UUID) -> None:
    cancel_message(rt, message_id, request_id="r1")


# For later.


def test_a_message_for_later_goes_out_when_its_time_has_come(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(send_at=clock() + HOUR)

    early = send_messages(rt)
    clock.advance(HOUR)
    woken = wake_for_due(rt)
    on_time = send_messages(rt)

    assert (early, woken, on_time) == (0, 1, 1)
    assert [sent.id for sent in twilio.sent] == [message_id]


def test_a_message_for_next_week_is_tried_as_patiently_as_one_for_now(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(send_at=clock() + timedelta(days=7))
    clock.advance(timedelta(days=7))
    twilio.behaviours = [twilio.unreachable]

    send_messages(rt)

    assert stored(rt, message_id).status == Status.PENDING  # its patience begins when it could first go out
    clock.advance(HOUR)
    send_messages(rt)
    assert stored(rt, message_id).status == Status.QUEUED


# Before the hand-over.


def test_what_waits_is_canceled_and_never_sent(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(send_at=clock() + HOUR)

    cancel(rt, message_id)
    clock.advance(HOUR)
    sent = send_messages(rt)

    message = stored(rt, message_id)
    assert (sent, twilio.sent) == (0, [])
    assert (message.status, message.outcome, message.due_at) == (Status.CANCELED, Outcome.CANCELED, None)
    last = events(rt, message_id)[-1]
    assert (last.source, last.status, last.reason) == ("request", "canceled", "canceled_by_caller")
    assert last.payload == {"request_id": "r1"}


def test_canceling_again_changes_nothing(rt: Runtime, accept: Accept) -> None:
    message_id = accept()
    cancel(rt, message_id)
    before = events(rt, message_id)

    cancel(rt, message_id)

    assert len(events(rt, message_id)) == len(before)


def test_a_message_that_waits_for_another_attempt_is_canceled(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    twilio.behaviours = [twilio.unreachable]
    message_id = accept()
    send_messages(rt)

    cancel(rt, message_id)
    clock.advance(HOUR)
    send_messages(rt)

    message = stored(rt, message_id)
    assert (message.status, message.error_code, twilio.sent) == (Status.CANCELED, None, [])


def test_a_message_that_is_not_there_cannot_be_canceled(rt: Runtime, accept: Accept) -> None:
    with pytest.raises(MessageNotFoundError):
        cancel(rt, uuid4())


# Against a sender that wants it at the same moment.


def test_canceled_first_it_cannot_be_claimed(rt: Runtime, accept: Accept) -> None:
    message_id = accept()

    cancel(rt, message_id)

    assert claim(rt) == []


def test_claimed_first_it_is_too_late(rt: Runtime, accept: Accept) -> None:
    message_id = accept()
    claim(rt)

    with pytest.raises(TooLateToCancelError) as raised:
        cancel(rt, message_id)

    assert raised.value.status is Status.SUBMITTING
    assert stored(rt, message_id).status == Status.SUBMITTING


def test_of_both_at_once_exactly_one_gets_the_message(rt: Runtime, accept: Accept) -> None:
    ids = [accept(f"+1415555{number:04}") for number in range(2000, 2020)]
    together = Barrier(2)

    def cancel_all() -> set[UUID]:
        together.wait()
        canceled = set()
        for message_id in ids:
            try:
                cancel(rt, message_id)
            except TooLateToCancelError:
                continue
            canceled.add(message_id)
        return canceled

    def claim_all() -> set[UUID]:
        together.wait()
        return {message.id for _ in ids for message in claim(rt, limit=1)}

    with ThreadPoolExecutor(2) as pool:
        canceling, claiming = pool.submit(cancel_all), pool.submit(claim_all)
    canceled, claimed = canceling.result(), claiming.result()
    claimed |= {message.id for message in claim(rt)}

    assert canceled & claimed == set()
    assert canceled | claimed == set(ids)


# After the hand-over.


@pytest.fixture
def queued(rt: Runtime, accept: Accept) -> UUID:
    """A message that Twilio has queued."""
    message_id = accept()
    send_messages(rt)
    return message_id


def test_twilio_is_asked_to_let_go_of_what_it_has_not_sent(
    rt: Runtime, twilio: FakeTwilio, queued: UUID
) -> None:
    twilio.cancelable = True

    cancel(rt, queued)

    assert stored(rt, queued).status == Status.CANCELED
    last = events(rt, queued)[-1]
    assert (last.source, last.status, last.applied) == ("poll", "canceled", True)
    assert last.payload == {"request": "cancel", "request_id": "r1"}


def test_what_twilio_does_not_let_go_of_is_on_its_way(rt: Runtime, queued: UUID) -> None:
    with pytest.raises(TooLateToCancelError):
        cancel(rt, queued)

    assert stored(rt, queued).status == Status.QUEUED


def test_while_twilio_does_not_answer_nobody_can_tell(rt: Runtime, twilio: FakeTwilio, queued: UUID) -> None:
    twilio.unavailable = TwilioUnavailableError("TimeoutError")

    with pytest.raises(TwilioUnavailableError):
        cancel(rt, queued)

    assert stored(rt, queued).status == Status.QUEUED


def test_an_answer_that_it_was_sent_meanwhile_counts(
    rt: Runtime, twilio: FakeTwilio, queued: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = next(iter(twilio.records.values()))
    monkeypatch.setattr(twilio, "cancel", lambda _sid: replace(record, status="delivered"))

    with pytest.raises(TooLateToCancelError) as raised:
        cancel(rt, queued)

    assert raised.value.status is Status.DELIVERED
    assert stored(rt, queued).status == Status.DELIVERED


def test_what_may_or_may_not_be_at_twilio_cannot_be_canceled(
    rt: Runtime, twilio: FakeTwilio, accept: Accept
) -> None:
    twilio.behaviours = [twilio.lose]
    message_id = accept()
    send_messages(rt)

    with pytest.raises(TooLateToCancelError) as raised:
        cancel(rt, message_id)

    assert raised.value.status is Status.UNCONFIRMED
