"""The clock of a sender: never faster than its pace by more than a message and a few milliseconds, and never slower.

The script runs in a real Redis; only its time is the test's, so that half a minute passes at once.
"""

from dataclasses import dataclass
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from dev.servers import RedisServer
from smsapp.pacing.pace import MOST_AHEAD_US, tolerance_us
from smsapp.queue.lanes import Lane

SECOND = 1_000_000
CLOCK = "test:clock"
ITS_TIME = "redis.call('TIME')"
OUR_TIME = "{0, ARGV[6]}"


@dataclass(frozen=True, slots=True)
class Clock:
    """One sender's clock in Redis."""

    redis: Redis
    script: str

    def grant(self, now_us: int, lane: Lane, rate: float, head: int, want: int) -> int:
        """Return the segments that the script grants at this time."""
        arguments = [rate, tolerance_us(lane, rate), head, want, 250, now_us]
        return int(self.redis.eval(self.script, 2, CLOCK, "test:waits", *arguments))

    def reset(self) -> None:
        """Forget what was granted."""
        self.redis.delete(CLOCK)


@pytest.fixture(scope="module")
def clock(redis_server: RedisServer) -> Clock:
    source = files("smsapp.pacing").joinpath("pacer.lua").read_text("utf-8")
    assert source.count(ITS_TIME) == 1
    return Clock(Redis.from_url(redis_server.url), source.replace(ITS_TIME, OUR_TIME))


@pytest.fixture(autouse=True)
def _unused(clock: Clock) -> None:
    clock.reset()


def run(
    clock: Clock, rate: float, sizes: list[tuple[Lane, int]], every_us: int, seconds: int
) -> list[tuple[int, int]]:
    """Ask every so often, taking turns through lanes and sizes; return what went when."""
    sent, turn = [], 0
    for now in range(SECOND, (seconds + 1) * SECOND, every_us):
        lane, head = sizes[turn % len(sizes)]
        segments = clock.grant(now, lane, rate, head, 64)
        if segments:
            sent.append((now, segments))
            turn += 1
    return sent


@pytest.mark.parametrize(("rate", "excess"), [(1.0, 0.2), (10.0, 0.05), (33.0, 0.05), (100.0, 0.05)])
def test_five_seconds_hold_at_most_five_percent_more_than_the_pace(
    clock: Clock, rate: float, excess: float
) -> None:
    mixed = [(Lane.BULK, 1), (Lane.OTP, 1), (Lane.NORMAL, 1)]
    sent = run(clock, rate, mixed, every_us=25_000, seconds=30)

    fullest = max(sum(size for at, size in sent if begin <= at < begin + 5 * SECOND) for begin, _ in sent)

    assert fullest <= 5 * rate * (1 + excess)  # at one per second a single message is a fifth


@pytest.mark.parametrize("rate", [1.0, 10.0, 33.0, 100.0])
def test_a_sender_with_enough_to_do_keeps_up_its_pace(clock: Clock, rate: float) -> None:
    sent = run(clock, rate, [(Lane.BULK, 1)], every_us=65_000, seconds=30)

    assert sum(size for _, size in sent) >= 30 * rate * 0.99


@settings(deadline=None)  # a busy machine is no fault of the script
@given(
    rate=st.floats(0.5, 200),
    asks=st.lists(
        st.tuples(st.sampled_from(Lane), st.integers(1, 10), st.integers(0, 400_000)), min_size=1, max_size=80
    ),
)
def test_whatever_is_asked_no_more_goes_than_the_time_allows(
    clock: Clock, rate: float, asks: list[tuple[Lane, int, int]]
) -> None:
    clock.reset()
    now = begin = SECOND
    total = 0
    for lane, head, pause in asks:
        now += pause
        total += clock.grant(now, lane, rate, head, head * 3)

    largest = max(head for _, head, _ in asks)
    assert total <= (now - begin + MOST_AHEAD_US) * rate / SECOND + largest + 0.01


@pytest.mark.parametrize("rate", [12.0, 20.0, 100.0])
def test_behind_a_campaign_there_is_room_for_a_code(clock: Clock, rate: float) -> None:
    while clock.grant(SECOND, Lane.BULK, rate, 1, 64):
        pass

    assert clock.grant(SECOND, Lane.OTP, rate, 1, 64) == 1
