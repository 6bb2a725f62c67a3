"""The cheapest possible fake Twilio: `POST …/Messages.json` answered after a set latency, then signed callbacks.

The simulator is for fidelity; this one is for speed, about 20 microseconds a request, so that a benchmark on one
machine measures the service and not its counterpart. Callbacks go over keep-alive connections, in the order in which
they are due; their delay counts from the answer, so that no implementation gets a callback before it has the row.

Run as `python -m bench.fake_twilio PORT`. `POST /_config?latency_ms=50&steps=sent@200,delivered@600` sets it and
forgets what was before; `GET /_stats` tells what it saw, and `GET /_times` when: times are of `time.perf_counter`, one
clock for all processes of a machine.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter, deque
from email.utils import formatdate
from typing import NamedTuple
from urllib.parse import parse_qs, parse_qsl, urlsplit

from bench.http_server import Connection
from bench.traffic import ACCOUNT_SID, callback

_CALLBACK_CONNECTIONS = 64
_CREATE = f"POST /2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json".encode()
_CREATED = (
    '{"account_sid":"'
    + ACCOUNT_SID
    + '","api_version":"2010-04-01","body":%s,"date_created":"%s","date_sent":null,'
    '"date_updated":"%s","direction":"outbound-api","error_code":null,"error_message":null,"from":"%s",'
    '"messaging_service_sid":null,"num_media":"0","num_segments":"1","price":null,"price_unit":"USD","sid":"%s",'
    '"status":"queued","subresource_uris":{"media":"/2010-04-01/Accounts/'
    + ACCOUNT_SID
    + '/Messages/%s/Media.json"},'
    '"to":"%s","uri":"/2010-04-01/Accounts/' + ACCOUNT_SID + '/Messages/%s.json"}'
)


class FakeTwilio:
    """The state that all connections share: settings, counts, and the callbacks that wait for a connection."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._senders: dict[str, CallbackSenders] = {}
        self.configure(latency_ms=0, steps=())
        self._date = ""
        self._date_at = 0.0

    def configure(self, *, latency_ms: float, steps: tuple[tuple[str, float], ...]) -> None:
        """Start afresh with these settings; a step is a status and its delay in seconds."""
        self.latency_s = latency_ms / 1000
        self.steps = steps
        self.accepted = 0
        self.bodies: set[str] = set()
        self.codes: Counter[int] = Counter()
        self.received_at: dict[str, float] = {}
        self.called: list[tuple[str, str, float, float]] = []

    def create(self, form: dict[str, str]) -> bytes:
        """Accept a message and return the answer's body."""
        sid = "SM" + os.urandom(16).hex()
        to, body = form["To"], form["Body"]
        self.accepted += 1
        self.bodies.add(body)
        self.received_at.setdefault(body, time.perf_counter())
        url = form.get("StatusCallback", "").partition("#")[0]
        if url:
            for status, delay_s in self.steps:
                self.loop.call_later(self.latency_s + delay_s, self._call_back, url, sid, status, to, body)
        date = self._now()
        return (_CREATED % (json.dumps(body), date, date, form.get("From"), sid, sid, to, sid)).encode()

    def stats(self) -> bytes:
        """Return what was seen; `distinct` counts texts, so that a message sent twice shows."""
        seen = {"accepted": self.accepted, "distinct": len(self.bodies), "codes": dict(self.codes)}
        return json.dumps(seen).encode()

    def times(self) -> bytes:
        """Return when each text came, and each callback (text, status) was sent and answered."""
        return json.dumps({"received": self.received_at, "called": self.called}).encode()

    def _call_back(self, url: str, sid: str, status: str, to: str, text: str) -> None:
        parts = urlsplit(url)
        senders = self._senders.get(parts.netloc)
        if senders is None:
            senders = self._senders[parts.netloc] = CallbackSenders(
                self, parts.hostname or "", parts.port or 80
            )
        request = callback(url, parts.netloc, parts.path, sid=sid, status=status, to=to)
        senders.send(Call(request, text, status))

    def _now(self) -> str:
        if time.monotonic() - self._date_at > 1:
            self._date_at = time.monotonic()
            self._date = formatdate().replace("-0000", "+0000")
        return self._date


