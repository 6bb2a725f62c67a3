"""Events for consumers: written in bulk as the service itself writes them, subscribed to, and seen at the other end."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any

from redis import Redis
from sqlalchemy import text

from bench.children import BenchError, Child, wait_for_port
from bench.ours import Ours
from bench.stand import Stand
from bench.traffic import message_id_of
from smsapp.db.engine import make_sessions
from smsapp.events.outbox import DatabaseOutbox
from smsapp.events.types import EventType
from smsapp.ids import new_id
from smsapp.ports import PendingEvent
from smsapp.queue.tasks import CeleryTaskQueue, Task, make_publisher
from smsapp.runtime import transaction
from smsapp.servers.redis_address import parse_redis_url

LIFE = (EventType.MESSAGE_ACCEPTED, EventType.MESSAGE_SENT, EventType.MESSAGE_DELIVERED)
_HISTORY_SEQ = dict(zip(LIFE, (1, 4, 5), strict=True))
"""Which entry of a seeded history each event reports; see `bench.seeding`."""

_MESSAGES_AT_ONCE = 500
_LOOK_EVERY_S = 0.1
_GIVE_UP_S = 30.0

Stats = dict[str, Any]


class Telling:
    """A consumer process, and what it takes to have events pushed to it."""

    def __init__(self, stand: Stand, ours: Ours) -> None:
        self._ours = ours
        self.port = stand.port()
        command = [sys.executable, "-m", "bench.consumer", str(self.port)]
        self._child = Child("consumer", command, {"PATH": ""}, log=stand.log("consumer"))
        wait_for_port(self.port, self._child)
        self._sessions = make_sessions(ours.url.replace("postgresql:", "postgresql+psycopg:"), pool_size=1)
        self._outbox = DatabaseOutbox(lambda _: True)
        address = parse_redis_url(ours.environment["REDIS_URL"])
        self._tasks = CeleryTaskQueue(Redis(**address.client_options()), make_publisher(address))

    def stop(self) -> None:
        """End the consumer."""
        self._child.stop()
        self._sessions.kw["bind"].dispose()

    @contextmanager
    def subscribed(self, paths: Iterable[str]) -> Iterator[None]:
        """Subscribe to everything with these paths of the consumer, and forget all of it afterwards."""
        ids = [self._api("POST", "/sms/subscriptions", {"url": self.url(path)})["id"] for path in paths]
        try:
            yield
        finally:
            for subscription_id in ids:
                self._api("DELETE", f"/sms/subscriptions/{subscription_id}", None)
            with self._sessions.begin() as session:
                session.execute(text("TRUNCATE delivery_attempts, deliveries"))
            self.ask("POST", "/_reset")

    def url(self, path: str) -> str:
        """Return the URL of one of the consumer's paths."""
        return f"http://127.0.0.1:{self.port}{path}"

    def write(self, numbers: Sequence[int], kinds: Iterable[EventType] = LIFE) -> int:
        """Write the events of these stored messages, one kind after the other; return how many."""
        written = 0
        for kind in kinds:
            for first in range(0, len(numbers), _MESSAGES_AT_ONCE):
                with transaction(self._sessions, self._outbox, self._wake) as tx:
                    for number in numbers[first : first + _MESSAGES_AT_ONCE]:
                        tx.emit(_event(kind, number))
                        written += 1
        return written

    def _wake(self) -> None:
        self._tasks.wake(Task.PUSH_EVENTS)

    def wait_for(self, path: str, events: int) -> Stats:
        """Return what the consumer saw, once it has seen so many events at this path.

        Raises:
            BenchError: nothing came for half a minute.
        """
        seen, moved = -1, time.monotonic()
        while True:
            stats = self.ask("GET", "/_stats")
            now_seen = stats["paths"].get(path, {}).get("events", 0)
            if now_seen >= events:
                return stats
            if now_seen != seen:
                seen, moved = now_seen, time.monotonic()
            elif time.monotonic() - moved > _GIVE_UP_S:
                raise BenchError(f"{path} has seen {now_seen} of {events} events")
            time.sleep(_LOOK_EVERY_S)

    def ask(self, method: str, path: str) -> Stats:
        """Ask the consumer itself."""
        return _request(self.port, method, path, None, {})

    def _api(self, method: str, path: str, document: dict[str, Any] | None) -> dict[str, Any]:
        headers = self._ours.send_headers | {"Content-Type": "application/json"}
        return _request(self._ours.port, method, path, document, headers)


def _event(kind: EventType, number: int) -> PendingEvent:
    return PendingEvent(kind, new_id(), datetime.now(UTC), message_id_of(number), _HISTORY_SEQ[kind])


def _request(
    port: int, method: str, path: str, document: dict[str, Any] | None, headers: dict[str, str]
) -> dict[str, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, json.dumps(document) if document else None, headers)
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    if answer.status >= 300:
        raise BenchError(f"{method} {path} was answered {answer.status}: {data[:300]!r}")
    found: dict[str, Any] = json.loads(data) if data else {}
    return found
