"""A drain in progress hears at once that there is more, with the real Redis."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from queue import SimpleQueue

import pytest
from redis import Redis

from smsapp.queue.drain import hearing
from smsapp.queue.tasks import CeleryTaskQueue, Task, make_publisher
from smsapp.runtime import Runtime
from smsapp.servers.redis_address import parse_redis_url
from smsapp.submission import send as send_module
from smsapp.submission.outbound import Outbound
from smsapp.submission.send import send_messages
from smsapp.twilio.gateway import Submission
from tests.support.fakes import FakeTwilio
from tests.support.messages import Accept

JOB = Task.SEND_MESSAGES
AT_ONCE = timedelta(milliseconds=20)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as redis:
        yield redis


@pytest.fixture
def tasks(redis: Redis, redis_url: str) -> CeleryTaskQueue:
    return CeleryTaskQueue(redis, make_publisher(parse_redis_url(redis_url)))


def test_the_first_wake_up_publishes_and_the_others_ring_one_bell(tasks: CeleryTaskQueue) -> None:
    published = [tasks.wake(JOB) for _ in range(5)]

    assert published == [True, False, False, False, False]
    assert tasks.hear(JOB, AT_ONCE)
    assert not tasks.hear(JOB, AT_ONCE)


def test_waking_a_helper_rings_nobody(tasks: CeleryTaskQueue) -> None:
    tasks.wake(JOB)

    assert [tasks.wake(JOB, 1) for _ in range(2)] == [True, False]
    assert not tasks.hear(JOB, AT_ONCE)


def test_each_task_has_a_bell_of_its_own(tasks: CeleryTaskQueue) -> None:
    for job in (Task.SEND_OTP, Task.SEND_OTP, Task.SEND_BULK):
        tasks.wake(job)

    assert not tasks.hear(Task.SEND_BULK, AT_ONCE)
    assert tasks.hear(Task.SEND_OTP, AT_ONCE)


def test_a_bell_that_nobody_heard_rings_no_longer_than_the_flag_lasts(
    tasks: CeleryTaskQueue, redis: Redis
) -> None:
    tasks.wake(JOB)
    tasks.wake(JOB)

    (bell,) = redis.keys("smsapp:bell:*")
    assert 0 < redis.pttl(bell) <= 5_000


def test_a_drain_that_has_ended_hands_on_what_it_still_hears(rt: Runtime, tasks: CeleryTaskQueue) -> None:
    heard: SimpleQueue[bool] = SimpleQueue()
    with hearing(replace(rt, tasks=tasks), JOB, lambda: heard.put(True)):
        tasks.wake(JOB)
        tasks.wake(JOB)
        assert heard.get(timeout=10)
    tasks.wake(JOB)  # the thread of the drain that ended may still listen

    assert tasks.hear(JOB, timedelta(seconds=10))
    assert heard.empty()


def test_an_idle_drain_submits_what_comes_without_looking_for_it(
    rt: Runtime,
    tasks: CeleryTaskQueue,
    accept: Accept,
    twilio: FakeTwilio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(send_module, "LOOK_EVERY_S", 3600.0)
    submitted: SimpleQueue[str] = SimpleQueue()

    def take(message: Outbound) -> Submission:
        submitted.put(message.body)
        return twilio.accept(message)

    twilio.behaviours = [take, take]
    worker = replace(rt, tasks=tasks, drain_idle=timedelta(hours=1), stopping=threading.Event())
    tasks.wake(JOB)
    drain = threading.Thread(target=send_messages, args=(worker,))
    drain.start()
    try:
        for text in ("one", "another"):
            accept(body=text)
            tasks.wake(JOB)
            assert submitted.get(timeout=10) == text
    finally:
        worker.stopping.set()
        drain.join(timeout=30)
    assert not drain.is_alive()
