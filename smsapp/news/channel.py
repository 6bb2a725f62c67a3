"""The Redis channel of the news: one publisher and one subscription per process."""

from types import TracebackType
from typing import Any, Self

from redis import Redis
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from smsapp.news.rules import Bulletin, decode, encode

_CHANNEL = "smsapp:news"


def channel_of(redis: Redis) -> str:
    """Return the channel of this Redis database: channels are shared by all databases of a server, ours is not."""
    return f"{_CHANNEL}:{redis.connection_pool.connection_kwargs.get('db') or 0}"


class Publication:
    """A connection that publishes on the channel.

    A connection of its own instead of the client's pool, which checks on each use whether one is still open: that costs
    as much as the command.
    """

    def __init__(self, redis: Redis) -> None:
        self._connection = _new_connection(redis)
        self._channel = channel_of(redis)

    def send(self, bulletin: Bulletin) -> int:
        """Publish a bulletin; return how many processes it reached.

        Raises:
            RedisError: it may have reached nobody. The next call connects again.
        """
        try:
            command = self._connection.pack_command("PUBLISH", self._channel, encode(bulletin))
            self._connection.send_packed_command(command, check_health=False)
            return int(self._connection.read_response())
        except (RedisError, OSError):
            self._connection.disconnect()  # an unread reply would be taken for the next one's
            raise


class Subscription:
    """A connection that hears the channel. As a context manager it is connected and subscribed, or raises.

    A connection of its own instead of redis-py's PubSub, which reconnects by itself: whoever waits must know that
    there was a gap.
    """

    def __init__(self, redis: Redis) -> None:
        self._connection = _new_connection(redis)
        self._channel = channel_of(redis)

    def __enter__(self) -> Self:
        """Subscribe.

        Raises:
            RedisError: Redis is away, or refuses.
        """
        try:
            self._connection.connect()
            self._connection.send_command("SUBSCRIBE", self._channel)
            self._connection.read_response()
        except (RedisError, OSError):
            self._connection.disconnect()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.disconnect()

    def ping(self) -> None:
        """Ask Redis for a sign of life; `hear` returns its answer as a bulletin that says nothing."""
        self._connection.send_command("PING", check_health=False)

    def hear(self, timeout_s: float) -> Bulletin | None:
        """Return the next bulletin; None when there is none within the time.

        Raises:
            RedisError: the connection is lost.
        """
        try:
            reply = self._connection.read_response(timeout=timeout_s, disconnect_on_error=False)
        except RedisTimeoutError:
            return None
        return decode(reply[2]) if reply[0] == b"message" else Bulletin()


def _new_connection(redis: Redis) -> Any:
    """Return a connection like the client's, which connects when it is used first."""
    pool = redis.connection_pool
    return pool.connection_class(**pool.connection_kwargs)
