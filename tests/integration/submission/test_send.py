"""The send path: each message reaches Twilio once, or its failure is explained."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.exc import OperationalError

from smsapp.messages.status import Outcome, Status
from smsapp.queue.tasks import Task
from smsapp.reconciliation.settle import Decision, decide_unconfirmed
from smsapp.runtime import Runtime
from smsapp.submission import send as send_module
from smsapp.submission.expire_claims import expire_claims
from smsapp.submission.outbound import Outbound
from smsapp.submission.record import SubmissionResult, record_submissions
from smsapp.submission.scheduler import Scheduler
from smsapp.submission.send import send_messages
from smsapp.twilio.error_codes import OwnCode
from smsapp.twilio.gateway import Submission
from tests.support.fakes import FakeClock, FakeTaskQueue, FakeTwilio, refuse
from tests.support.messages import Accept, claim, events, stored

MINUTE = timedelta(minutes=1)


pytestmark = pytest.mark.usefixtures("histories_tell_the_state")


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


def test_twilio_gets_the_message_as_it_was_accepted(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    deliver_by = rt.clock() + MINUTE
    message_id = accept(
        "+442071838750",
        "Grüße 💥",
        sender=None,
        messaging_service_sid="MG" + "2" * 32,
        media_urls=["https://example.test/cat.jpg"],
        deliver_by=deliver_by,
        request_id="req-1",
    )

    send_messages(rt)

    assert twilio.sent == [
        Outbound(
            id=message_id,
            attempt=1,
            to="+442071838750",
            sender=None,
            messaging_service_sid="MG" + "2" * 32,
            body="Grüße 💥",
            created_at=rt.clock(),
            media_urls=["https://example.test/cat.jpg"],
            deliver_by=deliver_by,
            request_id="req-1",
            country="GB",
        )
    ]


# Once, and only once.


def test_a_redelivered_job_does_not_send_twice(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    message_id = accept()

    send_messages(rt)
    send_messages(rt)  # the broker delivers at least once

    assert [sent.id for sent in twilio.sent] == [message_id]


def test_workers_that_drain_at_once_send_each_message_once(
    rt: Runtime, twilio: FakeTwilio, accept: Accept
) -> None:
    ids = {accept(to=f"+1415555{number:04}") for number in range(2000, 2040)}
    few = rt.settings.model_copy(update={"send_concurrency": 3})
    together = threading.Barrier(4)

    def work(_: int) -> int:
        together.wait()
        return send_messages(replace(rt, settings=few))

    with ThreadPoolExecutor(4) as pool:
        total = sum(pool.map(work, range(4)))

    assert total == len(ids) == len(twilio.sent)
    assert {sent.id for sent in twilio.sent} == ids
    assert {stored(rt, message_id).status for message_id in ids} == {Status.QUEUED}


def test_of_two_claims_at_once_each_message_goes_to_one(rt: Runtime, accept: Accept) -> None:
    ids = {accept() for _ in range(20)}
    together = threading.Barrier(2)

    def take(_: int) -> list[Outbound]:
        together.wait()
        return claim(rt)

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(take, range(2))

    assert {m.id for m in one} | {m.id for m in other} == ids
    assert len(one) + len(other) == len(ids)


def test_only_what_is_pending_and_due_is_claimed(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    submitting = accept("+14155550100")
    claim(rt)
    waiting = accept("+14155550101")
    twilio.behaviours = [twilio.unreachable]
    send_messages(rt)
    lost = accept("+14155550102")
    twilio.behaviours = [twilio.lose]
    send_messages(rt)
    accept("+14155550103")
    send_messages(rt)
    clock.advance(timedelta(milliseconds=100))
    early = claim(rt)
    clock.advance(timedelta(days=30))  # by now each of them is due, for something

    claimed = claim(rt)

    assert early == []
    assert [(message.id, message.attempt) for message in claimed] == [(waiting, 2)]
    assert stored(rt, submitting).status == Status.SUBMITTING
    assert stored(rt, lost).status == Status.UNCONFIRMED


def test_the_longest_due_are_claimed_first(rt: Runtime, clock: FakeClock, accept: Accept) -> None:
    first = accept()
    clock.advance(MINUTE)
    second = accept()
    accept()

    assert [message.id for message in claim(rt, 1)] == [first]
    assert [message.id for message in claim(rt, 1)] == [second]


def test_a_claim_of_a_worker_that_died_becomes_unconfirmed(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept()
    claim(rt)
    clock.advance(rt.settings.send_lease - timedelta(seconds=1))
    too_early = expire_claims(rt)
    clock.advance(timedelta(seconds=1))

    expired = expire_claims(rt)
    send_messages(rt)

    message = stored(rt, message_id)
    assert (too_early, expired) == (0, 1)
    assert (message.status, message.error_code, message.outcome) == ("unconfirmed", OwnCode.ANSWER_LOST, None)
    assert twilio.sent == []  # it may be at Twilio, so it is looked up before anything else


def test_an_answer_that_comes_after_the_lease_still_counts(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept()

    def slow(message: Outbound) -> Submission:
        clock.advance(timedelta(minutes=2))
        assert expire_claims(rt) == 1
        return twilio.accept(message)

    twilio.behaviours = [slow]

    send_messages(rt)

    message = stored(rt, message_id)
    assert (message.status, message.error_code) == (Status.QUEUED, None)
    assert message.twilio_sid in twilio.records


@pytest.mark.parametrize("answer", ["refused", "unreachable", "accepted"])
def test_an_answer_to_a_former_attempt_does_not_touch_the_present_one(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, answer: str
) -> None:
    """A worker was frozen with the first attempt; an operator had the message sent again meanwhile."""
    message_id = accept()
    (first,) = claim(rt)
    clock.advance(rt.settings.send_lease)
    expire_claims(rt)
    decide_unconfirmed(rt, message_id, Decision.RESEND)
    (second,) = claim(rt)
    answers = {"refused": refuse(21211, 400), "unreachable": twilio.unreachable, "accepted": twilio.accept}

    record_submissions(rt, [(first, answers[answer](first))])
    meanwhile = stored(rt, message_id)
    record_submissions(rt, [(second, twilio.accept(second))])

    assert (meanwhile.status, meanwhile.attempt, meanwhile.twilio_sid) == (Status.SUBMITTING, 2, None)
    assert (stored(rt, message_id).status, stored(rt, message_id).attempt) == (Status.QUEUED, 2)
    assert stored(rt, message_id).twilio_sid == list(twilio.records)[-1]
    assert [event.applied for event in events(rt, message_id)][-2:] == [False, True]


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


def test_a_defect_in_the_gateway_leaves_the_message_unconfirmed(
    rt: Runtime, twilio: FakeTwilio, accept: Accept
) -> None:
    broken, whole = accept("+14155550100"), accept("+14155550101")

    def submit(message: Outbound) -> Submission:
        if message.id == broken:
            raise ZeroDivisionError
        return twilio.accept(message)

    twilio.behaviours = [submit, submit]

    send_messages(rt)

    assert stored(rt, broken).status == Status.UNCONFIRMED
    assert stored(rt, whole).status == Status.QUEUED


def test_a_worker_that_is_told_to_stop_finishes_what_it_holds_and_claims_nothing_more(
    rt: Runtime, twilio: FakeTwilio, tasks: FakeTaskQueue, accept: Accept
) -> None:
    ids = [accept() for _ in range(3)]
    one_by_one = replace(rt, settings=rt.settings.model_copy(update={"send_concurrency": 1}))

    def stop(message: Outbound) -> Submission:
        rt.stopping.set()
        return twilio.accept(message)

    twilio.behaviours = [stop]
    tasks.woken.clear()

    send_messages(one_by_one)

    assert [stored(rt, message_id).status for message_id in ids] == ["queued", "pending", "pending"]
    assert tasks.woken[-1] == (Task.SEND_MESSAGES, 0)  # for another worker


def test_another_drain_is_called_when_twilio_takes_long_and_others_wait(
    rt: Runtime, twilio: FakeTwilio, tasks: FakeTaskQueue, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    four_at_once = replace(rt, settings=rt.settings.model_copy(update={"send_concurrency": 4}))
    called = threading.Event()
    ids = [accept()]

    def wait(message: Outbound) -> Submission:
        called.wait(10)
        return twilio.accept(message)

    def others_come(message: Outbound) -> Submission:
        ids.extend(accept() for _ in range(6))
        return wait(message)

    twilio.behaviours = [others_come, wait, wait, wait]
    monkeypatch.setattr(tasks, "wake", lambda _job, slot=0: called.set() if slot == 1 else None)

    send_messages(four_at_once)

    assert called.is_set()
    assert {stored(rt, message_id).status for message_id in ids} == {"queued"}


# Refusals and repetitions.


def test_a_permanent_refusal_fails_the_message_with_its_code(
    rt: Runtime, twilio: FakeTwilio, accept: Accept
) -> None:
    message_id = accept()
    twilio.behaviours = [refuse(21211, 400)]

    send_messages(rt)

    message = stored(rt, message_id)
    assert (message.status, message.outcome, message.error_code, message.due_at) == (
        "failed",
        "failed",
        21211,
        None,
    )
    assert events(rt, message_id)[-1].reason == "http_400"


def due_after(rt: Runtime, message_id: UUID) -> timedelta:
    message = stored(rt, message_id)
    assert message.status == Status.PENDING
    assert isinstance(message.due_at, datetime)
    return message.due_at - rt.clock()


def test_a_request_that_never_left_is_tried_again_with_growing_patience(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept()
    twilio.behaviours = [twilio.unreachable] * 4

    waits = []
    for _ in range(4):
        send_messages(rt)
        waits.append(due_after(rt, message_id).total_seconds())
        clock.advance(due_after(rt, message_id))
    send_messages(rt)

    assert waits == [0.5, 1.0, 2.0, 4.0]
    assert (stored(rt, message_id).status, stored(rt, message_id).attempt) == (Status.QUEUED, 5)
    assert stored(rt, message_id).error_code is None
    assert len(twilio.sent) == 1


def test_a_message_is_not_tried_before_it_is_due(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept()
    twilio.behaviours = [twilio.unreachable]
    send_messages(rt)
    clock.advance(due_after(rt, message_id) - timedelta(milliseconds=1))

    send_messages(rt)

    assert twilio.sent == []


def test_what_twilio_asks_for_is_waited_out_in_full(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    message_id = accept()
    twilio.behaviours = [refuse(20429, 429, retry_after="120")]

    send_messages(rt)

    assert due_after(rt, message_id).total_seconds() == 120.5
    assert stored(rt, message_id).error_code == 20429


def test_it_ends_when_the_callers_deadline_is_over(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(deliver_by=clock() + timedelta(seconds=100))
    twilio.behaviours = [refuse(21611, 429, retry_after="120")]

    send_messages(rt)

    message = stored(rt, message_id)
    assert (message.status, message.outcome) == (Status.FAILED, Outcome.FAILED)
    assert message.error_code == 21611
    assert events(rt, message_id)[-1].reason == "deadline_missed"


def test_what_is_too_late_is_not_even_tried(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    late, in_time = accept(deliver_by=clock() + MINUTE), accept(deliver_by=clock() + 3 * MINUTE)
    clock.advance(2 * MINUTE)

    send_messages(rt)

    assert [sent.id for sent in twilio.sent] == [in_time]
    assert (stored(rt, late).status, stored(rt, late).error_code) == (Status.FAILED, OwnCode.DEADLINE_MISSED)


def test_it_ends_when_the_message_is_too_old(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept()
    twilio.behaviours = [twilio.unreachable] * 2
    clock.advance(rt.settings.send_max_age - timedelta(seconds=1))

    send_messages(rt)
    clock.advance(due_after(rt, message_id))
    send_messages(rt)

    message = stored(rt, message_id)
    assert (message.status, message.error_code) == (Status.FAILED, OwnCode.GAVE_UP)
    assert message.attempt == 2
    assert twilio.sent == []


def test_what_twilio_answered_is_written_down_even_if_the_drain_breaks(
    rt: Runtime, twilio: FakeTwilio, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = accept()
    broken = threading.Event()
    real_claim = Scheduler.claim

    def once(self: Scheduler, free: int) -> list[Outbound]:
        if claimed := real_claim(self, free):
            return claimed
        broken.set()
        raise OperationalError("SELECT 1", {}, Exception("the database went away"))

    def answer_late(message: Outbound) -> Submission:
        assert broken.wait(10)
        return twilio.accept(message)

    monkeypatch.setattr(Scheduler, "claim", once)
    twilio.behaviours = [answer_late]

    with pytest.raises(OperationalError):
        send_messages(rt)

    assert stored(rt, message_id).status == Status.QUEUED


def test_nothing_is_claimed_before_a_refusal_is_written_down(
    rt: Runtime, twilio: FakeTwilio, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept()
    twilio.behaviours = [refuse(21614, 400)]
    writing, claimed_meanwhile = threading.Event(), threading.Event()
    real_claim = Scheduler.claim

    def watched(self: Scheduler, free: int) -> list[Outbound]:
        if writing.is_set():
            claimed_meanwhile.set()
        return real_claim(self, free)

    def slowly(rt: Runtime, results: Sequence[SubmissionResult]) -> None:
        writing.set()
        claimed_meanwhile.wait(0.3)
        record_submissions(rt, results)
        writing.clear()

    monkeypatch.setattr(Scheduler, "claim", watched)
    monkeypatch.setattr(send_module, "record_submissions", slowly)

    send_messages(rt)

    assert not claimed_meanwhile.is_set()
