"""The callback stream: verified callbacks wait here, durably, between their acknowledgement and their transaction.

A Redis stream with one consumer group. Entries are acknowledged after the commit that persisted them, so a worker that
dies in between leaves them to be reclaimed; their `receipt_id` makes the second processing harmless.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from redis import Redis
from redis.connection import Connection
from redis.exceptions import ConnectionError as ConnectionLostError
from redis.exceptions import RedisError, ResponseError

from smsapp.ports import StreamEntry, StreamUnavailableError
from smsapp.twilio.callback import Callback

STREAM = "smsapp:callbacks"
GROUP = "track"
_CHECK = "smsapp:health"
_CHECK_MS = 10_000
_FIELD = b"v"

_APPEND = f"""
for number = 2, #ARGV do redis.call('XADD', KEYS[1], '*', '{_FIELD.decode()}', ARGV[number]) end
return redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[1])
"""
"""One command with one reply for the whole group: reading one reply per callback cost more than all the rest."""


class CallbackStream:
    """Appends and consumes callbacks. `consumer` names this process in the group."""

    def __init__(self, redis: Redis, *, consumer: str) -> None:
        self._redis = redis
        self._consumer = consumer
        self._kept: list[Connection] = []

    def append(self, callbacks: Sequence[Callback], *, flag: str, flag_ttl_ms: int) -> bool:
        """Add callbacks and set the wake-up flag in one round trip; when this returns, Redis has them.

        Returns whether the flag was not set before, so that the caller must wake a drain.

        Connections are kept outside the pool, which checks on each use whether one is still open: that costs as much as
        the command. A connection that was closed in the meantime costs a second try instead; a callback that then
        arrives twice counts once.

        Raises:
            StreamUnavailableError: Redis did not confirm them; some may be there all the same.
        """
        command = ("EVAL", _APPEND, 2, STREAM, flag, flag_ttl_ms, *map(_pack, callbacks))
        pool = self._redis.connection_pool
        try:
            if not self._kept:
                return self._exchange(pool.get_connection(), command) is not None
            try:
                return self._exchange(self._kept.pop(), command) is not None
            except ConnectionLostError:
                self._exchange(pool.get_connection(), command)
                return True  # if the flag was set already, the first try may have set it
        except (RedisError, OSError) as error:
            raise StreamUnavailableError(type(error).__name__) from error

    def _exchange(self, connection: Connection, command: Sequence[Any]) -> Any:
        try:
            connection.send_packed_command(connection.pack_command(*command))
            reply = connection.read_response()
        except BaseException:
            connection.disconnect()  # an unread reply would be taken for the next caller's
            self._redis.connection_pool.release(connection)
            raise
        self._kept.append(connection)
        return reply

    def read(self, count: int, *, wait: timedelta | None = None) -> list[StreamEntry]:
        """Read up to `count` entries that no consumer has read yet; with none, wait that long for the first."""
        block = int(wait.total_seconds() * 1000) if wait else None
        reply = self._in_group(
            lambda: self._redis.xreadgroup(GROUP, self._consumer, {STREAM: ">"}, count=count, block=block)
        )
        return [_entry(*item) for item in reply[0][1]] if reply else []

    def reclaim(self, count: int, *, idle: timedelta) -> list[StreamEntry]:
        """Take over up to `count` entries that a consumer read but has not acknowledged for that long."""
        reply = self._in_group(
            lambda: self._redis.xautoclaim(
                STREAM, GROUP, self._consumer, min_idle_time=int(idle.total_seconds() * 1000), count=count
            )
        )
        return [_entry(*item) for item in reply[1]] if reply else []

    def acknowledge(self, entry_ids: Iterable[str]) -> None:
        """Acknowledge entries whose effects are committed."""
        ids = list(entry_ids)
        if ids:
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.xack(STREAM, GROUP, *ids)
            pipeline.xdel(STREAM, *ids)
            pipeline.execute()

    def check(self) -> None:
        """Write something that is forgotten soon.

        Raises:
            RedisError: Redis is away, or refuses to be written to.
        """
        self._redis.set(_CHECK, b"1", px=_CHECK_MS)

    def length(self) -> int:
        """Return how many callbacks wait, those being processed included."""
        return int(self._redis.xlen(STREAM))

    def _in_group(self, command: Any) -> Any:
        """Run a group command; create the group where it is missing: on the first start, and after a flush."""
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


def _pack(callback: Callback) -> bytes:
    """Return a callback as one compact value: there may be millions of them."""
    return orjson.dumps(
        (
            callback.receipt_id.hex,
            callback.kind,
            callback.target,
            callback.body,
            callback.idempotency_token,
            callback.received_at.timestamp(),
        )
    )


def _entry(entry_id: bytes, fields: dict[bytes, bytes] | None) -> StreamEntry:
    value = (fields or {}).get(_FIELD, b"")
    try:
        receipt_id, kind, target, body, token, received_at = orjson.loads(value)
        callback = Callback(
            receipt_id=UUID(hex=receipt_id),
            kind="inbound" if kind == "inbound" else "status",
            target=target,
            body=body,
            idempotency_token=token,
            received_at=datetime.fromtimestamp(received_at, UTC),
        )
    except (TypeError, ValueError, AttributeError):
        return StreamEntry(entry_id.decode(), None, value.decode("utf-8", "replace"))
    return StreamEntry(entry_id.decode(), callback, "")
