"""The cheapest possible consumer of events: counts what it is pushed, and answers 204 at once, later, or never.

Run as `python -m bench.consumer PORT`. The first part of a path says how to answer: `/now/…`, `/after-50/…` (ms) or
`/never/…`; the rest names the consumer. `POST /_reset` forgets what was before; `GET /_stats` tells what was seen.
"""

import asyncio
import json
import re
import signal
import sys
import time
from collections import Counter
from datetime import datetime

from bench.http_server import Connection

_EVENT_ID = re.compile(rb"\r\nwebhook-id: *(\S+)", re.IGNORECASE)
_NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
_ORDER = ("message.accepted", "message.sent", "message.delivered")


class Seen:
    """What all connections have seen: events by path, when they came, and what came out of its message's order."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.events: dict[str, set[bytes]] = {}
        self.requests: Counter[str] = Counter()
        self.delays_ms: dict[str, list[float]] = {}
        self.first_at: dict[str, float] = {}
        self.last_at: dict[str, float] = {}
        self.disorder = 0
        self.connections = 0
        self._step: dict[tuple[str, str], int] = {}

    def add(self, path: str, event_id: bytes, body: bytes) -> None:
        """Count a request."""
        now = time.time()
        self.requests[path] += 1
        known = self.events.setdefault(path, set())
        if event_id in known:
            return
        known.add(event_id)
        self.first_at.setdefault(path, now)
        self.last_at[path] = now
        event = json.loads(body)
        told_at = datetime.fromisoformat(event["timestamp"]).timestamp()
        self.delays_ms.setdefault(path, []).append((now - told_at) * 1000)
        if event["type"] in _ORDER:
            key = (path, event["data"]["id"])
            step = _ORDER.index(event["type"])
            self.disorder += step < self._step.get(key, 0)
            self._step[key] = step

    def stats(self) -> bytes:
        """Return what was seen, by path; times are in seconds since 1970, delays in milliseconds."""
        paths = {
            path: {
                "events": len(self.events.get(path, ())),
                "requests": requests,
                "first_at": self.first_at.get(path, 0.0),
                "last_at": self.last_at.get(path, 0.0),
                "delays_ms": self.delays_ms.get(path, []),
            }
            for path, requests in self.requests.items()
        }
        found = {"paths": paths, "disorder": self.disorder, "connections": self.connections}
        return json.dumps(found).encode()


class Pusher(Connection):
    """One connection of a pusher to us."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self._seen = seen
        self._loop = asyncio.get_running_loop()
        seen.connections += 1

    def handle(self, head: bytes, body: bytes) -> None:
        """Answer one request, or do not."""
        path = head.split(b" ", 2)[1].decode()
        if path == "/_stats":
            stats = self._seen.stats()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(stats), stats))
            return
        if path == "/_reset":
            self._seen.reset()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            return
        event_id = _EVENT_ID.search(head)
        self._seen.add(path, event_id[1] if event_id else b"", body)
        how, _, delay_ms = path.split("/", 2)[1].partition("-")
        if how == "after":
            self._loop.call_later(float(delay_ms) / 1000, self.transport.write, _NO_CONTENT)
        elif how != "never":
            self.transport.write(_NO_CONTENT)


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    seen = Seen()
    server = await loop.create_server(lambda: Pusher(seen), "127.0.0.1", port, backlog=1024)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
