"""What a service needs of the world, as one value passed first to every function: no globals, no container."""

import os
import random
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from celery import Celery
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy.orm import Session, sessionmaker

from smsapp.callbacks.stream import CallbackStream
from smsapp.config import Settings
from smsapp.pacing.pacer import Pacer, RedisPacer
from smsapp.queue.tasks import REDIS_TIMEOUT_S, CeleryJobs, Job, Jobs
from smsapp.suppressions.queries import AnySuppression
from smsapp.twilio.client import Gateway, TwilioGateway
from smsapp.webhooks.client import WebhookPoster, Webhooks
from smsapp.webhooks.wake import PushWake

_WORKER_REDIS_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Runtime:
    """Ports of one process. `stopping` is set when it was asked to end: loops then finish what they hold."""

    settings: Settings
    sessions: sessionmaker[Session]
    jobs: Jobs
    stream: CallbackStream
    gateway: Gateway
    pacer: Pacer
    webhooks: Webhooks
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    rng: Callable[[], float] = random.random
    stopping: threading.Event = field(default_factory=threading.Event)
    any_suppression: AnySuppression = field(default_factory=AnySuppression)


def build_runtime(
    settings: Settings, *, sessions: sessionmaker[Session], celery: Celery, patient: bool
) -> Runtime:
    """Connect the real ports. `patient` processes (workers) wait for Redis; the web gives up within half a second."""
    timeout_s = _WORKER_REDIS_TIMEOUT_S if patient else REDIS_TIMEOUT_S
    redis = Redis.from_url(
        settings.redis_url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        health_check_interval=0,
    )
    jobs = CeleryJobs(redis, celery)
    PushWake(sessions, lambda: jobs.wake(Job.PUSH_EVENTS))
    return Runtime(
        settings=settings,
        sessions=sessions,
        jobs=jobs,
        stream=CallbackStream(redis, consumer=f"{socket.gethostname()}-{os.getpid()}"),
        gateway=TwilioGateway(settings, clock=lambda: datetime.now(UTC)),
        pacer=RedisPacer(redis),
        webhooks=WebhookPoster(settings),
    )
