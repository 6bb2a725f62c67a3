"""Whether Redis would throw away what it holds: callbacks that were answered, and tasks."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from smsapp.config import Settings

KEEPS_ALL = "noeviction"
REMEDY = "Set `maxmemory-policy noeviction`: a Redis that is full must refuse, not forget."
_LOOK_WITHIN_S = 0.5


def eviction_policy(settings: Settings) -> str | None:
    """Return the policy of Redis, None if it does not answer within half a second or does not say.

    From `INFO memory`, which hosted services allow where they forbid `CONFIG GET`.
    """
    within = {"socket_timeout": _LOOK_WITHIN_S, "socket_connect_timeout": _LOOK_WITHIN_S}
    options = {**settings.redis.client_options(), **within, "retry": Retry(NoBackoff(), 0)}
    with Redis(**options) as redis:
        try:
            policy = redis.info("memory").get("maxmemory_policy")
        except (RedisError, OSError):
            return None
    return str(policy) if policy else None


def forgetful_redis_fault(settings: Settings) -> str | None:
    """Return why production cannot start with this Redis; None also if it is away: then workers wait for it.

    Workers, beat and Flower look at their start. The web does not: it answers callbacks also while Redis is away or
    slow, and gunicorn replaces a process that died at any time, when it is too late to refuse.
    """
    if settings.env != "production":
        return None
    policy = eviction_policy(settings)
    if policy in {None, KEEPS_ALL}:
        return None
    return f"REDIS_URL: this Redis evicts what it holds (maxmemory-policy {policy}). {REMEDY}"
