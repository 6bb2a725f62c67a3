"""The Celery application of workers: `celery -A worker.app worker`."""

from typing import Any

from celery.signals import worker_ready, worker_shutting_down

from smsapp.connect import build_runtime
from smsapp.db.engine import make_sessions
from smsapp.queue.tune_gc import tune_gc
from smsapp.runtime import Runtime
from worker.base import make_app

DATABASE_CONNECTIONS = 40
"""More than a worker's threads (WORKER_THREADS) plus one per drain that sends or pushes: no one waits."""

app, _settings = make_app(include=["worker.tasks"])

_runtime: list[Runtime] = []


@worker_ready.connect
def _tune_gc(**_: Any) -> None:
    tune_gc()


@worker_shutting_down.connect
def _stop_drains(**_: Any) -> None:
    """Let drains finish the work they hold and leave the rest to other workers."""
    for rt in _runtime:
        rt.stopping.set()


def runtime() -> Runtime:
    """Return this process's runtime; the first call builds it."""
    if not _runtime:
        sessions = make_sessions(_settings.database_url, pool_size=DATABASE_CONNECTIONS)
        _runtime.append(build_runtime(_settings, sessions=sessions, celery=app, patient=True))
    return _runtime[0]