class Call(NamedTuple):
    """A callback to make, and which one it is."""

    request: bytes
    text: str
    status: str


class Api(Connection):
    """One connection of the service to us."""

    def __init__(self, fake: FakeTwilio) -> None:
        super().__init__()
        self._fake = fake

    def handle(self, head: bytes, body: bytes) -> None:
        """Answer one request."""
        fake = self._fake
        if head.startswith(_CREATE):
            answer = fake.create(dict(parse_qsl(body.decode())))
            if fake.latency_s:
                fake.loop.call_later(fake.latency_s, self._write, b"201 Created", answer)
            else:
                self._write(b"201 Created", answer)
        elif head.startswith(b"GET /_stats"):
            self._write(b"200 OK", fake.stats())
        elif head.startswith(b"GET /_times"):
            self._write(b"200 OK", fake.times())
        elif head.startswith(b"POST /_config"):
            query = parse_qs(urlsplit(head.split(b" ", 2)[1].decode()).query)
            steps = [step.split("@") for step in query.get("steps", [""])[0].split(",") if step]
            fake.configure(
                latency_ms=float(query["latency_ms"][0]),
                steps=tuple((status, float(delay_ms) / 1000) for status, delay_ms in steps),
            )
            self._write(b"200 OK", b"{}")
        else:
            self._write(b"404 Not Found", b'{"code":20404,"message":"not found","status":404}')

    def _write(self, status: bytes, body: bytes) -> None:
        self.transport.write(
            b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (status, len(body), body)
        )


class CallbackSenders:
    """Connections to one host, each with one callback in flight at a time; the others wait in order."""

    def __init__(self, fake: FakeTwilio, host: str, port: int) -> None:
        self._fake = fake
        self._address = (host, port)
        self._waiting: deque[Call] = deque()
        self._idle: list[CallbackSender] = []
        self._opened = 0

    def send(self, call: Call) -> None:
        """Send a callback now if a connection is free, else in its turn."""
        if self._idle:
            self._idle.pop().send(call)
        else:
            self._waiting.append(call)
            self._open_another()

    def free(self, sender: "CallbackSender") -> None:
        """Give the connection the next callback, or let it wait for one."""
        if self._waiting:
            sender.send(self._waiting.popleft())
        else:
            self._idle.append(sender)

    def answered(self, code: int, call: Call, sent_at: float) -> None:
        """Count an answer."""
        self._fake.codes[code] += 1
        self._fake.called.append((call.text, call.status, sent_at, time.perf_counter()))

    def lost(self, sender: "CallbackSender", unanswered: Call | None) -> None:
        """Drop a connection; its callback is sent on another one, and counted as code 0."""
        self._opened -= 1
        if sender in self._idle:
            self._idle.remove(sender)
        if unanswered:
            self._fake.codes[0] += 1
            self._waiting.appendleft(unanswered)
            self._open_another()

    def _open_another(self) -> None:
        if self._opened < _CALLBACK_CONNECTIONS:
            self._opened += 1
            self._fake.loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            _, sender = await self._fake.loop.create_connection(lambda: CallbackSender(self), *self._address)
        except OSError:
            self._opened -= 1
        else:
            self.free(sender)


class CallbackSender(asyncio.Protocol):
    """One connection of ours to the service."""

    def __init__(self, senders: CallbackSenders) -> None:
        self._senders = senders
        self._call: Call | None = None
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, call: Call) -> None:
        """Send one callback; the answer ends it."""
        self._call = call
        self._sent_at = time.perf_counter()
        self._transport.write(call.request)

    def data_received(self, data: bytes) -> None:
        """Read the answer: one packet, since answers to callbacks have no body worth waiting for."""
        call = self._call
        if call and data.startswith(b"HTTP/1.1 "):
            self._call = None
            self._senders.answered(int(data[9:12]), call, self._sent_at)
            self._senders.free(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """Hand back the callback in flight."""
        self._senders.lost(self, self._call)


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    fake = FakeTwilio()
    server = await loop.create_server(lambda: Api(fake), "127.0.0.1", port, backlog=1024)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
