"""Tasks that run in one worker at a time, with the real lock: two workers, one Redis."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from redis import Redis

from smsapp.queue.drain import singleton_lock
from smsapp.queue.tasks import CeleryTaskQueue, Task, make_publisher
from smsapp.runtime import Runtime

TTL_S = 0.3


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as redis:
        yield redis


@pytest.fixture
def workers(rt: Runtime, redis: Redis) -> tuple[Runtime, Runtime]:
    """Two workers that share Redis."""
    one, other = (
        replace(rt, tasks=CeleryTaskQueue(redis, make_publisher(rt.settings.redis), lock_ttl_s=TTL_S))
        for _ in range(2)
    )
    return one, other


def test_a_slow_step_lets_no_second_worker_begin(workers: tuple[Runtime, Runtime]) -> None:
    one, other = workers
    began_meanwhile = []
    with singleton_lock(one, Task.RECONCILE) as may_run:
        deadline = time.monotonic() + 4 * TTL_S  # one batch that takes longer than the lock lives unrenewed
        while time.monotonic() < deadline:
            with singleton_lock(other, Task.RECONCILE) as second:
                began_meanwhile.append(second)
    with singleton_lock(other, Task.RECONCILE) as afterwards:
        pass

    assert may_run
    assert not any(began_meanwhile)
    assert afterwards


def test_a_worker_that_died_holds_the_others_up_for_no_longer_than_its_lock_lives(
    workers: tuple[Runtime, Runtime],
) -> None:
    one, other = workers
    assert one.tasks.lock(Task.SWEEP).acquire()  # and then the process is gone: nobody renews or releases it

    began = False
    deadline = time.monotonic() + 10 * TTL_S
    while not began and time.monotonic() < deadline:
        with singleton_lock(other, Task.SWEEP) as began:
            pass

    assert began


def test_a_worker_whose_lock_was_lost_does_not_release_that_of_another(
    workers: tuple[Runtime, Runtime], redis: Redis
) -> None:
    one, other = workers
    with singleton_lock(one, Task.SWEEP) as first:
        redis.delete("smsapp:lock:smsapp.sweep")  # a flush, or an expiry while the process was frozen
        theirs = other.tasks.lock(Task.SWEEP)
        assert theirs.acquire()

    with singleton_lock(one, Task.SWEEP) as second:
        pass
    theirs.release()

    assert first
    assert not second
