"""Build the runtime of a process with its real ports."""

import os
import socket
from datetime import UTC, datetime

from celery import Celery
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy.orm import Session, sessionmaker

from smsapp.callbacks.stream import CallbackStream
from smsapp.config import Settings
from smsapp.events.outbox import DatabaseOutbox
from smsapp.news.publish import RedisNews
from smsapp.pacing.pacer import RedisPacer
from smsapp.queue.tasks import REDIS_TIMEOUT_S, CeleryTaskQueue
from smsapp.runtime import Runtime
from smsapp.twilio.client import TwilioGateway
from smsapp.webhooks.client import WebhookPoster
from smsapp.webhooks.subscription_queries import anyone_listens

_WORKER_REDIS_TIMEOUT_S = 5.0


def build_runtime(
    settings: Settings, *, sessions: sessionmaker[Session], celery: Celery, patient: bool
) -> Runtime:
    """Return a runtime with real ports. `patient` processes (workers) wait for Redis; the web gives up within 0.5 s."""
    redis = connect_redis(settings, timeout_s=_WORKER_REDIS_TIMEOUT_S if patient else REDIS_TIMEOUT_S)
    return Runtime(
        settings=settings,
        sessions=sessions,
        outbox=DatabaseOutbox(anyone_listens),
        tasks=CeleryTaskQueue(redis, celery),
        stream=CallbackStream(redis, consumer=f"{socket.gethostname()}-{os.getpid()}"),
        gateway=TwilioGateway(settings, clock=lambda: datetime.now(UTC)),
        pacer=RedisPacer(redis),
        webhooks=WebhookPoster(settings),
        news=RedisNews(connect_redis(settings, timeout_s=REDIS_TIMEOUT_S)),
    )


def connect_redis(settings: Settings, *, timeout_s: float) -> Redis:
    """Return a client of the service's Redis that tries each command once, for so many seconds."""
    return Redis(
        **settings.redis.client_options(),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        health_check_interval=0,
    )
