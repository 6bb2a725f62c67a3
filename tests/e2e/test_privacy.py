"""Ids connect the logs; texts and numbers appear nowhere but in the database and in the callback stream."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from uuid import uuid4

from redis import Redis

from smsapp.callbacks.stream import STREAM
from tests.support.private_traces import opened, stored_in_redis
from tests.support.stack import Stack


@contextmanager
def overheard(stack: Stack) -> Iterator[list[str]]:
    """Collect every command that Redis is given, as its MONITOR prints them."""
    commands: list[str] = []
    end = f"end-{uuid4().hex}"
    with socket.create_connection(("127.0.0.1", stack.redis.port), timeout=30) as connection:
        connection.sendall(b"MONITOR\r\n")
        lines = connection.makefile("r", encoding="ascii")
        assert lines.readline() == "+OK\n"
        yield commands
        with Redis.from_url(stack.redis.url) as redis:
            redis.echo(end)
        commands += takewhile(lambda line: end not in line, lines)


def test_a_text_and_its_number_are_nowhere_but_where_they_belong(stack: Stack) -> None:
    body = f"canary {uuid4().hex}"
    local = f"55528{uuid4().int % 10_000:04d}7"

    with overheard(stack) as commands:
        sent = stack.post(f"+1{local}", body)
        stack.message(sent["id"], wait_s=20)
        refused = stack.post(f"+1{local[:5]}21211", body)  # the way of an error, too
        stack.message(refused["id"], wait_s=20)
        stack.simulator.wait_until_idle()
        held = stored_in_redis(stack)

    canaries = (body, local)
    assert any(local in command for command in commands if STREAM in command)  # we did listen
    outside = [opened(command) for command in commands if f'"{STREAM}"' not in command]
    assert [command for command in outside if any(canary in command for canary in canaries)] == []
    assert [key for key, value in held.items() if any(canary in opened(value) for canary in canaries)] == []
    assert [
        name for name, text in stack.logs().items() if any(canary in opened(text) for canary in canaries)
    ] == []


def test_a_request_id_leads_from_the_web_log_to_the_workers(stack: Stack) -> None:
    request_id = f"e2e-{uuid4().hex}"

    answer = stack.request(
        "POST",
        "/sms/send",
        {"to": "+14155552671", "body": "a request id"},
        headers={"X-Request-Id": request_id},
    )
    stack.message(answer.json()["id"], wait_s=20)

    assert answer.headers["X-Request-Id"] == request_id
    seen_in = {name.partition(".")[0] for name, text in stack.logs().items() if request_id in text}
    assert {"web", "worker-1"} <= seen_in
