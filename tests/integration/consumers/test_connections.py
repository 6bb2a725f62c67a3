"""Connections that are kept, against consumers that close them whenever they like."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from http.client import HTTPException
from typing import Any

import pytest

from smsapp.consumers.connections import Connections, Origin
from smsapp.consumers.guard import ForbiddenAddressError, Guard, end_at
from smsapp.webhooks.client import WebhookPoster
from tests.support import consumer as behaviours
from tests.support.consumer import Behaviour, Consumer, accept
from tests.support.environment import make_settings

HERE = ("127.0.0.1/32",)
Handler = Any


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    """A well-behaved consumer, until it is told otherwise."""
    with Consumer(accept) as consumer:
        yield consumer


@pytest.fixture
def poster() -> WebhookPoster:
    """A poster that may ask this machine."""
    settings = make_settings(
        push_timeout=timedelta(seconds=1), push_allow_http=True, push_allowed_networks=HERE
    )
    return WebhookPoster(settings)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Return a behaviour that answers each request in the next of these ways."""
    left = iter(behaviours)

    def behave(handler: Handler) -> None:
        next(left)(handler)

    return behave


def hang_up(handler: Handler) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True


def accept_and_hang_up(handler: Handler) -> None:
    """Close the connection after the answer, without having said so."""
    accept(handler)
    handler.close_connection = True


