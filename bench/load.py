"""A load generator on epoll: requests are complete byte strings, made before the clock starts.

A *unit* is what one connection sends one after the other, each request after the answer to the one before: the
callbacks of one message stay in order, as Twilio sends them. A request costs one recv, one send and about 35
microseconds.
"""

import gc
import re
import select
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.children import BenchError

Unit = Sequence[bytes]

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STALLED_S = 30.0
_clock = time.perf_counter


@dataclass
class Load:
    """The result of a run. Times are in seconds; with a fixed rate, latency counts from when a request was due."""

    began: float
    codes: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    lost: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0

    @property
    def ok(self) -> int:
        """How many requests were answered with 2xx."""
        return sum(count for code, count in self.codes.items() if 200 <= code < 300)

    @property
    def failed(self) -> int:
        """How many got another answer, or none."""
        return sum(self.codes.values()) - self.ok + self.lost

    def percentile_ms(self, share: float) -> float:
        """Return the latency that this share of the requests did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0


class _Connection:
    __slots__ = ("began", "position", "received", "socket", "unit")

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.unit: Unit = ()
        self.position = 0
        self.began = 0.0  # 0: no request is under way
        self.received = b""


class Generator:
    """Sends units over keep-alive connections to a port of this machine, as fast as they are answered or at a rate."""

    def __init__(self, port: int, units: Iterable[Unit], connections: int) -> None:
        self._address = ("127.0.0.1", port)
        self._units: Iterator[Unit] = iter(units)
        self._poll = select.epoll()
        self._by_fd: dict[int, _Connection] = {}
        self._in_flight = 0
        self._idle: list[_Connection] = []
        self._rate: float | None = None
        self._connections = [_Connection() for _ in range(connections)]
        for connection in self._connections:
            self._connect(connection)

    def run(self, rate: float | None = None) -> Load:
        """Send everything once and return the result; `rate` is in requests a second.

        Raises:
            BenchError: no answer at all for half a minute.
        """
        self._rate = rate
        gc.disable()  # a collection over so many requests would count as the service's latency
        cpu = time.process_time()
        self._load = Load(_clock())
        try:
            if rate is None:
                self._run_closed()
            else:
                self._run_open(1 / rate)
        finally:
            gc.enable()
            for connection in self._connections:
                self._drop(connection)
            self._poll.close()
        self._load.wall_s = _clock() - self._load.began
        self._load.cpu_s = time.process_time() - cpu
        return self._load

    def _run_closed(self) -> None:
        for connection in self._connections:
            self._send_next(connection, _clock())
        while self._in_flight:
            self._receive_all(_STALLED_S)

    def _run_open(self, interval: float) -> None:
        self._idle = list(self._connections)
        due = self._load.began
        while self._in_flight or self._idle:
            now = _clock()
            while self._idle and due <= now:
                if self._send_next(self._idle.pop(), due):
                    due += interval
            if self._in_flight and not self._idle:
                self._receive_all(_STALLED_S)
            elif self._idle:
                self._receive_all(max(0.0, due - _clock()), may_be_quiet=True)

    def _receive_all(self, wait_s: float, *, may_be_quiet: bool = False) -> None:
        events = self._poll.poll(wait_s)
        if not events and not may_be_quiet:
            raise BenchError(f"no answer on port {self._address[1]} for {wait_s:.0f} s")
        for fd, _ in events:
            if connection := self._by_fd.get(fd):
                self._receive(connection)

    def _receive(self, connection: _Connection) -> None:
        assert connection.socket is not None
        try:
            data = connection.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._closed_by_peer(connection)
            return
        if connection.received:
            data = connection.received + data
        if not _is_complete(data):
            connection.received = data
            return
        connection.received = b""
        self._load.latencies.append(_clock() - connection.began)
        self._load.codes[int(data[9:12])] += 1
        if b"onnection: close" in data:
            self._drop(connection)
        self._answered(connection)

    def _answered(self, connection: _Connection) -> None:
        connection.began = 0.0
        self._in_flight -= 1
        if self._rate is None:
            self._send_next(connection, _clock())
        else:
            self._idle.append(connection)

    def _closed_by_peer(self, connection: _Connection) -> None:
        self._drop(connection)
        if connection.began:
            self._load.lost += 1
            self._answered(connection)

    def _send_next(self, connection: _Connection, began: float) -> bool:
        """Send the connection's next request; False when there is none left for it."""
        connection.position += 1
        if connection.position >= len(connection.unit):
            connection.unit = next(self._units, ())
            connection.position = 0
            if not connection.unit:
                return False
        if connection.socket is None:
            self._connect(connection)
        assert connection.socket is not None
        connection.began = began
        self._in_flight += 1
        try:
            connection.socket.send(connection.unit[connection.position])
        except OSError:  # closed while idle: nothing was lost, so the request goes over a new connection
            self._drop(connection)
            self._connect(connection)
            connection.socket.send(connection.unit[connection.position])
        return True

    def _connect(self, connection: _Connection) -> None:
        new = socket.create_connection(self._address, timeout=5)
        new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        new.setblocking(False)
        connection.socket = new
        connection.received = b""
        self._by_fd[new.fileno()] = connection
        self._poll.register(new.fileno(), select.EPOLLIN)

    def _drop(self, connection: _Connection) -> None:
        if connection.socket is not None:
            del self._by_fd[connection.socket.fileno()]
            self._poll.unregister(connection.socket.fileno())
            connection.socket.close()
            connection.socket = None


def _is_complete(data: bytes) -> bool:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    if data.startswith(b"HTTP/1.1 204"):
        return True
    length = _LENGTH.search(data, 0, end + 2)
    if length is None:
        raise BenchError(f"an answer without Content-Length: {data[:300]!r}")
    return len(data) >= end + 4 + int(length[1])
