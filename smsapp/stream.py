"""The callback stream: verified callbacks wait here, durably, between their acknowledgement and their transaction.

A Redis stream with one consumer group. Entries are acknowledged after the commit that persisted them, so a worker that
dies in between leaves them to be reclaimed; their `receipt_id` makes the second processing harmless.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from redis import Redis
from redis.exceptions import RedisError, ResponseError

STREAM = "smsapp:callbacks"
GROUP = "track"

Kind = Literal["status", "inbound"]


class StreamUnavailableError(Exception):
    """Redis did not take or give the entries in time."""


@dataclass(frozen=True, slots=True)
class Callback:
    """One verified request of Twilio's.

    `target` is the last part of the path (`msg_…`), None on the path without one; `body` is the form as it came;
    `received_at` is our clock.
    """

    receipt_id: UUID
    kind: Kind
    target: str | None
    body: str
    idempotency_token: str | None
    received_at: datetime
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream entry; `callback` is None when its fields cannot be read, which are then in `raw`."""

    entry_id: str
    callback: Callback | None
    raw: dict[str, str]


class CallbackStream:
    """Appends and consumes callbacks. `consumer` names this process in the group."""

    def __init__(self, redis: Redis, *, consumer: str) -> None:
        self._redis = redis
        self._consumer = consumer

    def append(self, callbacks: Sequence[Callback]) -> None:
        """Add callbacks in one round trip; when this returns, Redis has them.

        Raises:
            StreamUnavailableError: Redis did not confirm them; some may be there all the same.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for callback in callbacks:
            pipeline.xadd(STREAM, _fields(callback))
        try:
            pipeline.execute()
        except (RedisError, OSError) as error:
            raise StreamUnavailableError(type(error).__name__) from error

    def read(self, count: int) -> list[Entry]:
        """Take up to `count` entries that no consumer has had yet."""
        reply = self._in_group(
            lambda: self._redis.xreadgroup(GROUP, self._consumer, {STREAM: ">"}, count=count)
        )
        return [_entry(*item) for item in reply[0][1]] if reply else []

    def reclaim(self, count: int, *, idle: timedelta) -> list[Entry]:
        """Take over up to `count` entries that a consumer took and did not acknowledge for so long."""
        reply = self._in_group(
            lambda: self._redis.xautoclaim(
                STREAM, GROUP, self._consumer, min_idle_time=int(idle.total_seconds() * 1000), count=count
            )
        )
        return [_entry(*item) for item in reply[1]] if reply else []

    def acknowledge(self, entry_ids: Iterable[str]) -> None:
        """Forget entries whose effects are committed."""
        ids = list(entry_ids)
        if ids:
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.xack(STREAM, GROUP, *ids)
            pipeline.xdel(STREAM, *ids)
            pipeline.execute()

    def length(self) -> int:
        """Return how many callbacks wait, those being processed included."""
        return int(self._redis.xlen(STREAM))

    def _in_group(self, command: Any) -> Any:
        """Run a group command, making the group first where it is missing: on the first start, and after a flush."""
        try:
            return command()
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
        try:
            self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        return command()


def _fields(callback: Callback) -> dict[Any, Any]:
    """Return the entry's fields, short since there may be millions of them."""
    fields: dict[Any, Any] = {
        b"r": callback.receipt_id.hex,
        b"k": callback.kind,
        b"b": callback.body,
        b"a": callback.received_at.isoformat(),
    }
    optional = {b"t": callback.target, b"i": callback.idempotency_token, b"q": callback.request_id}
    return fields | {name: value for name, value in optional.items() if value is not None}


def _entry(entry_id: bytes, fields: dict[bytes, bytes] | None) -> Entry:
    raw = {
        name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
        for name, value in (fields or {}).items()
    }
    try:
        kind: Kind = "inbound" if raw["k"] == "inbound" else "status"
        callback = Callback(
            receipt_id=UUID(hex=raw["r"]),
            kind=kind,
            target=raw.get("t"),
            body=raw["b"],
            idempotency_token=raw.get("i"),
            received_at=datetime.fromisoformat(raw["a"]).astimezone(UTC),
            request_id=raw.get("q"),
        )
    except (KeyError, ValueError):
        return Entry(entry_id.decode(), None, raw)
    return Entry(entry_id.decode(), callback, raw)
