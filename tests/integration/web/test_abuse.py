"""Clients that mean harm, or do not care: none of them keeps the service from answering the others."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from smsapp.fastpath.timely import REQUEST_WITHIN_S
from tests.support.stack import HOST, Stack

UNSIGNED = (
    f"POST /twilio/status HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    "Content-Length: 3\r\n\r\na=b"
).encode()
FORGED = UNSIGNED.replace(b"\r\n\r\n", b"\r\nX-Twilio-Signature: " + b"A" * 27 + b"=\r\n\r\n")
LIVE = f"GET /livez HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
LATE = {
    "a head that drips": (b"POST /twilio/status HTTP/1.1\r\nX: ", b"1", b""),
    "a callback that drips": (FORGED.replace(b"Length: 3", b"Length: 9999"), b"1", b"408"),
    "a callback that stalls": (FORGED[:-1], b"", b"408"),
    "a text that drips": (
        f"POST /sms/send HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9999\r\n\r\n".encode(),
        b"1",
        b"408",
    ),
    "a chunk that drips": (
        f"POST /sms/send HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n9999\r\n".encode(),
        b"1",
        b"401",
    ),
}
"""What begins a request, what is sent five times a second after that, and the status of the answer."""

PROMPTLY_S = 1.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A web process and nothing else."""
    with Stack(tmp_path_factory.mktemp("abuse"), only={"web"}) as stack:
        yield stack


def connect(stack: Stack) -> socket.socket:
    return socket.create_connection((HOST, stack.ports["web"]), timeout=30)


def read_to_the_end(connection: socket.socket) -> bytes:
    answers = b""
    with suppress(ConnectionResetError):
        while more := connection.recv(65_536):
            answers += more
    return answers


@contextmanager
def pipelining(stack: Stack, request: bytes) -> Iterator[list[int]]:
    """Send requests without a pause, read the answers meanwhile, and connect again when the connection ends."""
    over, answered = threading.Event(), [0]

    def send(connection: socket.socket) -> None:
        with suppress(OSError):
            while not over.is_set():
                connection.sendall(request * 1000)

    def attack() -> None:
        while not over.is_set():
            with connect(stack) as connection:
                sender = threading.Thread(target=send, args=[connection])
                sender.start()
                with suppress(OSError):
                    while not over.is_set() and (more := connection.recv(1 << 20)):
                        answered[0] += more.count(b"HTTP/1.1 ")
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                sender.join(10)

    attacker = threading.Thread(target=attack)
    attacker.start()
    try:
        yield answered
    finally:
        over.set()
        attacker.join(10)


@pytest.mark.parametrize("request_", [UNSIGNED, FORGED, LIVE], ids=["unsigned", "forged", "livez"])
def test_a_client_that_pipelines_without_end_leaves_the_others_their_turn(
    stack: Stack, request_: bytes
) -> None:
    with pipelining(stack, request_) as answered:
        slowest_s = 0.0
        until = time.monotonic() + 3
        while time.monotonic() < until:
            began = time.monotonic()
            assert stack.request("GET", "/livez").status == 200
            slowest_s = max(slowest_s, time.monotonic() - began)

    assert answered[0] > 100
    assert slowest_s < PROMPTLY_S


@pytest.mark.parametrize("request_", [UNSIGNED, FORGED], ids=["unsigned", "forged"])
def test_a_connection_of_refused_callbacks_is_closed(stack: Stack, request_: bytes) -> None:
    with connect(stack) as connection:
        connection.sendall(request_ * 100)
        answers = read_to_the_end(connection)

    assert answers.count(b"HTTP/1.1 403 ") == 20
    assert answers.count(b"Connection: close") == 1


def test_a_request_that_drips_is_given_up(stack: Stack) -> None:
    def keep_waiting(begin: bytes, more: bytes, _status: bytes) -> tuple[float, bytes]:
        began, answer = time.monotonic(), b""
        with connect(stack) as connection:
            connection.sendall(begin)
            connection.settimeout(0.2)
            while time.monotonic() - began < 3 * REQUEST_WITHIN_S:
                with suppress(TimeoutError):
                    received = connection.recv(65_536)
                    answer += received
                    if not received:
                        break
                with suppress(OSError):
                    connection.sendall(more)
        return time.monotonic() - began, answer

    with ThreadPoolExecutor(len(LATE)) as pool:
        seen = dict(zip(LATE, pool.map(lambda each: keep_waiting(*each), LATE.values()), strict=True))

    assert max(took_s for took_s, _ in seen.values()) < 1.5 * REQUEST_WITHIN_S, seen
    assert {name: answer[9:12] for name, (_, answer) in seen.items()} == {
        name: status for name, (*_, status) in LATE.items()
    }
    assert "Traceback" not in "".join(stack.logs().values())


def test_an_address_has_a_quarter_of_the_connections(tmp_path: Path) -> None:
    few = {"GUNICORN_CMD_ARGS": "--worker-connections 16 --forwarded-allow-ips 192.0.2.1"}
    with Stack(tmp_path, only={"web"}, environment=few) as stack:
        # The stack's own client may keep one open.
        connections = [connect(stack) for _ in range(8)]
        answered = 0
        for connection in connections:
            with suppress(OSError):
                connection.sendall(LIVE)
                answered += connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        for connection in connections:
            connection.close()

        assert answered in {3, 4}
        assert stack.request("GET", "/livez").status == 200