def reset(handler: Handler) -> None:
    """Close the connection by a RST."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.shutdown(socket.SHUT_RD)
    handler.connection.close()
    handler.close_connection = True


def accept_and_reset_the_next(handler: Handler) -> None:
    """Acknowledge, and reset the connection as soon as another request comes over it, which stays unread."""
    accept(handler)
    handler.wfile.flush()
    with suppress(OSError):
        handler.connection.recv(1, socket.MSG_PEEK)
    reset(handler)


def begin_and_reset(handler: Handler) -> None:
    """Reset the connection within the answer."""
    handler.wfile.write(b"HTTP/1.1 2")
    handler.wfile.flush()
    time.sleep(0.05)
    reset(handler)


def told(consumer: Consumer) -> list[bytes]:
    """Return the bodies that were read, repetitions included."""
    return [seen.body for seen in consumer.seen]


def test_a_consumer_that_hangs_up_after_each_answer_costs_no_attempt(
    consumer: Consumer, poster: WebhookPoster
) -> None:
    consumer.behave = accept_and_hang_up

    replies = [poster.post(consumer.url, b"%d" % number, {}) for number in range(20)]

    assert all(reply.delivered for reply in replies)
    assert sorted(told(consumer)) == sorted(b"%d" % number for number in range(20))


def test_a_request_that_a_closing_connection_never_read_is_made_again_at_once(
    consumer: Consumer, poster: WebhookPoster
) -> None:
    consumer.behave = in_turn(accept_and_reset_the_next, accept)

    replies = [poster.post(consumer.url, body, {}) for body in (b"1", b"2")]

    assert [(reply.status, reply.error) for reply in replies] == [(204, None)] * 2
    assert told(consumer) == [b"1", b"2"]


def test_an_unanswered_request_on_a_kept_connection_is_made_once_more_and_not_more_often(
    consumer: Consumer, poster: WebhookPoster
) -> None:
    consumer.behave = in_turn(accept, hang_up, hang_up, accept)

    replies = [poster.post(consumer.url, body, {}) for body in (b"1", b"2", b"3")]

    assert [reply.error for reply in replies] == [None, "connection_broken", None]
    assert told(consumer) == [b"1", b"2", b"2", b"3"]


def test_a_new_connection_that_ends_without_an_answer_is_a_failed_attempt(
    consumer: Consumer, poster: WebhookPoster
) -> None:
    consumer.behave = hang_up

    reply = poster.post(consumer.url, b"1", {})

    assert (reply.status, reply.error) == (None, "connection_broken")
    assert told(consumer) == [b"1"]


@pytest.mark.parametrize(
    ("behave", "error"),
    [
        (begin_and_reset, "connection_broken"),
        (behaviours.hang, "timeout"),
        (behaviours.babble, "unreadable_answer"),
    ],
    ids=["resets within its answer", "hangs", "babbles"],
)
def test_what_may_have_been_read_counts_as_an_attempt_on_a_kept_connection(
    consumer: Consumer, poster: WebhookPoster, behave: Behaviour, error: str
) -> None:
    consumer.behave = in_turn(accept, behave, accept)

    replies = [poster.post(consumer.url, body, {}) for body in (b"1", b"2", b"3")]

    assert [reply.error for reply in replies] == [None, error, None]
    assert told(consumer) == [b"1", b"2", b"3"]


def test_an_answer_that_closes_the_connection_is_followed_by_a_new_one(
    consumer: Consumer, poster: WebhookPoster
) -> None:
    consumer.behave = lambda handler: handler.answer(200, b"ok", Connection="close")

    assert all(poster.post(consumer.url, b"1", {}).delivered for _ in range(5))
    assert len(consumer.seen) == 5


def test_a_control_character_never_reaches_the_wire(consumer: Consumer, poster: WebhookPoster) -> None:
    reply = poster.post(consumer.url, b"1", {"X-Mine": "a\r\nX-Other: b"})

    assert (reply.error, consumer.seen) == ("unreadable_answer", [])


# --- Bounds


class Listener:
    """Answers 204 to whatever comes, and counts the connections that are open."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._socket.getsockname()[1]
        self.accepted = self.closed = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with self._changed:
                    self.accepted += 1
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while connection.recv(65_536):
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        with self._changed:
            self.closed += 1
            self._changed.notify_all()

    def wait_until_closed(self, count: int) -> bool:
        """Wait until so many connections have been closed."""
        with self._changed:
            return self._changed.wait_for(lambda: self.closed >= count, 5)

    def stop(self) -> None:
        """Stop listening."""
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Something that counts connections."""
    listener = Listener()
    yield listener
    listener.stop()


def local(**bounds: Any) -> Connections:
    """Return connections that may lead to this machine."""
    return Connections(Guard(make_settings(push_allowed_networks=HERE).push_allowed_networks), **bounds)


def post(connections: Connections, port: int, host: str = "127.0.0.1") -> None:
    """Make one request."""
    end_at(time.monotonic() + 2)
    answer = connections.post(Origin(False, host, port), "/", {}, b"{}")
    while answer.read(100):
        pass
    answer.done()


def test_an_idle_connection_is_closed_after_a_while(listener: Listener) -> None:
    connections = local(max_idle_s=0.1)

    post(connections, listener.port)

    assert listener.wait_until_closed(1)
    post(connections, listener.port)
    assert listener.accepted == 2
    assert listener.wait_until_closed(2)


def test_an_old_connection_is_replaced_however_busy(listener: Listener) -> None:
    connections = local(max_age_s=0.0)

    for _ in range(3):
        post(connections, listener.port)

    assert (listener.accepted, listener.wait_until_closed(2)) == (3, True)
    connections.close()


def test_no_more_connections_are_kept_than_agreed(listener: Listener) -> None:
    connections = local(most=2)
    together = threading.Barrier(6)

    def post_with_the_others() -> None:
        end_at(time.monotonic() + 5)
        answer = connections.post(Origin(False, "127.0.0.1", listener.port), "/", {}, b"{}")
        together.wait(5)
        answer.read(1)
        answer.done()

    threads = [threading.Thread(target=post_with_the_others) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert listener.wait_until_closed(4)
    assert listener.accepted - listener.closed == 2
    connections.close()
    assert listener.wait_until_closed(6)


# --- Addresses


def resolving(monkeypatch: pytest.MonkeyPatch, answer: Callable[[int], str]) -> list[str]:
    """Let names lead to these addresses, by how often was asked before; return whom was asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer(len(asked) - 1), port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_kept_connection_stays_with_the_address_that_was_checked(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolving(monkeypatch, lambda before: "169.254.169.254" if before else "127.0.0.1")
    connections = local()

    for _ in range(3):
        post(connections, listener.port, "rebinding.example")

    assert (asked, listener.accepted) == (["rebinding.example"], 1)
    connections.close()


def test_the_guard_checks_again_whenever_a_connection_is_opened(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolving(monkeypatch, lambda before: "169.254.169.254" if before else "127.0.0.1")
    connections = local()
    post(connections, listener.port, "rebinding.example")
    connections.close()

    with pytest.raises(ForbiddenAddressError):
        post(connections, listener.port, "rebinding.example")

    assert (len(asked), listener.accepted) == (2, 1)


def test_the_guard_checks_again_when_a_kept_connection_was_closed(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, lambda before: "10.0.0.1" if before else "127.0.0.1")
    connections = local()
    consumer.behave = accept_and_reset_the_next
    post(connections, consumer.port, "rebinding.example")

    with pytest.raises((ForbiddenAddressError, HTTPException)):
        post(connections, consumer.port, "rebinding.example")

    assert len(consumer.seen) == 1
