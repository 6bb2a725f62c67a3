"""Redis as Celery's broker, with a fix for a bug in kombu 5.7 that stops a worker when its connection breaks.

When Redis goes down while a task is unacknowledged, kombu closes the channel, then looks up the address of the
connection that it has already dropped. That raises an AttributeError, which Celery takes for an error of the worker
itself, so it never reconnects. We raise it as a connection error, from which Celery recovers. Not returning those tasks
loses nothing: the sweep wakes the workers, and Redis redelivers the tasks after the visibility timeout.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import ConnectionError as RedisConnectionError


class _Channel(redis.Channel):
    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("the connection to the broker is closed")
        parameters: dict[str, Any] = super()._connparams(asynchronous)
        return parameters


class Transport(redis.Transport):
    """The transport for `redis://` and `rediss://` once `install` was called."""

    Channel = _Channel


def install() -> None:
    """Make Celery in this process use the fix, under kombu's own URL schemes, since other programs read the URL too."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:{Transport.__name__}"))
