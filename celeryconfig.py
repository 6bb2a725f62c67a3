"""Celery's settings, each with its reason. The queue is a hint: any task may be lost or delivered twice."""

from datetime import timedelta
from typing import Any

from kombu.entity import Queue as CeleryQueue

from smsapp.config import Settings
from smsapp.queue.tasks import ROUTES, QueueName, Task

_JUDGE_EVERY = timedelta(seconds=30)

VISIBILITY_TIMEOUT_S = 120
"""When Redis redelivers a dead worker's task to another worker; longer than any task (drains end after 20 s)."""


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return the worker's and the scheduler's configuration."""
    return {
        **settings.redis.broker_options(),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # after 100 a worker would give up, and nothing would restart it
        # Redis that says no (a replica during a failover, memory full) is waited for like one that is away;
        # by default its answer ends the worker.
        "broker_channel_error_retry": True,
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            # With the defaults a lost task is redelivered up to 100 s after its timeout; with these, within 1 s.
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "max_connections": 64,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
        # A worker serves all of these unless -Q says otherwise.
        "task_queues": [CeleryQueue(str(queue)) for queue in QueueName],
        "task_default_queue": str(QueueName.UPKEEP),
        "task_routes": {str(job): {"queue": str(queue)} for job, queue in ROUTES.items()},
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "timezone": "UTC",
        "beat_schedule": {
            "sweep": _every(Task.SWEEP, settings.sweep_every),
            "forget": _every(Task.FORGET, 12 * settings.sweep_every),
            "reconcile": _every(Task.RECONCILE, settings.sweep_every),
            "check-ledger": _every(Task.CHECK_LEDGER, timedelta(minutes=5)),
            "check-delivery": _every(Task.CHECK_DELIVERY, _JUDGE_EVERY),
        },
    }


def _every(job: Task, span: timedelta) -> dict[str, Any]:
    """Schedule a task; one that no worker takes in time expires, since the next one does the same."""
    return {
        "task": str(job),
        "schedule": span,
        "options": {"expires": span.total_seconds(), "queue": str(ROUTES[job])},
    }
