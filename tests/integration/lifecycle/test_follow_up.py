"""Plans for failures, followed wherever a message may fail, with each step in its history and told once."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from smsapp.events.models import OutboxEvent
from smsapp.ids import new_id
from smsapp.lifecycle.miss_deadlines import miss_deadlines
from smsapp.lifecycle.record_reports import TargetedReport, record_reports
from smsapp.messages.fold import Report, Source
from smsapp.messages.status import Status
from smsapp.reconciliation.reconcile import reconcile
from smsapp.reconciliation.settle import Decision, decide_unconfirmed
from smsapp.runtime import Runtime
from smsapp.submission.send import send_messages
from tests.support.fakes import FakeClock, FakeTwilio, refuse
from tests.support.messages import Accept, events, stored

HOUR = timedelta(hours=1)
OTHER = "+15005550011"
FALLBACK = {"on": ["any"], "do": "request_fallback"}


pytestmark = pytest.mark.usefixtures("nothing_is_lost")


def plan(*steps: dict[str, Any], **bounds: Any) -> dict[str, Any]:
    return {"steps": list(steps), **bounds}


def report(rt: Runtime, message_id: UUID, word: str, code: int | None = None) -> None:
    attempt = stored(rt, message_id).attempt
    said = Report(Source.CALLBACK, word, rt.clock(), new_id(), attempt=attempt, error_code=code)
    with rt.transaction() as tx:
        record_reports(rt, tx, [TargetedReport(message_id, said)])


def told(rt: Runtime) -> list[tuple[str, Any]]:
    with rt.sessions() as session:
        query = select(OutboxEvent.type, OutboxEvent.data).order_by(OutboxEvent.seq)
        return [tuple(row) for row in session.execute(query)]


def taken(rt: Runtime, message_id: UUID) -> list[tuple[str | None, Any]]:
    """Return the steps in the message's history: why, and which."""
    return [
        (event.reason, (event.payload or {}).get("step"))
        for event in events(rt, message_id)
        if event.reason in {"plan_resend", "plan_fallback"}
    ]


def test_step_by_step_to_another_sender_another_channel_and_the_fallback(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(
        on_failure=plan(
            {"on": ["content"], "do": "resend", "from": OTHER},
            {"on": ["retry_later"], "do": "resend", "after": "30m", "channel": "whatsapp", "from": OTHER},
            FALLBACK,
        )
    )
    for code in (30007, 30003, 30005):
        send_messages(rt)
        report(rt, message_id, "undelivered", code)
        clock.advance(HOUR)
    send_messages(rt)

    assert [(sent.attempt, sent.sender) for sent in twilio.sent] == [
        (1, "+15005550006"),
        (2, OTHER),
        (3, f"whatsapp:{OTHER}"),
    ]
    assert taken(rt, message_id) == [("plan_resend", 1), ("plan_resend", 2), ("plan_fallback", 3)]
    message = stored(rt, message_id)
    assert (message.status, message.error_code, message.steps_left) == (Status.UNDELIVERED, 30005, 0)
    assert [kind for kind, _ in told(rt)] == ["message.accepted", "message.undelivered", "fallback.requested"]
    assert told(rt)[-1][1] == {"step": 3}


def test_another_messaging_service_takes_the_senders_place(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    service = "MG" + "2" * 32
    message_id = accept(on_failure=plan({"on": ["any"], "do": "resend", "messaging_service_sid": service}))
    send_messages(rt)
    report(rt, message_id, "failed", 30001)
    clock.advance(HOUR)
    send_messages(rt)

    assert (twilio.sent[-1].sender, twilio.sent[-1].messaging_service_sid) == (None, service)


def test_a_refusal_at_the_hand_over_is_a_failure_like_any_other(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    twilio.behaviours = [refuse(21606, 400)]
    message_id = accept(on_failure=plan({"on": ["sender"], "do": "resend", "from": OTHER}))
    send_messages(rt)
    assert stored(rt, message_id).status == Status.PENDING

    clock.advance(HOUR)
    send_messages(rt)

    assert [sent.sender for sent in twilio.sent] == [OTHER]


def test_delivered_it_needs_no_plan(rt: Runtime, accept: Accept) -> None:
    message_id = accept(on_failure=plan(FALLBACK))
    send_messages(rt)
    report(rt, message_id, "delivered")

    assert taken(rt, message_id) == []


def test_a_repeated_callback_takes_no_second_step(rt: Runtime, accept: Accept) -> None:
    message_id = accept(on_failure=plan(FALLBACK, FALLBACK))
    send_messages(rt)
    report(rt, message_id, "undelivered", 30005)
    report(rt, message_id, "undelivered", 30005)

    assert taken(rt, message_id) == [("plan_fallback", 1)]


def test_a_deadline_requests_the_fallback_while_twilio_still_tries(
    rt: Runtime, clock: FakeClock, accept: Accept
) -> None:
    late = {"on": ["deadline_missed"], "do": "request_fallback"}
    at_twilio = accept(on_failure=plan(late), deliver_by=clock() + HOUR)
    send_messages(rt)
    waiting = accept("+14155552672", on_failure=plan(late), deliver_by=clock() + HOUR)

    clock.advance(HOUR)
    miss_deadlines(rt)

    assert taken(rt, at_twilio) == taken(rt, waiting) == [("plan_fallback", 1)]
    assert stored(rt, at_twilio).status == Status.QUEUED
    assert [kind for kind, _ in told(rt)].count("fallback.requested") == 2
    report(rt, at_twilio, "delivered")
    assert stored(rt, at_twilio).status == Status.DELIVERED


def test_what_nobody_can_be_sure_of_is_not_sent_again_but_may_fall_back(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    twilio.behaviours = [twilio.lose, twilio.lose]
    again = {"on": ["any", "ambiguous"], "do": "resend"}
    given_up = accept(on_failure=plan(again, FALLBACK), on_unconfirmed="fail")
    held = accept("+14155552672", on_failure=plan(again, FALLBACK))
    send_messages(rt)
    clock.advance(HOUR)
    reconcile(rt)
    decide_unconfirmed(rt, held, Decision.FAIL)

    assert taken(rt, given_up) == taken(rt, held) == [("plan_fallback", 2)]
    assert stored(rt, given_up).status == stored(rt, held).status == Status.FAILED


def test_a_plan_costs_no_more_than_it_may(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    again = {"on": ["any"], "do": "resend"}
    message_id = accept(body="x" * 161, on_failure=plan(again, again, again, FALLBACK, max_segments=5))
    for _ in range(2):
        send_messages(rt)
        report(rt, message_id, "undelivered", 30003)
        clock.advance(HOUR)
    send_messages(rt)

    assert [sent.segments for sent in twilio.sent] == [2, 2]  # a third attempt would make six
    assert taken(rt, message_id) == [("plan_resend", 1), ("plan_fallback", 4)]
    assert stored(rt, message_id).status == Status.UNDELIVERED


def test_every_attempt_has_the_same_content_and_options(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    options = {"content_sid": "HX" + "1" * 32, "content_variables": {"1": "Ann"}, "risk_check": "disable"}
    message_id = accept(
        body="", options=options, on_failure=plan({"on": ["any"], "do": "resend", "from": OTHER})
    )
    send_messages(rt)
    report(rt, message_id, "failed", 30001)
    clock.advance(HOUR)
    send_messages(rt)

    assert [(sent.sender, sent.body, sent.options) for sent in twilio.sent] == [
        ("+15005550006", "", options),
        (OTHER, "", options),
    ]
