"""When consumers are told again, and when they are left alone."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.ports import ConsumerReply
from smsapp.webhooks.rules import (
    BREAKER_THRESHOLD,
    DISABLE_AFTER,
    MAX_RETRY_AFTER,
    SCHEDULE,
    ConsumerHealth,
    after_reply,
    next_try,
    origin_of,
    written_secret,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FAILED = ConsumerReply(500, timedelta(seconds=1))
DONE = ConsumerReply(200, timedelta(seconds=1))


def middle() -> float:
    """Return the random number that changes nothing."""
    return 0.5


def test_the_schedule_is_the_promised_one() -> None:
    waits = [next_try(step, now=NOW, retry_after=None, rng=middle) for step in range(8)]

    assert [wait and wait - NOW for wait in waits] == [
        timedelta(seconds=5),
        timedelta(minutes=5),
        timedelta(minutes=30),
        timedelta(hours=2),
        timedelta(hours=5),
        timedelta(hours=10),
        timedelta(hours=10),
        None,
    ]


@given(step=st.integers(0, len(SCHEDULE) - 1), draw=st.floats(0, 1, exclude_max=True))
def test_jitter_stays_within_a_fifth(step: int, draw: float) -> None:
    due = next_try(step, now=NOW, retry_after=None, rng=lambda: draw)

    assert due is not None
    assert 0.8 * SCHEDULE[step] <= due - NOW <= 1.2 * SCHEDULE[step]


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        (timedelta(seconds=1), timedelta(seconds=5)),
        (timedelta(minutes=2), timedelta(minutes=2)),
        (timedelta(days=400), MAX_RETRY_AFTER),
    ],
)
def test_retry_after_is_honoured_within_bounds(asked: timedelta, waited: timedelta) -> None:
    assert next_try(0, now=NOW, retry_after=asked, rng=middle) == NOW + waited


def fail(times: int, health: ConsumerHealth | None = None) -> ConsumerHealth:
    """Return the health after so many failures, each after the last pause."""
    found, now = health or ConsumerHealth(), NOW
    for _ in range(times):
        now = max(now, found.paused_until or now)
        found = after_reply(found, FAILED, now=now, rng=middle)
    return found


def test_a_consumer_is_paused_only_after_some_failures_in_a_row() -> None:
    assert fail(BREAKER_THRESHOLD - 1).paused_until is None
    assert not fail(BREAKER_THRESHOLD - 1).is_probed
    assert fail(BREAKER_THRESHOLD).paused_until == NOW + timedelta(seconds=5)
    assert fail(BREAKER_THRESHOLD).is_probed


def test_pauses_grow_up_to_five_minutes() -> None:
    before = fail(BREAKER_THRESHOLD + 20)
    assert before.paused_until is not None

    after = after_reply(before, FAILED, now=before.paused_until, rng=middle)

    assert after.paused_until == before.paused_until + timedelta(minutes=5)


def test_failures_during_a_pause_do_not_prolong_it() -> None:
    paused = fail(BREAKER_THRESHOLD)

    later = after_reply(paused, FAILED, now=NOW + timedelta(seconds=1), rng=middle)

    assert (later.failures, later.paused_until) == (paused.failures, paused.paused_until)


def test_one_success_forgets_everything() -> None:
    assert after_reply(fail(BREAKER_THRESHOLD), DONE, now=NOW, rng=middle) == ConsumerHealth()


def test_retry_after_pauses_the_whole_consumer() -> None:
    busy = ConsumerReply(429, timedelta(), retry_after=timedelta(minutes=1))

    assert after_reply(ConsumerHealth(), busy, now=NOW, rng=middle).paused_until == NOW + timedelta(minutes=1)


def test_a_consumer_is_given_up_after_five_days() -> None:
    failing = ConsumerHealth(9, NOW)

    assert not failing.is_given_up(NOW + DISABLE_AFTER - timedelta(seconds=1))
    assert failing.is_given_up(NOW + timedelta(days=5))


@pytest.mark.parametrize(
    ("reply", "delivered"),
    [
        (ConsumerReply(200, timedelta()), True),
        (ConsumerReply(299, timedelta()), True),
        (ConsumerReply(200, timedelta(), error="answer_too_large"), False),
        (ConsumerReply(199, timedelta()), False),
        (ConsumerReply(301, timedelta()), False),
        (ConsumerReply(410, timedelta()), False),
        (ConsumerReply(500, timedelta()), False),
        (ConsumerReply(None, timedelta(), error="timeout"), False),
    ],
)
def test_only_a_whole_answer_of_200_to_299_counts(reply: ConsumerReply, delivered: bool) -> None:
    assert reply.delivered is delivered


def test_a_secret_is_written_as_the_standard_says() -> None:
    assert written_secret(bytes(range(24))) == "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"


def test_one_consumer_is_known_by_scheme_host_and_port() -> None:
    assert origin_of("https://Example.com:8443/a?b=1") == "https://example.com:8443"
