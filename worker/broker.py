"""Redis as Celery's broker, with a defect of kombu 5.7 mended that ends a worker together with its connection.

When Redis goes away while a job is not acknowledged yet, kombu closes the channel, then looks up the address of the
connection that it has already forgotten: an AttributeError, which Celery takes for the worker's own and never connects
again. As the connection error that it is, it is survived. Nothing is lost by not giving those jobs back: the sweep
wakes whoever has work to do, and Redis returns them after the visibility timeout.
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
    """What `redis://` and `rediss://` stand for once `install` was called."""

    Channel = _Channel


def install() -> None:
    """Make this process's Celery use it; under kombu's own name, since other programs read broker URLs, too."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:{Transport.__name__}"))
