"""gunicorn's gevent worker with a fast path for the requests that come in bursts: callbacks, and texts to send.

gunicorn spends twice as long on a request's environment and response as we do on the callback in it, so plain requests
are read and answered on the connection itself, by handlers that the application names. Every other request takes
gunicorn's own path, and so do all of them when TLS, the PROXY protocol or a SCRIPT_NAME is configured. This module is
imported before gevent patches the standard library: it may import nothing of ours that opens sockets or makes locks.
"""

import os
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from errno import ECONNRESET, ENOTCONN, EPIPE
from typing import Any
from uuid import uuid4

import gevent
from gevent.monkey import get_original
from gevent.socket import SHUT_RD, SHUT_WR, socket
from gunicorn import http, util
from gunicorn.http import errors
from gunicorn.workers.ggevent import GeventWorker

from smsapp.fastpath.timely import TimelySocket
from smsapp.web.plain_http import EXTENSION, METHOD, Answer, Handler, Head, parse_head, problem_answer

_TURN_S = 0.02
_PAUSE_S = 0.0005
"""Not 0: gevent would then run only greenlets that are ready, and never poll the sockets."""

_MAX_REFUSALS = 20
"""In a row on one connection. Twilio and callers with a key come nowhere near; whoever guesses must connect again."""

_PlainSocket = get_original("socket", "socket")
_CHUNK_BYTES = 64 * 1024
_HUNG_UP = {EPIPE, ECONNRESET, ENOTCONN}
_LINGER_S = 1.0
_LINGER_BYTES = 1024 * 1024
_FAULTS_OF_OURS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)
_REFUSALS: tuple[tuple[type[Exception], int, str, str], ...] = (
    (errors.LimitRequestLine, 414, "target_too_long", "The request line is too long."),
    (
        errors.LimitRequestHeaders,
        431,
        "headers_too_large",
        "There are too many header fields, or too long ones.",
    ),
    (errors.ExpectationFailed, 417, "expectation_failed", "No such expectation can be met."),
    (TimeoutError, 408, "timeout", "The body did not arrive in time."),
    # Also an unknown transfer coding, for which RFC 9112 section 6.1 has 501: to operators a 5xx is our own fault.
    (errors.ParseException, 400, "bad_request", "The request is malformed."),
    (errors.NoMoreData, 400, "bad_request", "The body ended early."),
)


class FastPathWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves the application, with a fast path for some requests."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._handlers: Mapping[str, Handler] = {}
        self._idle: dict[socket, float] = {}
        self._connections: Counter[str] = Counter()
        self._turn_began = 0.0
        self._looked: Any = None
        self._stamp = (0, "")

    def load_wsgi(self) -> None:
        """Load the application in this process, after gevent has patched the standard library."""
        super().load_wsgi()
        plain = not self.cfg.is_ssl and self.cfg.proxy_protocol == "off" and self.cfg.keepalive
        if plain and not os.environ.get("SCRIPT_NAME"):
            self._handlers = getattr(self.wsgi, "extensions", {}).get(EXTENSION, {})
            gevent.spawn(self._close_those_idle_for_long)
            self._looked = gevent.get_hub().loop.check()
            self._looked.start(self._note_turn)
        from smsapp.logs import leave_words_out  # noqa: PLC0415 - imports what gevent must have patched

        self.log.error_log.addFilter(leave_words_out)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop: let running requests finish, and close idle connections at once."""
        super().handle_exit(sig, frame)
        gevent.spawn(self._close_idle, 0.0)

    def handle(self, listener: socket, client: socket, addr: Any) -> None:
        """Serve one connection until either side ends it; one address has at most a quarter of the places."""
        address = str(addr[0]) if addr else ""
        if self._connections[address] >= self._places_of(address):
            client.close()
            return
        self._connections[address] += 1
        try:
            self._handle(listener, client, addr)
        finally:
            self._connections[address] -= 1
            if not self._connections[address]:
                del self._connections[address]

    def _places_of(self, address: str) -> int:
        """Return how many connections an address may have: all of them if it is a proxy that we trust."""
        trusted = self.cfg.forwarded_allow_ips
        everybody_comes_from_it = not address or address in trusted or "*" in trusted
        most: int = self.worker_connections
        return most if everybody_comes_from_it else max(1, most // 4)

    def _handle(self, listener: socket, client: socket, addr: Any) -> None:
        if not self._handlers:
            self._handle_by_gunicorn(listener, client, addr)
            return
        try:
            self._serve(listener.getsockname(), client, addr)
        except (errors.NoMoreData, TimeoutError, StopIteration, SystemExit, gevent.GreenletExit):
            self.log.debug("Closing connection.")
        except OSError as error:
            if error.errno not in _HUNG_UP and self.alive:  # on shutdown gevent closes what is open
                self.log.exception("Socket error processing request.")
        except Exception as error:  # noqa: BLE001 - the last resort: answers 400 or 500, and logs
            self.handle_error(None, client, addr, error)
        finally:
            _close(client)

    def _handle_by_gunicorn(self, listener: socket, client: socket, addr: Any) -> None:
        if self.cfg.is_ssl:
            super().handle(listener, client, addr)
            return
        same = client.dup()  # gunicorn closes its own at once
        try:
            super().handle(listener, client, addr)
        finally:
            _close(same)

    def handle_error(self, _req: Any, client: socket, _addr: Any, exc: BaseException) -> None:
        """Answer a request that cannot be parsed, or that broke outside of the application.

        Logged are type, place and id alone. gunicorn's own method logs and echoes the bytes of the request, which may
        be a text, a key or a number.
        """
        status, code, detail = _judge(exc)
        request_id = uuid4().hex
        log = self.log.warning if status < 500 else self.log.error
        log(
            "Request refused: %d, %s in %s, request_id %s",
            status,
            type(exc).__name__,
            _place(exc),
            request_id,
        )
        with suppress(OSError):
            self._send(
                client, self._render(problem_answer(status, code, detail, request_id=request_id), last=True)
            )

    def _serve(self, listener_name: Any, client: socket, addr: Any) -> None:
        """Answer requests, each by the fastest path that fits it.

        Raises:
            StopIteration: gunicorn wants the connection closed.
        """
        client.setblocking(True)
        timely = TimelySocket(client)
        parser = http.get_parser(self.cfg, timely, addr)
        buffer = b""
        refusals = 0
        while buffer := buffer or self._wait_for_request(client):
            self._give_way()
            timely.begin()
            size, buffer, refused = self._answer_by_handler(timely, buffer, refusals)
            refusals = refusals + 1 if refused else 0
            if size and (not self.alive or refusals >= _MAX_REFUSALS):
                return
            if size:
                buffer = buffer[size:]
                continue
            parser.unreader.unread(buffer)
            request = drained = None
            with self.timeout_ctx():
                request = next(parser)
            if not request:
                return
            self.handle_request(listener_name, request, client, addr)
            with self.timeout_ctx(), suppress(errors.ParseException):  # the request has its answer
                drained = parser.finish_body()
            if not drained:
                return
            buffer = parser.unreader.take_buffered()

    def _give_way(self) -> None:
        """Let other connections have their turn: one that always has a next request never waits, so never yields."""
        if time.monotonic() - self._turn_began > _TURN_S:
            gevent.sleep(_PAUSE_S)

    def _note_turn(self) -> None:
        """Remember when the loop last looked at the sockets."""
        self._turn_began = time.monotonic()

    def _wait_for_request(self, client: socket) -> bytes:
        """Return the first bytes of the next request; empty when the client sends no more."""
        if not self.alive:
            return b""
        self._idle[client] = time.monotonic()
        try:
            first: bytes = client.recv(_CHUNK_BYTES)
        finally:
            del self._idle[client]
        return first

    def _answer_by_handler(
        self, client: TimelySocket, buffer: bytes, refusals: int
    ) -> tuple[int, bytes, bool]:
        """Answer the request at the beginning of the buffer, if a handler does.

        Returns how many bytes were consumed (0: not handled), the buffer with the bytes read since, and whether the
        request was refused.
        """
        head = parse_head(buffer) if buffer.startswith(METHOD) else None
        handler = self._handler_of(head) if head else None
        if not head or not handler:
            return 0, buffer, False
        if len(buffer) < head.ends_at:
            try:
                buffer = self._with_body(client, buffer, head.ends_at)
            except (TimeoutError, errors.NoMoreData) as error:
                self.handle_error(None, client, None, error)
                raise StopIteration from None
        answer = handler(head.request._replace(body=buffer[head.body_at : head.ends_at]))
        if answer is None:
            return 0, buffer, False
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        refused = answer.status.startswith("4")
        last = refused and refusals + 1 >= _MAX_REFUSALS
        self._send(client, self._render(answer, last=last))
        return head.ends_at, buffer, refused

    def _send(self, client: socket | TimelySocket, answer: bytes) -> None:
        """Send a response; it usually fits the socket's buffer, so the wait is set up only when needed."""
        try:
            sent = client.send(answer, 0, 0.0)
        except BlockingIOError:
            sent = 0
        if sent < len(answer):
            client.settimeout(self.cfg.keepalive)
            client.sendall(answer[sent:])
            client.settimeout(None)

    def _with_body(self, client: TimelySocket, buffer: bytes, ends_at: int) -> bytes:
        while len(buffer) < ends_at:
            more = client.recv(_CHUNK_BYTES)
            if not more:
                raise errors.NoMoreData
            buffer += more
        return buffer

    def _handler_of(self, head: Head) -> Handler | None:
        for beginning, handler in self._handlers.items():
            if head.request.path.startswith(beginning):
                return handler
        return None

    def _render(self, answer: Answer, *, last: bool = False) -> bytes:
        now = int(time.time())
        if self._stamp[0] != now:
            self._stamp = now, util.http_date(now)
        connection = "keep-alive" if self.alive and not last else "close"
        fields = "".join([f"{name}: {value}\r\n" for name, value in answer.headers])
        head = (
            f"HTTP/1.1 {answer.status}\r\nServer: gunicorn\r\nDate: {self._stamp[1]}\r\n"
            f"Connection: {connection}\r\n{fields}\r\n"
        )
        return head.encode("latin-1") + answer.body

    def _close_those_idle_for_long(self) -> None:
        """Check every second: a timer per wait would cost as much as reading the request."""
        while self.alive:
            gevent.sleep(1.0)
            self._close_idle(float(self.cfg.keepalive))

    def _close_idle(self, after_s: float) -> None:
        """Close connections that have been idle for too long; a request that has just arrived is still read."""
        latest = time.monotonic() - after_s
        for client in [client for client, since in self._idle.items() if since <= latest]:
            try:
                # gevent's own close would interrupt the reading greenlet instead.
                with _PlainSocket(fileno=os.dup(client.fileno())) as same:
                    same.shutdown(SHUT_RD)
            except OSError as error:
                self.log.debug("Closing idle connection: %s", error)


def _judge(error: BaseException) -> tuple[int, str, str]:
    """Return the status, code and detail that answer this error: 400 when the request is at fault, 500 when we are."""
    if not isinstance(error, _FAULTS_OF_OURS):
        for kind, status, code, detail in _REFUSALS:
            if isinstance(error, kind):
                return status, code, detail
    return 500, "internal_error", "Something broke on our side; the request id finds it in our logs."


def _place(error: BaseException) -> str:
    """Return where the error was raised, such as `gunicorn/http/message.py:392`."""
    frames = traceback.extract_tb(error.__traceback__)
    return "/".join(frames[-1].filename.split("/")[-3:]) + f":{frames[-1].lineno}" if frames else "?"


def _close(client: socket) -> None:
    """Close a connection so that the last answer arrives, also when the request was not read to its end.

    Closing with unread bytes resets the connection, and a reset can take the answer away from the client again
    (https://www.rfc-editor.org/rfc/rfc9112#section-9.6).
    """
    try:
        with suppress(OSError), gevent.Timeout(_LINGER_S, False):
            client.shutdown(SHUT_WR)
            left = _LINGER_BYTES
            while left > 0 and (unread := client.recv(_CHUNK_BYTES)):
                left -= len(unread)
    finally:
        util.close(client)
