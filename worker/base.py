"""The part that all of Celery's processes share; beat and Flower need no more, and import no service."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from celery import Celery
from celery.signals import setup_logging

from celeryconfig import celery_settings
from smsapp import logs
from smsapp.config import ConfigurationError, Settings, load_settings
from worker import broker


def make_app(*, include: Sequence[str] = ()) -> tuple[Celery, Settings]:
    """Return this process's Celery application and settings; exit with all configuration faults, if there are any.

    `include` names the modules of tasks that a worker runs.
    """
    try:
        settings = load_settings()
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(os.EX_CONFIG)

    def configure_logging(**_: Any) -> None:
        logs.configure(settings)

    setup_logging.connect(configure_logging, weak=False)
    broker.install()
    app = Celery("smsapp", set_as_current=True, include=list(include), amqp=broker.Amqp)
    app.conf.update(celery_settings(settings))
    return app, settings
