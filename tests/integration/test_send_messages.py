"""The send path: each message reaches Twilio once, or its failure is explained."""

from datetime import timedelta
from uuid import UUID

from smsapp.domain.status import Status
from smsapp.runtime import Runtime
from smsapp.services.send_messages import send_messages
from smsapp.store import messages
from smsapp.store.tables import Message, MessageEvent
from tests.fakes import FakeClock, FakeTwilio, refuse
from tests.integration.conftest import Accept


def stored(rt: Runtime, message_id: UUID) -> Message:
    with rt.sessions() as session:
        message = messages.get(session, message_id)
        assert message is not None
        return message


def events(rt: Runtime, message_id: UUID) -> list[MessageEvent]:
    with rt.sessions() as session:
        return list(messages.history(session, message_id))


def test_a_due_message_is_submitted_and_its_sid_kept(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    message_id = accept()

    send_messages(rt)

    message = stored(rt, message_id)
    assert [sent.id for sent in twilio.sent] == [message_id]
    assert (message.status, message.twilio_sid) == ("queued", next(iter(twilio.records)))
    assert [(e.source, e.status) for e in events(rt, message_id)] == [
        ("request", "pending"),
        ("system", "submitting"),
        ("api", "queued"),
    ]


def test_a_redelivered_job_does_not_send_twice(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    message_id = accept()

    send_messages(rt)
    send_messages(rt)  # the broker delivers at least once

    assert [sent.id for sent in twilio.sent] == [message_id]


def test_a_permanent_refusal_fails_the_message_with_its_code(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    message_id = accept()
    twilio.behaviours = [refuse(21211, 400)]

    send_messages(rt)

    message = stored(rt, message_id)
    assert (message.status, message.outcome, message.error_code, message.due_at) == ("failed", "failed", 21211, None)


def test_a_request_that_never_left_is_tried_again_later(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept()
    twilio.behaviours = [twilio.unreachable]

    send_messages(rt)
    waiting = stored(rt, message_id)
    clock.advance(timedelta(minutes=1))
    send_messages(rt)

    assert (waiting.status, waiting.attempt) == ("pending", 2)
    assert waiting.due_at is not None
    assert waiting.due_at > waiting.created_at
    assert stored(rt, message_id).status == Status.QUEUED
    assert len(twilio.sent) == 1


def test_a_lost_answer_is_never_sent_again_by_itself(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept()
    twilio.behaviours = [twilio.accept_silently]

    send_messages(rt)
    clock.advance(timedelta(days=1))
    send_messages(rt)

    assert stored(rt, message_id).status == Status.UNCONFIRMED
    assert len(twilio.sent) == 1
