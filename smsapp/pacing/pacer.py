"""The clocks of paced senders in Redis: one per sender, shared by all workers."""

from collections.abc import Sequence
from importlib.resources import files

from redis import Redis

from smsapp.pacing.pace import tolerance_us
from smsapp.ports import PaceRequest
from smsapp.queue.lanes import Lane

_WAITS_MS = 250
"""How long a refused lane keeps the lower lanes back; it asks again ten times as often."""

_SETTLE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local caught_up = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + tonumber(ARGV[1])
if caught_up > now then
  redis.call('SET', KEYS[1], string.format('%.0f', caught_up), 'PX', math.ceil((caught_up - now) / 1000) + 1000)
else
  redis.call('DEL', KEYS[1])
end
"""


class RedisPacer:
    """The real pacer. Without Redis it raises and grants nothing, so paced messages stay pending."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._grant = redis.register_script(files("smsapp.pacing").joinpath("pacer.lua").read_text("utf-8"))
        self._settle = redis.register_script(_SETTLE)

    def take(self, lane: Lane, asks: Sequence[PaceRequest]) -> dict[str, int]:
        """Return the segments that each sender may submit now; they count as submitted.

        Raises:
            RedisError: Redis cannot be reached.
        """
        if not asks:
            return {}
        pipe = self._redis.pipeline(transaction=False)
        for ask in asks:
            keys = [_clock(ask.sender), _waits(ask.sender, lane)]
            keys += [_waits(ask.sender, other) for other in Lane if other < lane]
            self._grant(
                keys=keys,
                args=[ask.rate, tolerance_us(lane, ask.rate), ask.head, ask.want, _WAITS_MS],
                client=pipe,
            )
        return {ask.sender: int(granted) for ask, granted in zip(asks, pipe.execute(), strict=True)}

    def settle(self, sender: str, rate: float, segments: int) -> None:
        """Charge this many segments beyond the grant; a negative number gives some back.

        Raises:
            RedisError: not charged, so the sender runs early or late by that much, once.
        """
        self._settle(keys=[_clock(sender)], args=[round(segments * 1_000_000 / rate)])

    def behind_s(self, sender: str) -> float:
        """Return for how many seconds the granted segments use up the sender's pace; this grants nothing.

        Raises:
            RedisError: Redis cannot be reached.
        """
        pipe = self._redis.pipeline(transaction=False)
        pipe.time()
        pipe.get(_clock(sender))
        (seconds, micros), caught_up = pipe.execute()
        ahead_us = int(caught_up or 0) - (seconds * 1_000_000 + micros)
        return float(max(0, ahead_us) / 1_000_000)


def _clock(sender: str) -> str:
    return f"smsapp:pace:{sender}"


def _waits(sender: str, lane: Lane) -> str:
    return f"smsapp:pace:{sender}:waits:{int(lane)}"
