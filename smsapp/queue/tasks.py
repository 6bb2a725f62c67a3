"""The task queue as the rest of the service sees it: task names, and waking a worker without flooding the queue.

The row is the truth and the queue is a hint, so a task carries no work, only the news that there is some. One task
drains whatever is due. While it waits or runs, a flag in Redis keeps other processes from publishing another:
publishing costs half a millisecond or more, setting a flag a twentieth of that. They ring its bell instead, a list in
Redis that holds at most one item and on which an idle drain blocks.
"""

import time
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, Protocol

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError
from redis.lock import Lock

from smsapp.queue.lanes import Lane
from smsapp.servers.redis_address import RedisAddress

log = structlog.get_logger(__name__)

FLAG_TTL_MS = 5_000
"""How long a wake-up counts as in progress without a heartbeat; a lost task is published again after that."""

LOCK_TTL_S = 5.0
"""How long a singleton task keeps its lock without a heartbeat; the lock is renewed three times as often."""

_WAKE = """
if redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then return 1 end
if KEYS[2] and redis.call('LLEN', KEYS[2]) == 0 then
  redis.call('RPUSH', KEYS[2], '1')
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
end
return 0
"""
"""Sets the flag; where it was set already, rings the bell of the task in progress, if it has one."""

REDIS_TIMEOUT_S = 0.5
_PAUSE_AFTER_FAILURE_S = 1.0


class Task(StrEnum):
    """Every task by name; the web process publishes by name and never imports the worker."""

    SEND_OTP = "smsapp.send_otp"
    SEND_MESSAGES = "smsapp.send_messages"
    SEND_BULK = "smsapp.send_bulk"
    TRACK_CALLBACKS = "smsapp.track_callbacks"
    PUSH_EVENTS = "smsapp.push_events"
    SWEEP = "smsapp.sweep"
    FORGET = "smsapp.forget"
    RECONCILE = "smsapp.reconcile"
    CHECK_LEDGER = "smsapp.check_ledger"
    FEED_JOBS = "smsapp.feed_jobs"
    CHECK_DELIVERY = "smsapp.check_delivery"


class QueueName(StrEnum):
    """Celery queues; a worker process may serve one or several."""

    OTP = "otp"
    SEND = "send"
    BULK = "bulk"
    JOBS = "jobs"
    TRACK = "track"
    PUSH = "push"
    UPKEEP = "upkeep"


ROUTES: Mapping[Task, QueueName] = {
    Task.SEND_OTP: QueueName.OTP,
    Task.SEND_MESSAGES: QueueName.SEND,
    Task.SEND_BULK: QueueName.BULK,
    Task.TRACK_CALLBACKS: QueueName.TRACK,
    Task.PUSH_EVENTS: QueueName.PUSH,
    Task.SWEEP: QueueName.UPKEEP,
    Task.RECONCILE: QueueName.UPKEEP,
    Task.CHECK_LEDGER: QueueName.UPKEEP,
    Task.FORGET: QueueName.UPKEEP,
    Task.FEED_JOBS: QueueName.JOBS,
    Task.CHECK_DELIVERY: QueueName.UPKEEP,
}

SENDING: Mapping[Lane, Task] = {
    Lane.OTP: Task.SEND_OTP,
    Lane.NORMAL: Task.SEND_MESSAGES,
    Lane.BULK: Task.SEND_BULK,
}
"""The task that submits the due messages of a lane."""


class TaskLock(Protocol):
    """A lock with an owner, as redis-py has it. `timeout` is how many seconds it lasts without renewal."""

    timeout: float | None

    def acquire(self) -> bool:
        """Take the lock, or return False at once when another owner has it."""

    def reacquire(self) -> bool:
        """Restart the lock's TTL.

        Raises:
            LockError: it is not ours any more.
        """

    def release(self) -> None:
        """Release the lock.

        Raises:
            LockError: it is not ours any more.
        """


