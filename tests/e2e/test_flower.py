"""Flower watches the workers, and can do nothing to them."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import psutil
import pytest
import urllib3
from flower import urls

from dev.ports import free_port
from smsapp.queue.tasks import QueueName
from tests.support.on_database import on_sqlite
from tests.support.stack import Stack


@pytest.fixture
def flower(stack: Stack) -> Iterator[str]:
    """The address of a Flower."""
    stack.start("flower")
    yield stack.url("flower")
    stack.stop("flower")


def workers_seen(flower: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what Flower knows of the workers once it knows any."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        answer = urllib3.request("GET", flower + "/api/workers?refresh=1", headers=headers, retries=False)
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


# Whoever can ask Flower for something, with which password ever, may only look.

USER = "operator:a-password-of-flowers"
OPEN_DOORS = {
    "a password": {"FLOWER_BASIC_AUTH": USER, "FLOWER_UNAUTHENTICATED_API": "false"},
    "no password": {"FLOWER_UNAUTHENTICATED_API": "true"},
    "a wish to control": {"FLOWER_UNAUTHENTICATED_API": "true", "FLOWER_READ_ONLY": "false"},
}


def actions() -> list[str]:
    """Return the addresses of Flower's API that do something, all that take a POST."""
    found = [
        pattern for pattern, handler, *_ in map(tuple, filter(is_plain, urls.handlers)) if is_action(handler)
    ]
    return [pattern.replace("(.+)", "smsapp.sweep") for pattern in found]


def is_plain(route: object) -> bool:
    return isinstance(route, tuple) and route[0].startswith("/api/")


def is_action(handler: type) -> bool:
    return "post" in vars(handler)


@on_sqlite
@pytest.mark.parametrize("door", OPEN_DOORS)
@pytest.mark.parametrize("module", ["worker.schedule", "worker.app"])
def test_flower_can_do_nothing_whatever_authentication_is_set(stack: Stack, door: str, module: str) -> None:
    """Started bare, without any option of the Procfile's, as somebody's old unit file would."""
    port = free_port()
    environment = {name: value for name, value in stack.environment.items() if name != "FLOWER_ADDRESS"}
    command = [sys.executable, "-m", "celery", "-A", module, "flower", f"--port={port}"]
    with subprocess.Popen(
        command,
        cwd=stack.folder,
        env=environment | OPEN_DOORS[door],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            headers = urllib3.make_headers(basic_auth=USER)
            wait_until_healthy(url)
            (worker,) = workers_seen(url, headers)
            acts = [
                path.replace("smsapp.sweep", worker) if "/worker/" in path else path for path in actions()
            ]
            answers = {path: post(url + path, headers) for path in acts}
            listening = {
                each.laddr.ip
                for each in psutil.Process(process.pid).net_connections()
                if each.status == "LISTEN"
            }
        finally:
            process.kill()

    assert len(answers) >= 12
    assert {path: status for path, status in answers.items() if status != 403} == {}
    assert listening == {"127.0.0.1"}


@on_sqlite
def test_the_flower_of_the_procfile_can_do_nothing(stack: Stack, flower: str) -> None:
    (worker,) = workers_seen(flower)

    assert post(f"{flower}/api/worker/shutdown/{worker}", {}) == 403
    assert post(f"{flower}/api/task/send-task/smsapp.sweep", {}) == 403


def wait_until_healthy(url: str) -> None:
    """Return once a Flower answers."""
    retries = urllib3.Retry(total=40, backoff_factor=0.1, backoff_max=0.5, status_forcelist=[503])
    assert urllib3.request("GET", url + "/healthcheck", retries=retries).status == 200


def post(url: str, headers: Mapping[str, str]) -> int:
    """Return the status of the answer to a POST of a task's arguments."""
    body = b'{"args": []}'
    return urllib3.request("POST", url, body=body, headers=headers, retries=False).status
