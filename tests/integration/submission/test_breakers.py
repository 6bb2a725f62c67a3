"""Sending stops where it cannot succeed, loses nothing meanwhile, and starts again by itself."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from smsapp.breakers import queries as breakers
from smsapp.maintenance import wake_for_due
from smsapp.messages.status import Status
from smsapp.queue.tasks import Task
from smsapp.runtime import Runtime
from smsapp.submission import breakers as trip_module
from smsapp.submission import probe_breakers as probe_module
from smsapp.submission.outbound import Outbound
from smsapp.submission.probe_breakers import probe_breakers
from smsapp.submission.record import record_submissions
from smsapp.submission.send import send_messages
from smsapp.twilio.gateway import Submission
from smsapp.twilio.judgement import Judgement, judge_refusal
from tests.support.environment import SENDER
from tests.support.fakes import Behaviour, FakeClock, FakeTaskQueue, FakeTwilio, refuse
from tests.support.log_lines import LogLines
from tests.support.messages import Accept, claim, events, stored

OTHER_SENDER = "+15005550010"
SERVICE = "MG" + "2" * 32
SUSPENDED = Submission(judgement=judge_refusal(20003, 401), cause="http_401")


@pytest.fixture
def alerts(monkeypatch: pytest.MonkeyPatch) -> LogLines:
    """What is logged about breakers."""
    lines = LogLines()
    monkeypatch.setattr(trip_module, "log", lines)
    monkeypatch.setattr(probe_module, "log", lines)
    return lines


pytestmark = pytest.mark.usefixtures("nothing_is_lost")


@pytest.fixture
def one_by_one(rt: Runtime) -> Runtime:
    """A worker that submits one message at a time, so that it is certain which one meets what."""
    return replace(rt, settings=rt.settings.model_copy(update={"send_concurrency": 1}))


def closed(rt: Runtime) -> list[tuple[str, bool, int | None]]:
    with rt.sessions() as session:
        return [(breaker.scope, breaker.parked, breaker.error_code) for breaker in breakers.all_of(session)]


def only_from(sender: str, behaviour: Behaviour, twilio: FakeTwilio) -> Behaviour:
    """Return a behaviour towards one sender's messages; all others are accepted."""
    return lambda message: (behaviour if message.sender_key == sender else twilio.accept)(message)


# Throttled.