class TaskQueue(Protocol):
    """The task queue, as services use it."""

    def wake(self, job: Task, slot: int = 0) -> bool:
        """Publish the task, or ring its bell if it is in progress; return whether it was published.

        Only the drain in slot 0 hears the bell, so waking another slot rings none.

        Never raises: without a broker, the sweep finds the work.
        """

    def hear(self, job: Task, within: timedelta) -> bool:
        """Wait until the bell of a task in progress rings; return whether it did. Each ring is heard once.

        Raises:
            RedisError: the broker is away.
        """

    def publish(self, job: Task, slot: int = 0) -> bool:
        """Publish the task, whose flag is already set; never raises."""

    def keep(self, job: Task, slot: int = 0) -> None:
        """Renew the flag of this slot: its task is still running."""

    def release(self, job: Task, slot: int = 0) -> None:
        """Clear the flag of this slot: its task has ended, and new work needs a new one."""

    def lock(self, job: Task) -> "TaskLock":
        """Return the lock of a task that runs in one worker at a time, not acquired yet."""


class CeleryTaskQueue:
    """The real task queue: flags in Redis, tasks on Celery. Slots let a drain that falls behind wake another one."""

    def __init__(self, redis: Redis, celery: Celery, *, lock_ttl_s: float = LOCK_TTL_S) -> None:
        self._redis = redis
        self._celery = celery
        self._lock_ttl_s = lock_ttl_s
        self._paused_until = 0.0

    def wake(self, job: Task, slot: int = 0) -> bool:
        """Publish the task, or ring its bell if it is in progress; return whether it was published.

        Only the drain in slot 0 hears the bell, so waking another slot rings none.

        Never raises: without a broker, the sweep finds the work.
        """
        if time.monotonic() < self._paused_until:
            return False
        try:
            keys = (flag_of(job, slot),) if slot else (flag_of(job), bell_of(job))
            if not self._redis.eval(_WAKE, len(keys), *keys, FLAG_TTL_MS):
                return False
        except (RedisError, OSError) as error:
            self._pause(job, error)
            return False
        return self.publish(job, slot)

    def publish(self, job: Task, slot: int = 0) -> bool:
        """Publish the task, whose flag is already set; never raises."""
        try:
            self._celery.send_task(str(job), args=[slot], queue=str(ROUTES[job]), ignore_result=True)
        except (RedisError, OperationalError, OSError) as error:
            self._pause(job, error)
            return False
        return True

    def hear(self, job: Task, within: timedelta) -> bool:
        """Wait until the bell of a task in progress rings; return whether it did. Each ring is heard once.

        Raises:
            RedisError: the broker is away.
        """
        return self._redis.blpop([bell_of(job)], timeout=within.total_seconds()) is not None

    def _pause(self, job: Task, error: Exception) -> None:
        """Pause publishing after the broker failed: each attempt may cost half a second."""
        self._paused_until = time.monotonic() + _PAUSE_AFTER_FAILURE_S
        log.warning("wake_up_failed", job=str(job), error=type(error).__name__)

    def lock(self, job: Task) -> TaskLock:
        """Return the lock of a task that runs in one worker at a time, not acquired yet."""
        return Lock(
            self._redis, f"smsapp:lock:{job}", timeout=self._lock_ttl_s, blocking=False, thread_local=False
        )

    def keep(self, job: Task, slot: int = 0) -> None:
        """Renew the flag of this slot: its task is still running."""
        self._redis.set(flag_of(job, slot), b"1", px=FLAG_TTL_MS)

    def release(self, job: Task, slot: int = 0) -> None:
        """Clear the flag of this slot: its task has ended, and new work needs a new one."""
        self._redis.delete(flag_of(job, slot))


def make_publisher(address: RedisAddress) -> Celery:
    """Return a Celery application that only publishes, and gives up within half a second.

    With Celery's defaults a publisher waits for more than 15 seconds on a Redis that does not answer.
    """
    app = Celery("smsapp.publisher", set_as_current=False)
    app.conf.update(address.broker_options() | publisher_options())
    return app


def publisher_options() -> dict[str, Any]:
    """Return the settings that make publishing fail fast."""
    return {
        "task_publish_retry": False,
        "task_ignore_result": True,
        "broker_connection_retry_on_startup": False,
        "broker_transport_options": {
            "socket_timeout": REDIS_TIMEOUT_S,
            "socket_connect_timeout": REDIS_TIMEOUT_S,
            "max_retries": 0,
        },
    }


def flag_of(job: Task, slot: int = 0) -> str:
    """Return the Redis key of the flag that this slot's task is in progress."""
    return f"smsapp:wake:{job}:{slot}"


def bell_of(job: Task) -> str:
    """Return the Redis key of the bell that rings when there is more for a task in progress."""
    return f"smsapp:bell:{job}"
