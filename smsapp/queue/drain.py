"""One drain per slot at a time, over all processes, and never a wake-up lost between its last look and its end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TypeVar

from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError

from smsapp.queue.tasks import FLAG_TTL_MS, Job
from smsapp.runtime import Runtime

MAX_SHIFT = timedelta(seconds=20)
"""A drain ends after this long and publishes its own successor, so that a worker can be stopped between two."""

T = TypeVar("T")

DATABASE_AWAY = (OperationalError, InterfaceError)
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


@contextmanager
def draining(rt: Runtime, job: Job, slot: int) -> Iterator[Callable[[], bool]]:
    """Hold the slot's flag while the body runs; the value tells whether to go on.

    When the shift ends before the work does, the job is published once more. The caller takes one last look after the
    flag fell: what came before that met a raised flag and woke nobody.
    """
    began = kept = time.monotonic()
    expired = False

    def again() -> bool:
        nonlocal kept, expired
        now = time.monotonic()
        if now - kept > FLAG_TTL_MS / 4000:
            kept = now
            with suppress(RedisError):
                rt.jobs.keep(job, slot)
        expired = now - began > MAX_SHIFT.total_seconds()
        return not (rt.stopping.is_set() or expired)

    try:
        yield again
    finally:
        with suppress(RedisError):
            rt.jobs.release(job, slot)
        if expired or rt.stopping.is_set():
            rt.jobs.wake(job, slot)


@contextmanager
def alone(rt: Runtime, job: Job) -> Iterator[bool]:
    """Tell whether this job may run: it does in one worker at a time, however often the beat publishes it."""
    began = rt.jobs.begin(job)
    try:
        yield began
    finally:
        if began:
            with suppress(RedisError):
                rt.jobs.release(job)


def still_alone(rt: Runtime, job: Job) -> None:
    """Say that this job is still at work; while Redis is away, nobody else can begin it either."""
    with suppress(RedisError):
        rt.jobs.keep(job)


def outlast(rt: Runtime, work: Callable[[], T], *, patience: timedelta = MAX_SHIFT) -> T:
    """Run the work, again and again while the database is away.

    Raises:
        OperationalError: it still was when patience or the process ended; the work is left for another worker.
    """
    deadline = time.monotonic() + patience.total_seconds()
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return work()
        except DATABASE_AWAY:
            if time.monotonic() + pause_s > deadline or rt.stopping.wait(pause_s):
                raise
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
