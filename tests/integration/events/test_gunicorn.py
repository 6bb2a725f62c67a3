"""Waiting for events under the real server: a deploy ends streams at once, and a reader goes on where it was."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import urllib3

from smsapp.events.types import EventType
from smsapp.ids import new_id
from smsapp.ports import PendingEvent
from tests.support.stack import Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A web process and nothing else."""
    with Stack(tmp_path_factory.mktemp("events"), only={"web"}) as stack:
        yield stack


def tell(stack: Stack, count: int) -> None:
    with stack.transaction() as tx:
        tx.emit_all(
            [PendingEvent(EventType.JOB_COMPLETED, new_id(), datetime.now(UTC)) for _ in range(count)],
        )


def open_stream(stack: Stack, **headers: str) -> urllib3.BaseHTTPResponse:
    given = {"Authorization": f"Bearer {stack.api_key}", "Accept": "text/event-stream"}
    return urllib3.request(
        "GET",
        stack.url() + "/sms/events",
        headers=given | headers,
        preload_content=False,
        timeout=20,
        retries=False,
    )


def ids(text: bytes) -> list[int]:
    """Return the numbers of the events in a piece of a stream."""
    return [int(frame.split(b"\n")[0][4:]) for frame in text.split(b"\n\n") if b"\ndata: " in frame]


def test_many_wait_while_others_are_served_and_a_deploy_ends_their_streams_at_once(stack: Stack) -> None:
    tell(stack, 2)
    streams = [open_stream(stack) for _ in range(100)]
    beginnings = [answer.read1() for answer in streams]
    began = time.monotonic()

    others = [stack.request("GET", "/sms/events?limit=1").status for _ in range(20)]
    refused = stack.request("GET", "/sms/events?after=2&wait=1")
    served_s = time.monotonic() - began
    stack.stop("web")
    stopped_s = time.monotonic() - began - served_s
    # A stream that was cut off would raise here: its last chunk would be missing.
    endings = [answer.read() for answer in streams]

    assert (others, refused.status, refused.json()["code"]) == ([200] * 20, 503, "overloaded")
    assert served_s < 5
    assert stopped_s < 8  # gunicorn's graceful timeout is 25
    assert "graceful timeout" not in stack.process("web").log.read_text()
    assert all(beginning.startswith(b"retry: ") for beginning in beginnings)
    assert [ids(a + b) for a, b in zip(beginnings, endings, strict=True)] == [[1, 2]] * 100

    stack.start("web")
    tell(stack, 1)
    again = open_stream(stack, **{"Last-Event-ID": "2"})
    text = b""
    while not ids(text):
        text += again.read1()
    again.close()
    assert ids(text) == [3]
