"""Flower watches the workers."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from smsapp.queue.tasks import QueueName
from tests.support.on_database import on_sqlite
from tests.support.stack import Stack


@pytest.fixture
def flower(stack: Stack) -> Iterator[str]:
    """The address of a Flower."""
    stack.start("flower")
    yield stack.url("flower")
    stack.stop("flower")


def workers_seen(flower: str) -> dict[str, Any]:
    """Return what Flower knows of the workers once it knows any."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        answer = urllib3.request("GET", flower + "/api/workers?refresh=1", retries=False)
        assert answer.status == 200, answer.data
        workers: dict[str, Any] = answer.json()
        if workers:
            return workers
        time.sleep(0.2)
    return {}


@on_sqlite
def test_flower_sees_the_worker_and_its_queues(stack: Stack, flower: str) -> None:
    seen = workers_seen(flower)

    assert [name.partition("@")[0] for name in seen] == stack.workers
    (worker,) = seen.values()
    assert {queue["name"] for queue in worker["active_queues"]} == {str(queue) for queue in QueueName}
