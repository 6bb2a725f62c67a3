"""Looking for texts and numbers where they may have left a trace."""

import base64
import re
from urllib.parse import unquote_plus

from redis import Redis

from smsapp.callbacks.stream import STREAM
from tests.support.stack import Stack

BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4}){4,}")


def opened(text: str) -> str:
    """Return a text with everything that is encoded in it made readable: Celery's messages are base64 in JSON."""
    parts = [text, unquote_plus(text)]
    parts += [base64.b64decode(found).decode("utf-8", "replace") for found in BASE64.findall(text)]
    return "\n".join(parts)


def stored_in_redis(stack: Stack) -> dict[str, str]:
    """Return everything that Redis holds now, by key, but the callback stream."""
    held = {}
    with Redis.from_url(stack.redis.url) as redis:
        for key in redis.scan_iter():
            if key == STREAM.encode():
                continue
            kind = redis.type(key)
            value = {
                b"string": redis.get,
                b"list": lambda name: redis.lrange(name, 0, -1),
                b"hash": redis.hgetall,
                b"set": redis.smembers,
                b"zset": lambda name: redis.zrange(name, 0, -1),
                b"none": lambda _name: None,  # it was gone before it could be looked at
            }[kind](key)
            held[key.decode()] = str(value)
    return held
