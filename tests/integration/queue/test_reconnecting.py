"""Workers and beat find a Redis that was away within a second or two of its return, however long it was away."""

import pytest
from celery import Celery

from celeryconfig import celery_settings
from dev.ports import free_port
from tests.support.environment import make_settings
from tests.support.stack import HOST
from worker import broker


class EnoughError(Exception):
    """Ends the attempts."""


def test_attempts_to_connect_do_not_become_rarer() -> None:
    waits: list[float] = []

    def note(_error: Exception, wait_s: float) -> None:
        waits.append(wait_s)
        if len(waits) == 3:
            raise EnoughError

    settings = make_settings(redis_url=f"redis://{HOST}:{free_port()}/0")
    with Celery(set_as_current=False, amqp=broker.Amqp) as celery:
        celery.conf.update(celery_settings(settings))
        with pytest.raises(EnoughError):
            celery.connection_for_read().ensure_connection(note, None)

    assert waits == [1, 1, 1]
