"""A consumer of events: a real local HTTP server that verifies and records requests, and misbehaves on demand."""

import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from standardwebhooks.webhooks import Webhook

Behaviour = Callable[["_Handler"], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        """The id by which consumers recognise repetitions."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """The document."""
        document: dict[str, Any] = json.loads(self.body)
        return document

    def verify(self, secret: str) -> None:
        """Check the signature as a consumer would.

        Raises:
            WebhookVerificationError: the signature is invalid.
        """
        Webhook(secret).verify(self.body, self.headers)


@dataclass
class Consumer:
    """Listens on a free port, behind TLS if it has a `context`; `behave` answers each request."""

    behave: Behaviour
    context: ssl.SSLContext | None = None
    seen: list[Seen] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}/events"

    @property
    def events(self) -> list[dict[str, Any]]:
        """The documents that arrived, in order, repetitions included."""
        with self._lock:
            return [seen.event for seen in self.seen]

    def start(self) -> None:
        """Listen, on the same port as before if it was stopped."""
        self.ended.clear()
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.consumer = self
        if self.context:
            # The handshake is left to the thread that reads: this one must keep accepting connections.
            self._server.socket = self.context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on, and release requests that hang."""
        self.ended.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, handler: "_Handler") -> None:
        """Record a request and answer it."""
        length = int(handler.headers.get("Content-Length", 0))
        body = handler.rfile.read(length)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            self.seen.append(Seen(handler.path, headers, body, time.time()))
        self.behave(handler)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    consumer: Consumer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: peers that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """Receive an event."""
        self.server.consumer.take(self)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the standard library
        """Stay silent."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer as a well-behaved server."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def accept(handler: _Handler) -> None:
    """Acknowledge the event."""
    handler.answer(204)


def refuse(status: int, body: bytes = b"no", **headers: str) -> Behaviour:
    """Return a behaviour that answers with this status."""
    return lambda handler: handler.answer(status, body, **headers)


def hang(handler: _Handler) -> None:
    """Never answer."""
    handler.server.consumer.ended.wait(60)
    handler.close_connection = True


def drip(handler: _Handler) -> None:
    """Answer 200 one byte at a time."""
    handler.close_connection = True
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000:
        if handler.server.consumer.ended.wait(0.05):
            return
        handler.wfile.write(bytes([byte]))


def flood(handler: _Handler) -> None:
    """Answer 200 with 3 GB."""
    handler.close_connection = True
    handler.send_response(200)
    handler.send_header("Content-Length", str(3 * 2**30))
    handler.end_headers()
    block = b"x" * 65_536
    for _ in range(3 * 2**30 // len(block)):
        handler.wfile.write(block)


def babble(handler: _Handler) -> None:
    """Answer with something that is not HTTP."""
    handler.close_connection = True
    handler.wfile.write(b"\x00\xff\x13 SSH-2.0-nonsense\r\n\r\n")


def hint(*heads: bytes) -> Behaviour:
    """Return a behaviour that sends these interim responses, such as `103 Early Hints`, and then acknowledges."""

    def answer(handler: _Handler) -> None:
        for head in heads:
            handler.wfile.write(b"HTTP/1.1 " + head + b"\r\n\r\n")
        accept(handler)

    return answer


def cut_off(handler: _Handler) -> None:
    """Announce a longer body than is sent."""
    handler.close_connection = True
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"only this")
