"""What nobody was woken for is found: lost wake-ups, dead workers, waiting callbacks; one fault stops only itself."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import CapturingLogger

from smsapp import maintenance as sweep_module
from smsapp.breakers import queries as breakers
from smsapp.callbacks import spool
from smsapp.callbacks.drain_spool import ORPHAN_AGE, drain_spool
from smsapp.callbacks.stream import STREAM, CallbackStream
from smsapp.callbacks.track import wake_for_callbacks
from smsapp.ids import new_id, public_id
from smsapp.maintenance import forget, sweep, wake_for_due
from smsapp.messages.status import Status
from smsapp.queue.tasks import Task
from smsapp.retention.purge import KEEP_IDEMPOTENCY_KEYS, forget_idempotency_keys, forget_orphans
from smsapp.runtime import Runtime
from smsapp.submission.expire_claims import expire_claims
from smsapp.submission.send import send_messages
from smsapp.twilio.callback import Callback
from tests.support.callbacks import POISON, append, callback, letters, raw_callback, receive
from tests.support.fakes import FakeClock, FakeTaskQueue, FakeTwilio, refuse
from tests.support.messages import Accept, claim, events, stored

SID = "SM" + "1" * 32


pytestmark = pytest.mark.usefixtures("nothing_is_lost")


@pytest.fixture
def message_id(rt: Runtime, accept: Accept) -> UUID:
    """A message that Twilio has queued."""
    accepted = accept()
    send_messages(rt)
    return accepted


def keep(rt: Runtime, *callbacks: Callback) -> None:
    """Store callbacks as the web does while Redis is away."""
    with rt.sessions.begin() as session:
        for each in callbacks:
            spool.add(session, each, reason=spool.REDIS_UNAVAILABLE)


def waiting(rt: Runtime) -> dict[str, int]:
    with rt.sessions() as session:
        return spool.count(session)


# Callbacks that wait in the database.


def test_callbacks_that_redis_could_not_take_are_processed(rt: Runtime, message_id: UUID) -> None:
    keep(rt, callback(rt, message_id, "sent"), callback(rt, message_id, "delivered"))

    processed = drain_spool(rt)

    assert processed == 2
    assert stored(rt, message_id).status == Status.DELIVERED
    assert waiting(rt) == {}


def test_a_callback_that_went_both_ways_counts_once(rt: Runtime, message_id: UUID) -> None:
    """Redis took it, but did not say so in time."""
    twice = callback(rt, message_id, "sent")
    keep(rt, twice)
    receive(rt, twice)

    drain_spool(rt)

    assert [event.receipt_id for event in events(rt, message_id)].count(twice.receipt_id) == 1
    assert waiting(rt) == {}


def test_a_poison_callback_in_the_inbox_costs_only_itself(rt: Runtime, message_id: UUID) -> None:
    keep(
        rt,
        callback(rt, message_id, "sent"),
        raw_callback(rt, public_id(message_id), POISON),
        callback(rt, message_id, "delivered"),
    )

    processed = drain_spool(rt)

    assert processed == 3
    assert stored(rt, message_id).status == Status.DELIVERED
    assert [body for body, _ in letters(rt)] == [POISON]
    assert waiting(rt) == {}


def test_an_orphan_waits_until_its_message_is_known(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    message_id = accept()
    send_messages(rt)
    sid = stored(rt, message_id).twilio_sid
    other = urlencode({"MessageSid": SID, "MessageStatus": "sent"})
    known = urlencode({"MessageSid": sid, "MessageStatus": "sent"})
    receive(rt, raw_callback(rt, None, other))
    keep(rt, raw_callback(rt, None, other), raw_callback(rt, None, known))

    first, second = drain_spool(rt), drain_spool(rt)

    assert (first, second) == (2, 0)
    assert waiting(rt) == {spool.UNKNOWN_MESSAGE: 2}
    assert stored(rt, message_id).status == Status.SENT


def test_a_callback_about_a_former_attempt_finds_its_message(
    rt: Runtime, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(resend_after_failure=True)
    send_messages(rt)
    sid = stored(rt, message_id).twilio_sid
    receive(rt, callback(rt, message_id, "failed", ErrorCode="30500"))

    keep(rt, raw_callback(rt, None, urlencode({"MessageSid": sid, "MessageStatus": "delivered"})))
    drain_spool(rt)

    assert stored(rt, message_id).status == Status.DELIVERED


def test_an_orphan_that_is_too_old_is_left_alone(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept()
    twilio.behaviours = [twilio.lose]
    send_messages(rt)
    receive(rt, raw_callback(rt, None, urlencode({"MessageSid": SID, "MessageStatus": "sent"})))
    receive(
        rt, raw_callback(rt, public_id(message_id), urlencode({"MessageSid": SID, "MessageStatus": "queued"}))
    )
    clock.advance(ORPHAN_AGE + timedelta(seconds=1))
    too_late = drain_spool(rt)
    clock.advance(timedelta(seconds=-1))

    in_time = drain_spool(rt)

    assert (too_late, in_time) == (0, 1)
    clock.advance(-ORPHAN_AGE)


@pytest.mark.parametrize("readable", [True, False])
def test_an_orphan_whose_message_never_appears_expires_with_its_numbers(
    rt: Runtime, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, readable: bool
) -> None:
    """One that names no Twilio message can never find ours, and expires like any other."""
    facts = {"MessageStatus": "sent", "To": "+14155557319"} | ({"MessageSid": SID} if readable else {})
    receive(rt, *(raw_callback(rt, public_id(new_id()), urlencode(facts)) for _ in range(3)))
    clock.advance(ORPHAN_AGE)
    receive(rt, raw_callback(rt, None, urlencode({"MessageSid": SID, "MessageStatus": "sent"})))
    sweep(rt)
    forget(rt)
    in_time = waiting(rt)
    clock.advance(timedelta(seconds=1))
    log = CapturingLogger()
    monkeypatch.setattr(sweep_module, "log", log)

    forget(rt)

    assert in_time == {spool.UNKNOWN_MESSAGE: 4}
    assert waiting(rt) == {spool.UNKNOWN_MESSAGE: 1}
    assert [call.kwargs for call in log.calls] == [{"part": "forget_orphans", "count": 3}]


def test_orphans_expire_in_batches_and_what_can_be_processed_never_does(
    rt: Runtime, clock: FakeClock
) -> None:
    orphan = urlencode({"MessageSid": SID, "MessageStatus": "sent"})
    receive(rt, *(raw_callback(rt, None, orphan) for _ in range(5)))
    keep(rt, raw_callback(rt, None, orphan))
    clock.advance(ORPHAN_AGE + timedelta(seconds=1))

    assert [forget_orphans(rt, batch=2) for _ in range(4)] == [2, 2, 1, 0]
    assert waiting(rt) == {spool.REDIS_UNAVAILABLE: 1}


# Work that nobody was woken for.


def test_a_sender_is_woken_when_something_is_due(
    rt: Runtime, tasks: FakeTaskQueue, clock: FakeClock, accept: Accept
) -> None:
    accept()
    tasks.woken.clear()

    woken = wake_for_due(rt)

    assert (woken, tasks.woken) == (1, [(Task.SEND_MESSAGES, 0)])


def test_nobody_is_woken_for_nothing(
    rt: Runtime, tasks: FakeTaskQueue, twilio: FakeTwilio, accept: Accept
) -> None:
    accept()
    twilio.behaviours = [twilio.unreachable]
    send_messages(rt)
    tasks.woken.clear()

    assert (wake_for_due(rt), wake_for_callbacks(rt)) == (0, 0)
    assert tasks.woken == []


def test_a_drain_is_woken_when_callbacks_wait(rt: Runtime, tasks: FakeTaskQueue, message_id: UUID) -> None:
    append(rt, callback(rt, message_id, "sent"))
    tasks.woken.clear()

    woken = wake_for_callbacks(rt)

    assert (woken, tasks.woken) == (1, [(Task.TRACK_CALLBACKS, 0)])
    receive(rt)


def test_claims_are_expired_once(rt: Runtime, clock: FakeClock, accept: Accept) -> None:
    ids = [accept() for _ in range(3)]
    claim(rt)
    clock.advance(rt.settings.send_lease)

    assert (expire_claims(rt), expire_claims(rt)) == (3, 0)
    assert {stored(rt, message_id).status for message_id in ids} == {Status.UNCONFIRMED}


def test_old_answers_to_idempotency_keys_are_forgotten(rt: Runtime, clock: FakeClock) -> None:
    assert forget_idempotency_keys(rt) == 0
    assert timedelta(hours=24) < KEEP_IDEMPOTENCY_KEYS


# The round as a whole.


def test_one_round_finds_everything(
    rt: Runtime, redis_url: str, twilio: FakeTwilio, clock: FakeClock, tasks: FakeTaskQueue, accept: Accept
) -> None:
    delivered, kept = accept(), accept()
    send_messages(rt)
    taken = callback(rt, delivered, "delivered")
    append(rt, taken)
    dead = CallbackStream(Redis.from_url(redis_url, protocol=2), consumer="dead")
    assert dead.read(10)
    keep(rt, callback(rt, kept, "delivered"))
    orphaned = accept()
    claim(rt)
    due = accept()
    twilio.behaviours = [refuse(20003, 401)]
    send_messages(rt)
    clock.advance(timedelta(minutes=5))
    tasks.woken.clear()
    at_once = rt.settings.model_copy(update={"stream_reclaim_after": timedelta()})

    sweep(replace(rt, settings=at_once))

    assert {stored(rt, message_id).status for message_id in (delivered, kept)} == {Status.DELIVERED}
    assert stored(rt, orphaned).status == Status.UNCONFIRMED
    assert stored(rt, due).status == Status.PENDING
    assert (Task.SEND_MESSAGES, 0) in tasks.woken
    with rt.sessions() as session:
        assert breakers.all_of(session) == []


@pytest.mark.parametrize("fault", [RedisConnectionError("away"), ZeroDivisionError("a defect")])
def test_a_part_that_fails_stops_no_other(
    rt: Runtime, tasks: FakeTaskQueue, monkeypatch: pytest.MonkeyPatch, accept: Accept, fault: Exception
) -> None:
    accept()
    tasks.woken.clear()

    def failing(_: Runtime) -> int:
        raise fault

    monkeypatch.setattr(sweep_module, "PARTS", (failing, *sweep_module.PARTS))

    sweep(rt)

    assert (Task.SEND_MESSAGES, 0) in tasks.woken


def test_without_redis_the_round_does_what_the_database_allows(
    rt: Runtime,
    tasks: FakeTaskQueue,
    clock: FakeClock,
    message_id: UUID,
    accept: Accept,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep(rt, callback(rt, message_id, "delivered"))
    lost = accept()
    claim(rt)
    clock.advance(rt.settings.send_lease)

    def away(*_: Any, **__: Any) -> None:
        raise RedisConnectionError("away")

    monkeypatch.setattr(tasks, "keep", away)
    gone = CallbackStream(Redis.from_url("redis://127.0.0.1:1/0"), consumer="test")

    sweep(replace(rt, stream=gone))

    assert stored(rt, message_id).status == Status.DELIVERED
    assert stored(rt, lost).status == Status.UNCONFIRMED


def test_while_another_worker_sweeps_this_one_does_not(
    rt: Runtime, tasks: FakeTaskQueue, accept: Accept
) -> None:
    accept()
    tasks.woken.clear()
    tasks.locked = True

    sweep(rt)

    assert tasks.woken == []


def test_the_stream_is_left_as_it_was_when_nothing_waits(rt: Runtime, redis_url: str) -> None:
    sweep(rt)

    with Redis.from_url(redis_url) as redis:
        assert redis.xlen(STREAM) == 0
