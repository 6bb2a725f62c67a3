"""One drain per slot at a time over all processes, without losing a wake-up between its last look and its end."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Protocol, TypeVar

from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError

from smsapp.queue.tasks import FLAG_TTL_MS, LOCK_TTL_S, Task, TaskLock, TaskQueue

MAX_SHIFT = timedelta(seconds=20)
"""A drain ends after this long and publishes its successor, so that a worker can be stopped between the two."""

T = TypeVar("T")

DATABASE_AWAY = (OperationalError, InterfaceError)
_HELPER_IDLE = timedelta(milliseconds=200)
_HEAR_FOR = timedelta(seconds=1)
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


class Process(Protocol):
    """The part of the runtime that a drain needs."""

    @property
    def tasks(self) -> TaskQueue:
        """The task queue."""

    @property
    def stopping(self) -> threading.Event:
        """Set when the process was asked to stop."""


def idle_of(slot: int, idle: timedelta) -> timedelta:
    """Return how long the drain of a slot waits for more: one that another has called to its help not for long."""
    return min(idle, _HELPER_IDLE) if slot else idle


@contextmanager
def drain_slot(rt: Process, job: Task, slot: int) -> Iterator[Callable[[], bool]]:
    """Hold the slot's flag while the body runs; yield a function that returns whether to go on.

    When the shift ends before the work does, the job is published once more. The caller must take one last look after
    the flag is cleared: work that arrived earlier found the flag set and woke no worker.
    """
    began = kept = time.monotonic()
    expired = False

    def keep_going() -> bool:
        nonlocal kept, expired
        now = time.monotonic()
        if now - kept > FLAG_TTL_MS / 4000:
            kept = now
            with suppress(RedisError):
                rt.tasks.keep(job, slot)
        expired = now - began > MAX_SHIFT.total_seconds()
        return not (rt.stopping.is_set() or expired)

    try:
        yield keep_going
    finally:
        with suppress(RedisError):
            rt.tasks.release(job, slot)
        if expired or rt.stopping.is_set():
            rt.tasks.wake(job, slot)


@contextmanager
def hearing(rt: Process, job: Task, ring: Callable[[], object]) -> Iterator[None]:
    """Call `ring` in a thread of its own whenever the task is woken while the body runs."""
    ended = threading.Event()
    threading.Thread(target=_hear, args=(rt, job, ring, ended), name=f"bell-{job}", daemon=True).start()
    try:
        yield
    finally:
        ended.set()  # not joined: the thread may still block for a second


def _hear(rt: Process, job: Task, ring: Callable[[], object], ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            rings = rt.tasks.hear(job, _HEAR_FOR)
        except (RedisError, OSError):  # nobody can ring now either; drains look again now and then
            ended.wait(_HEAR_FOR.total_seconds())
            continue
        if rings and ended.is_set():
            rt.tasks.wake(job)  # this was meant for the next drain
        elif rings:
            ring()


@contextmanager
def singleton_lock(rt: Process, job: Task) -> Iterator[bool]:
    """Yield whether this task may run: it runs in one worker at a time, however often beat publishes it.

    The lock is renewed while the body runs, however long one step of it takes; a worker that dies holds it for
    LOCK_TTL_S.
    """
    lock = rt.tasks.lock(job)
    if not lock.acquire():
        yield False
        return
    ended = threading.Event()
    renewal = threading.Thread(target=_renew, args=(lock, ended), name=f"lock-{job}", daemon=True)
    renewal.start()
    try:
        yield True
    finally:
        ended.set()
        renewal.join()
        with suppress(RedisError):
            lock.release()


def _renew(lock: TaskLock, ended: threading.Event) -> None:
    while not ended.wait((lock.timeout or LOCK_TTL_S) / 3):
        with suppress(RedisError):  # while Redis is down, no other worker can take the lock either
            lock.reacquire()


def retry_while_db_down(
    rt: Process,
    work: Callable[[], T],
    *,
    patience: timedelta = MAX_SHIFT,
    after_stop: timedelta = timedelta(),
) -> T:
    """Run the work, and retry with backoff while the database is down.

    `after_stop` is how long to go on after the process was asked to stop, for work that would be lost with the process.

    Raises:
        OperationalError: the database was still down when the patience ran out; the work is left for another worker.
    """
    deadline = time.monotonic() + patience.total_seconds()
    pause_s = _FIRST_PAUSE_S
    stopped = False
    while True:
        try:
            return work()
        except DATABASE_AWAY:
            if rt.stopping.is_set() and not stopped:
                stopped = True
                deadline = min(deadline, time.monotonic() + after_stop.total_seconds())
            if time.monotonic() + pause_s > deadline:
                raise
            if stopped:
                time.sleep(pause_s)
            else:
                rt.stopping.wait(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
