"""The Celery application of workers, beat and Flower: `celery -A worker.app worker`."""

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_ready, worker_shutting_down

from celeryconfig import celery_settings
from smsapp import logs
from smsapp.config import ConfigurationError, load_settings
from smsapp.connect import build_runtime
from smsapp.db.engine import make_sessions
from smsapp.queue.tune_gc import tune_gc
from smsapp.runtime import Runtime
from worker import broker

DATABASE_CONNECTIONS = 40
"""More than a worker's threads (WORKER_THREADS) plus one per sending drain, so that none waits for a connection."""

try:
    _settings = load_settings()
except ConfigurationError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(os.EX_CONFIG)
broker.install()
app = Celery("smsapp", set_as_current=True, include=["worker.tasks"])
app.conf.update(celery_settings(_settings))

_runtime: list[Runtime] = []


@setup_logging.connect
def _configure_logging(**_: Any) -> None:
    logs.configure(_settings)


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
