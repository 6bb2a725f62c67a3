"""Redis as Celery's broker, with three changes to kombu 5.7.

A broken connection must not stop a worker. When Redis goes down while a task is unacknowledged, kombu closes the
channel, then looks up the address of the connection that it has already dropped. That raises an AttributeError, which
Celery takes for an error of the worker itself, so it never reconnects. We raise it as a connection error, from which
Celery recovers. Not returning those tasks loses nothing: the sweep wakes the workers, and Redis redelivers the tasks
after the visibility timeout.

Commands must not each make a client of Redis. A client is nothing but its pool of connections and a table of parsers,
and making the table costs more than the command.

A Redis that is away must be found soon. Workers and beat look for it once a second; by default they wait two seconds
longer after each failure, up to thirty, and after a minute's outage nothing would be sent for half a minute more.
"""

from typing import Any

from celery.app.amqp import AMQP
from kombu.connection import Connection
from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import ConnectionError as RedisConnectionError


class _Channel(redis.Channel):
    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("the connection to the broker is closed")
        parameters: dict[str, Any] = super()._connparams(asynchronous)
        return parameters

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:  # kombu keeps these: one for each blocking command
            return super()._create_client(asynchronous)
        kept = self.__dict__.get("_kept_client")
        if kept is None or kept.connection_pool is not self.pool:
            kept = self.__dict__["_kept_client"] = super()._create_client()
        return kept


class Transport(redis.Transport):
    """The transport for `redis://` and `rediss://` once `install` was called."""

    Channel = _Channel


_RECONNECT = {"interval_start": 1, "interval_step": 0, "interval_max": 1}
"""How long to wait between two attempts to connect, in seconds."""


class _Connection(Connection):
    def ensure_connection(self, *args: Any, **options: Any) -> Connection:
        """Connect, for as long as it takes, as workers and beat ask for."""
        connection: Connection = super().ensure_connection(*args, **_RECONNECT | options)
        return connection


class Amqp(AMQP):
    """What Celery makes its connections with."""

    Connection = _Connection


def install() -> None:
    """Make Celery in this process use the fix, under kombu's own URL schemes, since other programs read the URL too."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:{Transport.__name__}"))
