"""Keep-alive HTTP/1.1 connections that tell whether a failed request can have reached the server.

That decides whether the request may be retried, and general-purpose clients do not say. Each call is one write and
usually one read; httptools (llhttp) parses the answer. See docs/decisions/0020.
"""

import socket
import ssl
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpResponseParser
from urllib3.util import wait_for_read

_CHUNK = 65_536
_MAX_BODY = 16 * 1024 * 1024
"""Twilio's longest list, 1,000 messages, takes about 2 MiB."""


class NotSentError(Exception):
    """The request did not leave this machine, so nothing can have been accepted: a retry is safe."""


class NoAnswerError(Exception):
    """The request left, but no usable answer came: the other side may or may not have acted on it."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A complete answer. Header names are in lower case; of a repeated header the last value counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Origin:
    secure: bool
    host: str
    port: int
    name: str  # as sent in the Host header


class Connections:
    """Makes requests; safe to share between threads. It never retries, and follows no redirects."""

    def __init__(self, *, connect_timeout: timedelta, read_timeout: timedelta, keep: int) -> None:
        """`read_timeout` limits the time for the whole answer; up to `keep` idle connections stay open."""
        self._connect_s = connect_timeout.total_seconds()
        self._read_s = read_timeout.total_seconds()
        self._keep = keep
        self._idle: dict[_Origin, deque[socket.socket]] = {}

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> HttpReply:
        """Make one request and return its answer, whatever its status.

        Raises:
            NotSentError: DNS, connect or TLS failure; the request cannot have been processed.
            NoAnswerError: timeout, reset or broken answer; the request may have been processed.
        """
        origin, target = _split(url)
        connection = self._idle_one(origin) or self._connect(origin)
        exchange = _Exchange()
        try:
            connection.settimeout(self._read_s)
            connection.sendall(_head(method, origin, target, headers, len(body)) + body)
            exchange.read(connection, time.monotonic() + self._read_s)
        except BaseException as error:  # includes a killed greenlet
            connection.close()  # the rest of this answer would be read as the next one
            if isinstance(error, OSError | HttpParserError | HungUpError):
                raise NoAnswerError(_name(error)) from error
            raise
        if exchange.keeps_alive and len(idle := self._idle[origin]) < self._keep:
            idle.append(connection)
        else:
            connection.close()
        return exchange.reply()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Build the context at first use: loading the system's CAs takes 20 ms, and many processes never call."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _idle_one(self, origin: _Origin) -> socket.socket | None:
        """Return an open idle connection; one with unread data, such as an EOF, is unusable and is discarded."""
        idle = self._idle.setdefault(origin, deque())
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread took it
                break
            if not wait_for_read(connection, timeout=0):
                return connection
            connection.close()
        return None

    def _connect(self, origin: _Origin) -> socket.socket:
        try:
            connection = socket.create_connection((origin.host, origin.port), self._connect_s)
        except (OSError, UnicodeError) as error:  # UnicodeError: the host name is invalid
            raise NotSentError(_name(error)) from error
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return (
                self._tls.wrap_socket(connection, server_hostname=origin.host)
                if origin.secure
                else connection
            )
        except OSError as error:
            connection.close()
            raise NotSentError(_name(error)) from error


class HungUpError(Exception):
    """The connection ended before the answer."""


class TooLongError(Exception):
    """The answer exceeds the limit; llhttp wraps this error."""


class _Exchange:
    """Parses one answer; the `on_…` methods are llhttp's callbacks."""

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._status = 0
        self._complete = False
        self._ends_with_connection = False
        self.keeps_alive = False

    def read(self, connection: socket.socket, deadline: float) -> None:
        """Read until the answer is complete."""
        while not self._complete:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            data = connection.recv(_CHUNK)
            if data:
                self._feed(data)
            elif self._ends_with_connection:
                return
            else:
                raise HungUpError

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            if not self._complete:
                raise
            self.keeps_alive = False  # data after a complete answer was not requested

    def reply(self) -> HttpReply:
        """Return the answer."""
        return HttpReply(self._status, self._headers, b"".join(self._body))

    def on_message_begin(self) -> None:
        if self._complete:
            raise TooLongError

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        self._ends_with_connection = not {"content-length", "transfer-encoding"} & self._headers.keys()

    def on_body(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > _MAX_BODY:
            raise TooLongError
        self._body.append(part)

    def on_message_complete(self) -> None:
        if self._status < 200:  # interim, such as 100 Continue
            self._headers.clear()
            self._ends_with_connection = False
            return
        self._complete = True
        self.keeps_alive = self._parser.should_keep_alive()


@lru_cache(maxsize=1024)
def _origin(scheme: str, netloc: str) -> _Origin:
    parts = urlsplit(f"{scheme}://{netloc}")
    secure = scheme == "https"
    return _Origin(secure, parts.hostname or "", parts.port or (443 if secure else 80), netloc)


def _split(url: str) -> tuple[_Origin, str]:
    scheme, _, rest = url.partition("://")
    netloc, slash, target = rest.partition("/")
    return _origin(scheme, netloc), slash + target or "/"


def _head(method: str, origin: _Origin, target: str, headers: Mapping[str, Any], length: int) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {origin.name}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if length or method == "POST":
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _name(error: Exception) -> str:
    """Return the name of the failure only: its text may contain a URL with a phone number."""
    return type(error).__name__
