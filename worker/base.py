"""The part that all of Celery's processes share; beat and Flower need no more, and import no service."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from celery import Celery
from celery.signals import setup_logging

from celeryconfig import celery_settings
from smsapp import logs
from smsapp.config import ConfigurationError, Settings, configuration_error, load_settings
from smsapp.queue.eviction import forgetful_redis_fault
from worker import broker

FLOWER = {"FLOWER_READ_ONLY": "true"}
FLOWER_UNLESS_SET = {"FLOWER_ADDRESS": "127.0.0.1"}
"""Flower's own variables, read after this module: with a password alone its API could stop workers and run tasks, and
without an address it listens on all of them (https://flower.readthedocs.io/en/latest/config.html)."""


def make_app(*, include: Sequence[str] = ()) -> tuple[Celery, Settings]:
    """Return this process's Celery application and settings; exit with all configuration faults, if there are any.

    `include` names the modules of tasks that a worker runs.
    """
    try:
        settings = load_settings()
        if fault := forgetful_redis_fault(settings):
            raise configuration_error([fault])
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(os.EX_CONFIG)

    def configure_logging(**_: Any) -> None:
        logs.configure(settings)

    os.environ.update(FLOWER)
    for name, value in FLOWER_UNLESS_SET.items():
        os.environ[name] = os.environ.get(name) or value
    setup_logging.connect(configure_logging, weak=False)
    broker.install()
    app = Celery(
        "smsapp",
        set_as_current=True,
        include=list(include),
        amqp=broker.Amqp,
        task_cls="worker.quiet:QuietTask",  # by name: only a worker needs to import it
    )
    app.conf.update(celery_settings(settings))
    return app, settings