def test_too_many_requests_slow_the_whole_account(
    one_by_one: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    rt = one_by_one
    first, second = accept("+14155550100"), accept("+14155550101", sender=OTHER_SENDER)
    twilio.behaviours = [refuse(20429, 429, retry_after="30")]

    send_messages(rt)
    slowed = closed(rt)
    clock.advance(timedelta(seconds=29))
    send_messages(rt)
    early = len(twilio.sent)
    clock.advance(timedelta(seconds=2))
    send_messages(rt)

    assert slowed == [("account", False, 20429)]
    assert early == 0
    assert [sent.id for sent in twilio.sent] == [second, first]
    assert stored(rt, first).attempt == 2


def test_nobody_is_woken_while_the_account_is_slowed(
    one_by_one: Runtime, twilio: FakeTwilio, clock: FakeClock, tasks: FakeTaskQueue, accept: Accept
) -> None:
    accept()
    accept()
    twilio.behaviours = [refuse(20429, 429, retry_after="30")]
    send_messages(one_by_one)
    tasks.woken.clear()

    wake_for_due(one_by_one)
    early = list(tasks.woken)
    clock.advance(timedelta(seconds=31))
    wake_for_due(one_by_one)

    assert early == []
    assert tasks.woken == [(Task.SEND_MESSAGES, 0)]


def test_one_absurd_wait_does_not_stop_the_account_for_long(
    one_by_one: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    accept()
    second = accept()
    twilio.behaviours = [refuse(20429, 429, retry_after="86400")]

    send_messages(one_by_one)
    clock.advance(timedelta(minutes=1))
    send_messages(one_by_one)

    assert [sent.id for sent in twilio.sent] == [second]


def test_a_full_queue_slows_only_its_sender(
    one_by_one: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    rt = one_by_one
    full = [accept("+14155550100"), accept("+14155550101")]
    other, pooled = (
        accept("+14155550102", sender=OTHER_SENDER),
        accept(sender=None, messaging_service_sid=SERVICE),
    )
    twilio.behaviours = [refuse(21611, 429)]

    send_messages(rt)
    soon = {sent.id for sent in twilio.sent}
    clock.advance(timedelta(minutes=2))
    send_messages(rt)

    assert soon == {other, pooled}
    assert {sent.id for sent in twilio.sent} == {*full, other, pooled}
    assert closed(rt)[0][:2] == (SENDER, False)


def test_a_slowed_scope_is_forgotten_in_time(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    accept()
    twilio.behaviours = [refuse(20429, 429, retry_after="30")]
    send_messages(rt)
    clock.advance(timedelta(minutes=1))

    probe_breakers(rt)

    assert closed(rt) == []


# Parked.


def test_a_suspended_account_parks_everything_and_alerts_once(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, alerts: LogLines, accept: Accept
) -> None:
    ids = [accept(f"+1415555{number:04}") for number in range(100, 105)]
    twilio.behaviours = [refuse(20003, 401)] * 5
    twilio.account = SUSPENDED

    send_messages(rt)
    later = accept()
    clock.advance(timedelta(hours=20))
    send_messages(rt)

    assert twilio.sent == []
    assert closed(rt) == [("account", True, 20003)]
    assert {
        (stored(rt, message_id).status, stored(rt, message_id).outcome) for message_id in [*ids, later]
    } == {(Status.PENDING, None)}
    assert [(level, event, facts["scope"]) for level, event, facts in alerts.lines] == [
        ("error", "sending_parked", "account")
    ]


def test_an_account_that_was_only_slowed_alerts_when_it_is_parked(
    one_by_one: Runtime, twilio: FakeTwilio, clock: FakeClock, alerts: LogLines, accept: Accept
) -> None:
    accept()
    twilio.behaviours = [refuse(20429, 429), refuse(20003, 401)]
    twilio.account = SUSPENDED
    send_messages(one_by_one)
    clock.advance(timedelta(minutes=1))

    send_messages(one_by_one)

    assert closed(one_by_one) == [("account", True, 20003)]
    assert [event for _, event, _ in alerts.lines] == ["sending_parked"]


def test_throttling_does_not_open_what_is_parked(
    one_by_one: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    twilio.account = SUSPENDED
    one, other = accept(), accept()
    both = claim(one_by_one)
    refusals = {one: refuse(20003, 401), other: refuse(20429, 429, retry_after="1")}

    for message in both:
        record_submissions(one_by_one, [(message, refusals[message.id](message))])
    clock.advance(timedelta(days=1))
    send_messages(one_by_one)

    assert twilio.sent == []
    assert closed(one_by_one) == [("account", True, 20003)]


def test_a_parked_account_recovers_by_itself(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, tasks: FakeTaskQueue, alerts: LogLines, accept: Accept
) -> None:
    message_id = accept()
    twilio.behaviours = [refuse(20003, 401)]
    twilio.probes = [SUSPENDED, SUSPENDED, Submission(cause="account_suspended"), Submission()]
    send_messages(rt)
    tasks.woken.clear()

    opened = []
    while closed(rt):
        clock.advance(timedelta(seconds=15))
        opened.append(probe_breakers(rt))
    send_messages(rt)

    assert sum(opened) == opened[-1] == 1
    assert twilio.probes == []  # the account itself was asked, no message was risked
    assert tasks.woken[0] == (Task.SEND_MESSAGES, 0)
    assert stored(rt, message_id).status == Status.QUEUED
    assert alerts.lines[-1][1] == "sending_resumed"


def test_probes_become_rarer(rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept) -> None:
    accept()
    twilio.behaviours = [refuse(20003, 401)]
    twilio.probes = [SUSPENDED] * 1000
    send_messages(rt)

    times = []
    for second in range(0, 3600, 5):
        before = len(twilio.probes)
        probe_breakers(rt)
        if len(twilio.probes) < before:
            times.append(second)
        clock.advance(timedelta(seconds=5))

    gaps = [later - earlier for earlier, later in zip([0, *times], times, strict=False)]
    assert gaps[0] == 15
    assert gaps == sorted(gaps)
    assert gaps[-1] == 60  # no message is risked, so sending resumes soon after the account is mended


def test_a_faulty_sender_of_ours_is_parked_alone(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, alerts: LogLines, accept: Accept
) -> None:
    ours, other = accept("+14155550100"), accept("+14155550101", sender=OTHER_SENDER)
    twilio.behaviours = [only_from(SENDER, refuse(21601, 400), twilio)] * 2

    send_messages(rt)
    clock.advance(timedelta(hours=1))
    send_messages(rt)

    assert [sent.id for sent in twilio.sent] == [other]
    assert stored(rt, ours).status == Status.PENDING
    assert closed(rt) == [(SENDER, True, 21601)]
    assert alerts.lines[0][2]["scope"] == "sender"


def test_a_parked_sender_is_probed_with_one_message(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    ids = [accept(f"+1415555{number:04}") for number in range(100, 104)]
    twilio.behaviours = [refuse(21601, 400)] * 4
    send_messages(rt)
    clock.advance(timedelta(minutes=1))

    twilio.behaviours = [refuse(21601, 400)]
    still = (probe_breakers(rt), closed(rt))
    tried = [stored(rt, message_id).attempt for message_id in ids]
    clock.advance(timedelta(minutes=1))
    opened = probe_breakers(rt)
    sent_by_probe = len(twilio.sent)
    send_messages(rt)

    assert still == (0, [(SENDER, True, 21601)])
    assert sorted(tried) == [2, 2, 2, 3]
    assert (opened, sent_by_probe) == (1, 1)
    assert {sent.id for sent in twilio.sent} == set(ids)


def test_a_probe_that_is_refused_for_its_own_fault_shows_that_the_sender_works(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    wrong, right = accept("+14155550100"), accept("+14155550101")
    twilio.behaviours = [refuse(21601, 400)] * 2
    send_messages(rt)
    clock.advance(timedelta(minutes=1))
    twilio.behaviours = [refuse(21211, 400)]

    opened = probe_breakers(rt)
    send_messages(rt)

    assert opened == 1
    assert sorted([stored(rt, wrong).status, stored(rt, right).status]) == [Status.FAILED, Status.QUEUED]


def test_a_probe_without_an_answer_shows_nothing(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    accept()
    twilio.behaviours = [refuse(21601, 400), twilio.lose]
    send_messages(rt)
    clock.advance(timedelta(minutes=1))

    assert probe_breakers(rt) == 0
    assert closed(rt) == [(SENDER, True, 21601)]


def test_a_sender_that_nothing_waits_for_is_opened(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    accept(deliver_by=clock() + timedelta(seconds=1))
    twilio.behaviours = [refuse(21601, 400)]
    send_messages(rt)
    clock.advance(timedelta(minutes=1))

    assert probe_breakers(rt) == 1
    assert closed(rt) == []


def test_a_sender_that_the_caller_made_up_fails_at_once(
    rt: Runtime, twilio: FakeTwilio, alerts: LogLines, accept: Accept
) -> None:
    bogus, good = accept("+14155550100", sender="+15559999999"), accept("+14155550101")
    twilio.behaviours = [only_from("+15559999999", refuse(21601, 400), twilio)] * 2

    send_messages(rt)

    assert (stored(rt, bogus).status, stored(rt, bogus).error_code) == (Status.FAILED, 21601)
    assert stored(rt, good).status == Status.QUEUED
    assert (closed(rt), alerts.lines) == ([], [])


def test_an_operator_can_release_a_scope(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    message_id = accept()
    twilio.behaviours = [refuse(20003, 401)]
    twilio.account = SUSPENDED
    send_messages(rt)

    with rt.sessions.begin() as session:
        released = breakers.release(session, "account")
        again = breakers.release(session, "account")
    due_at = stored(rt, message_id).due_at
    assert due_at is not None
    send_messages(replace(rt, clock=lambda: due_at))

    assert (released, again) == (True, False)
    assert stored(rt, message_id).status == Status.QUEUED


def test_workers_that_meet_the_same_fault_at_once_all_write_down_what_happened(
    rt: Runtime, twilio: FakeTwilio, accept: Accept
) -> None:
    """The first of them closes the account; none of the others may lose its answers over that."""
    twilio.account = SUSPENDED
    ids = [accept() for _ in range(8)]
    claimed = claim(rt)
    together = threading.Barrier(len(claimed))

    def record(message: Outbound) -> None:
        together.wait()
        record_submissions(rt, [(message, SUSPENDED)])

    with ThreadPoolExecutor(len(claimed)) as pool:
        for done in [pool.submit(record, message) for message in claimed]:
            done.result()

    assert {stored(rt, message_id).status for message_id in ids} == {Status.PENDING}
    assert {len(events(rt, message_id)) for message_id in ids} == {3}
    with rt.sessions() as session:
        assert [breaker.parked for breaker in breakers.all_of(session)] == [True]


# One message only.


def test_credentials_refused_for_one_message_park_nobody(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, alerts: LogLines, accept: Accept
) -> None:
    odd, others = accept("+14155520003"), [accept(f"+1415555{number:04}") for number in range(100, 105)]
    refused_alone = refuse(20003, 401)
    twilio.behaviours = [
        lambda message: (refused_alone if message.id == odd else twilio.accept)(message) for _ in range(20)
    ]

    send_messages(rt)
    at_once = [sent.id for sent in twilio.sent]
    for _ in range(3):
        clock.advance(timedelta(minutes=1))
        send_messages(rt)

    assert set(at_once) == set(others)
    assert closed(rt) == []
    message = stored(rt, odd)
    assert (message.status, message.error_code, message.attempt) == (Status.FAILED, 20003, 3)
    assert twilio.asked_for_account == 3
    assert {event for _, event, _ in alerts.lines} == {"account_refused_for_one_message"}


def test_a_token_that_is_being_rotated_costs_no_message(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept()
    twilio.behaviours = [refuse(20003, 401), refuse(20003, 401)]

    for _ in range(3):
        send_messages(rt)
        clock.advance(timedelta(minutes=1))

    assert stored(rt, message_id).status == Status.QUEUED


@pytest.mark.parametrize(
    ("code", "status"), [(20003, 401), (None, 401), (20005, 403), (99999, 404), (None, 403)]
)
def test_whatever_refuses_the_account_is_asked_of_the_account(
    rt: Runtime, twilio: FakeTwilio, accept: Accept, code: int | None, status: int
) -> None:
    message_id = accept()
    twilio.behaviours = [refuse(code, status)]

    send_messages(rt)

    assert (closed(rt), stored(rt, message_id).status) == ([], Status.PENDING)


@pytest.mark.parametrize("code", [63038, 30037])
def test_what_an_active_account_may_meet_is_probed_with_one_message(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, code: int
) -> None:
    ids = [accept(f"+1415555{number:04}") for number in range(100, 104)]
    twilio.behaviours = [refuse(code, 400)] * 5
    send_messages(rt)
    parked = closed(rt)
    clock.advance(timedelta(minutes=1))

    still = probe_breakers(rt)
    attempts = sorted(stored(rt, each).attempt for each in ids)
    clock.advance(timedelta(minutes=1))
    opened = probe_breakers(rt)
    send_messages(rt)

    assert parked == [("account", True, code)]
    assert (still, attempts) == (0, [2, 2, 2, 3])
    assert (opened, len(twilio.sent)) == (1, 4)
    assert twilio.asked_for_account == 0


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (SUSPENDED, "Asked for the account itself, Twilio refused, too (http_401, code 20003)."),
        (Submission(cause="account_closed"), "refused, too (account_closed)."),
        (
            Submission(judgement=Judgement.not_sent(), cause="ConnectionRefusedError"),
            "Twilio could not be asked for the account itself (ConnectionRefusedError).",
        ),
        (
            Submission(judgement=judge_refusal(20429, 429), cause="http_429"),
            "Twilio could not be asked for the account itself (http_429).",
        ),
        (
            Submission(cause="unreadable_answer"),
            "could not be asked for the account itself (unreadable_answer).",
        ),
    ],
)
def test_a_parked_account_says_what_twilio_said_of_it(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, answer: Submission, said: str
) -> None:
    accept()
    twilio.behaviours = [refuse(20003, 401)]
    twilio.probes = [answer, answer, Submission()]

    send_messages(rt)
    reasons = [reason(rt)]
    clock.advance(timedelta(seconds=15))
    probe_breakers(rt)
    reasons.append(reason(rt))
    clock.advance(timedelta(minutes=1))

    assert all(each and each.endswith(said) for each in reasons)
    assert reasons[0] == reasons[1]
    assert probe_breakers(rt) == 1


def reason(rt: Runtime) -> str | None:
    with rt.sessions() as session:
        return next((breaker.reason for breaker in breakers.all_of(session)), None)
