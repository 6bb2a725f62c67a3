"""A receiver of webhooks for tests: it stores what arrives and answers as configured."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

IDLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived. `target` is the request target to the byte, `at` the monotonic time."""

    target: str
    headers: dict[str, str]
    params: dict[str, str]
    at: float


def answer_204(_received: Received) -> int:
    """Answer as a well-behaved application does."""
    return 204


@dataclass(slots=True)
class Receiver:
    """What has arrived. `answer` returns the status for a request and may block; a test may replace it."""

    url: str = ""
    answer: Callable[[Received], int] = answer_204
    body: bytes = b""
    received: list[Received] = field(default_factory=list)
    _arrival: threading.Condition = field(default_factory=threading.Condition)

    def take(self, received: Received) -> int:
        """Keep a request and return the status to answer it with."""
        with self._arrival:
            self.received.append(received)
            self._arrival.notify_all()
        return self.answer(received)

    def of(self, to: str) -> list[Received]:
        """Return what has arrived about messages to one number."""
        return [received for received in list(self.received) if received.params.get("To") == to]

    def wait_for(self, count: int, *, to: str, timeout_s: float = 10.0) -> list[Received]:
        """Return what has arrived for `to` once it is `count` requests.

        Raises:
            TimeoutError: when fewer have arrived after `timeout_s`.
        """
        with self._arrival:
            if not self._arrival.wait_for(lambda: len(self.of(to)) >= count, timeout_s):
                raise TimeoutError(f"{len(self.of(to))} of {count} requests after {timeout_s} s")
            return self.of(to)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the usual 5 a burst of connections waits a second for the next SYN

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing about clients that did not wait for their answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # typeshed narrows it needlessly


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """Run a receiver on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = IDLE_S

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            params = dict(parse_qsl(body.decode(), keep_blank_values=True))
            status = receiver.take(Received(self.path, dict(self.headers.items()), params, time.monotonic()))
            content = b"" if status == 204 else receiver.body
            self.send_response(status)
            if content:
                self.send_header("Content-Type", "text/xml")
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
