"""Keep-alive connections to consumers: each leads to an address that the guard has checked when it was opened.

They are bounded in number, in the time that they may be idle, and in age, so that a name that leads elsewhere is
followed within a minute. A request is one write and usually one read. See docs/decisions/0028-pushing-keeps-up.md.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import SWITCHING_PROTOCOLS, HTTPException, HTTPResponse, LineTooLong
from re import compile as pattern
from ssl import SSLEOFError

from urllib3.util import wait_for_read

from smsapp.consumers.guard import Connection, Guard

MAX_IDLE_S = 4.0
"""How long a connection is kept without a request: less than the 5 s after which Node's servers close it
(https://nodejs.org/api/http.html#serverkeepalivetimeout), so that a request seldom meets a closing one."""

MAX_AGE_S = 60.0
MAX_IDLE = 256
_MAX_INTERIM_ANSWERS = 20
_MAX_INTERIM_BYTES = 65_536
_CONTROL = pattern(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection leads, as URLs name it."""

    secure: bool
    host: str
    port: int

    @property
    def name(self) -> str:
        """The Host header (RFC 9110 §7.2): without a port that follows from the scheme."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


@dataclass(slots=True)
class _Kept:
    """An open connection, and since when it is open and idle."""

    socket: Connection
    opened_at: float
    idle_since: float = 0.0


class Answer:
    """An answer whose head was read. Read its body, then call `done` or `abandon`."""

    __slots__ = ("_connections", "_kept", "_origin", "_response")

    def __init__(
        self, connections: "Connections", origin: Origin, kept: _Kept, response: HTTPResponse
    ) -> None:
        self._connections = connections
        self._origin = origin
        self._kept = kept
        self._response = response

    @property
    def status(self) -> int:
        """The status code."""
        return self._response.status

    def header(self, name: str) -> str | None:
        """Return a header, or None."""
        return self._response.headers.get(name)

    def read(self, count: int) -> bytes:
        """Return the next bytes of the body, none at its end.

        Raises:
            OSError: the connection broke, or the time is up.
            HTTPException: the body is malformed, or ended early.
        """
        part = self._response.read(count)
        if not part and self._response.length:  # http.client notices this only when all is read at once
            raise HTTPException("the answer ended early")
        return part

    def done(self) -> None:
        """Keep the connection: the whole answer was read."""
        self._response.close()
        if self._response.will_close:
            self._kept.socket.close()
        else:
            self._connections.keep(self._origin, self._kept)

    def abandon(self) -> None:
        """Close the connection: what is left of this answer would be read as the next one."""
        self._response.close()
        self._kept.socket.close()


class Connections:
    """Makes requests; safe to share between threads. It follows no redirects."""

    def __init__(
        self,
        guard: Guard,
        *,
        most: int = MAX_IDLE,
        max_idle_s: float = MAX_IDLE_S,
        max_age_s: float = MAX_AGE_S,
    ) -> None:
        """Keep `most` idle connections at the most; see the constants for what the spans bound."""
        self._guard = guard
        self._most = most
        self._max_idle_s = max_idle_s
        self._max_age_s = max_age_s
        self._idle: dict[Origin, deque[_Kept]] = {}
        self._mutex = threading.Lock()
        self._reaper: threading.Thread | None = None

    def post(self, origin: Origin, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Make one request and return its answer; the thread's deadline (`guard.end_at`) limits it.

        A kept connection that ends before the first byte of an answer was most likely closed while the request was on
        its way, as servers may at any time (RFC 9112 §9.5), so the request is made once more, over a new connection.
        The consumer may have read the first: it knows a repetition by its `webhook-id`.

        Raises:
            ForbiddenAddressError: the guard does not allow it.
            OSError: no connection, a broken one, or the time is up.
            HTTPException: the answer is not HTTP.
            ValueError: the request would contain a control character.
        """
        request = _head(origin, target, headers, len(body)) + body
        if kept := self._take(origin):
            try:
                return self._exchange(origin, kept, request)
            except (ConnectionError, SSLEOFError):
                if kept.socket.heard:
                    raise
        opened = self._guard.connect(origin.host, origin.port, secure=origin.secure)
        return self._exchange(origin, _Kept(opened, time.monotonic()), request)

    def keep(self, origin: Origin, kept: _Kept) -> None:
        """Keep a connection for the next request to this origin."""
        kept.idle_since = time.monotonic()
        with self._mutex:
            if sum(map(len, self._idle.values())) >= self._most:
                kept.socket.close()
                return
            self._idle.setdefault(origin, deque()).append(kept)
            if self._reaper is None:
                self._reaper = threading.Thread(target=self._reap, name="idle-connections", daemon=True)
                self._reaper.start()

    def close(self) -> None:
        """Close the idle connections."""
        self._close_idle(since=time.monotonic())

    def _exchange(self, origin: Origin, kept: _Kept, request: bytes) -> Answer:
        kept.socket.heard = False
        response: HTTPResponse | None = None
        try:
            kept.socket.sendall(request)
            response = _FinalAnswer(kept.socket, method="POST")
            response.begin()
        except BaseException:
            if response:
                response.close()
            kept.socket.close()
            raise
        return Answer(self, origin, kept, response)

    def _take(self, origin: Origin) -> _Kept | None:
        while True:
            with self._mutex:
                idle = self._idle.get(origin)
                if not idle:
                    return None
                kept = idle.pop()
                if not idle:
                    del self._idle[origin]
            if self._is_usable(kept):
                return kept
            kept.socket.close()

    def _is_usable(self, kept: _Kept) -> bool:
        """Return whether it is neither too old nor closed; unread data, such as an EOF, makes it unusable."""
        now = time.monotonic()
        fresh = now - kept.idle_since < self._max_idle_s and now - kept.opened_at < self._max_age_s
        return fresh and not wait_for_read(kept.socket, timeout=0)

    def _reap(self) -> None:
        """Close what has been idle for too long, until nothing is left."""
        while True:
            time.sleep(self._max_idle_s / 2)
            self._close_idle(since=time.monotonic() - self._max_idle_s)
            with self._mutex:
                if not self._idle:
                    self._reaper = None
                    return

    def _close_idle(self, *, since: float) -> None:
        """Close the connections that have been idle since then or longer."""
        with self._mutex:
            for origin, idle in list(self._idle.items()):
                while idle and idle[0].idle_since <= since:
                    with suppress(OSError):
                        idle.popleft().socket.close()
                if not idle:
                    del self._idle[origin]


def _head(origin: Origin, target: str, headers: Mapping[str, str], length: int) -> bytes:
    lines = [f"POST {target} HTTP/1.1", f"Host: {origin.name}", "Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if _CONTROL.search("".join(lines)):
        raise ValueError("a control character in the request")
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode("latin-1")


class _FinalAnswer(HTTPResponse):
    """Skips a bounded number of interim responses; http.client itself skips only 100, and any number of them.

    A client must be able to parse them (https://www.rfc-editor.org/rfc/rfc9110#section-15.2). After 101 another
    protocol would follow, which we never ask for, so it counts as the answer.
    """

    def _read_status(self) -> tuple[str, int, str]:
        room = _MAX_INTERIM_BYTES
        for _ in range(_MAX_INTERIM_ANSWERS + 1):
            line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]  # private, in every Python so far
            if not 100 <= line[1] < 200 or line[1] == SWITCHING_PROTOCOLS:
                return line
            while (field := self.fp.readline(room + 1)).strip(b"\r\n"):
                room -= len(field)
                if room < 0:
                    raise LineTooLong("interim responses")
        raise HTTPException("too many interim responses")
