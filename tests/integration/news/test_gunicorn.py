"""A thousand requests wait under the real server: it serves others, forgets who hangs up, and answers all at a stop."""

import json
import re
import selectors
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Self

import pytest

from tests.support.stack import Stack

WAITING = 1000
STOPPED = 200


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A web process and nothing else."""
    with Stack(tmp_path_factory.mktemp("waiting"), only={"web"}) as stack:
        yield stack


class OpenWaits:
    """Connections that each wait for the outcome of the same message."""

    def __init__(self, stack: Stack, message_id: str, count: int) -> None:
        request = (
            f"GET /sms/messages/{message_id}?wait=20 HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {stack.api_key}\r\n\r\n"
        ).encode()
        self._selector = selectors.DefaultSelector()
        self.sockets = []
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", stack.ports["web"]), timeout=30)
            client.sendall(request)
            self.sockets.append(client)
            self._selector.register(client, selectors.EVENT_READ)

    def answers(self, count: int, *, within_s: float) -> list[str | None]:
        """Return the outcomes in so many answers."""
        deadline, found = time.monotonic() + within_s, []
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} answers"
            for key, _ in self._selector.select(0.1):
                client: socket.socket = key.fileobj  # type: ignore[assignment]
                answer = HTTPResponse(client)
                answer.begin()
                assert answer.status == 200
                found.append(json.loads(answer.read())["outcome"])
                self._selector.unregister(client)
        return found

    def hang_up(self, count: int) -> None:
        """Close some of the connections."""
        for client in self.sockets[:count]:
            self._selector.unregister(client)
            client.close()
        del self.sockets[:count]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for client in self.sockets:
            client.close()


def open_waits(stack: Stack) -> int:
    text = stack.request("GET", "/metrics").data.decode()
    found = re.search(r'smsapp_open_waits\{kind="outcomes"\} (\d+)', text)
    return int(found[1]) if found else 0


def test_a_thousand_wait_while_others_are_served_and_whoever_hangs_up_is_forgotten(stack: Stack) -> None:
    waited_for, another = (stack.post("+14155552671", text)["id"] for text in ("one", "two"))
    with OpenWaits(stack, waited_for, WAITING) as waiting:
        stack.wait_until(lambda: open_waits(stack) == WAITING)

        began = time.monotonic()
        others = [stack.request("GET", f"/sms/messages/{another}").status for _ in range(20)]
        assert others == [200] * 20
        assert time.monotonic() - began < 5

        waiting.hang_up(WAITING // 2)
        stack.wait_until(lambda: open_waits(stack) == WAITING // 2, 5)

        stack.request("POST", f"/sms/messages/{another}/cancel")  # concerns nobody
        stack.request("POST", f"/sms/messages/{waited_for}/cancel")
        assert waiting.answers(WAITING // 2, within_s=18) == ["canceled"] * (WAITING // 2)
        stack.wait_until(lambda: open_waits(stack) == 0, 5)


def test_a_client_that_sends_its_next_request_early_is_not_taken_for_one_that_hung_up(stack: Stack) -> None:
    message_id = stack.post("+14155552671", "three")["id"]
    with OpenWaits(stack, message_id, 1) as waiting:
        stack.wait_until(lambda: open_waits(stack) == 1)

        waiting.sockets[0].sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.3)
        assert open_waits(stack) == 1

        stack.request("POST", f"/sms/messages/{message_id}/cancel")
        assert waiting.answers(1, within_s=10) == ["canceled"]


def test_a_deploy_answers_all_who_wait_at_once(stack: Stack) -> None:
    with OpenWaits(stack, stack.post("+14155552671", "four")["id"], STOPPED) as waiting:
        stack.wait_until(lambda: open_waits(stack) == STOPPED)

        began = time.monotonic()
        stack.process("web").ask_to_stop()
        assert waiting.answers(STOPPED, within_s=10) == [None] * STOPPED
        stack.stop("web")

        assert time.monotonic() - began < 12  # gunicorn's graceful timeout is 25
        assert "graceful timeout" not in stack.process("web").log.read_text()
        stack.start("web")
