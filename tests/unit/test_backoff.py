"""Retry delays: their bounds, what a server may ask for, and when we give up."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from smsapp.backoff import (
    FLOOR,
    MAX_RETRY_AFTER,
    POLICIES,
    RetryPolicy,
    Wait,
    backoff,
    next_due,
    retry_after,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
POLICY = RetryPolicy(base=SECOND, cap=timedelta(minutes=1), max_age=timedelta(hours=1))

attempts = st.integers(min_value=1, max_value=10_000)
draws = st.floats(min_value=0, max_value=1, exclude_max=True)
spans = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=7))


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 0.5), (2, 1), (3, 2), (6, 16), (7, 30), (8, 30), (10_000, 30)]
)
def test_the_wait_doubles_up_to_the_cap(attempt: int, seconds: float) -> None:
    wait = backoff(attempt, base=SECOND, cap=timedelta(minutes=1), rng=lambda: 0.5)

    assert wait == timedelta(seconds=seconds)


@given(attempt=attempts, base=spans, cap=spans, draw=draws)
def test_a_wait_lies_between_the_floor_and_the_cap(
    attempt: int, base: timedelta, cap: timedelta, draw: float
) -> None:
    wait = backoff(attempt, base=base, cap=cap, rng=lambda: draw)

    assert FLOOR <= wait <= max(FLOOR, cap)
    if attempt == 1:
        assert wait <= max(FLOOR, base)


@given(base=spans, cap=spans, draw=draws)
def test_for_one_draw_a_later_attempt_never_waits_less(base: timedelta, cap: timedelta, draw: float) -> None:
    waits = [backoff(attempt, base=base, cap=cap, rng=lambda: draw) for attempt in range(1, 40)]

    assert all(earlier <= later for earlier, later in pairwise(waits))


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        pytest.param("120", timedelta(seconds=120), id="seconds"),
        pytest.param(" 0 ", timedelta(), id="at once"),
        pytest.param("Mon, 23 Nov 2026 12:00:30 GMT", timedelta(seconds=30), id="IMF-fixdate"),
        pytest.param("Monday, 23-Nov-26 12:00:30 GMT", timedelta(seconds=30), id="RFC 850 date"),
        pytest.param("Mon Nov 23 12:00:30 2026", timedelta(seconds=30), id="asctime date"),
        pytest.param("Mon, 23 Nov 2026 11:59:00 GMT", timedelta(), id="a date in the past"),
    ],
)
def test_retry_after_takes_seconds_and_dates(value: str, wait: timedelta) -> None:
    assert retry_after(value, now=NOW) == wait


def test_a_retry_after_date_is_compared_across_time_zones() -> None:
    in_tokyo = NOW.astimezone(timezone(timedelta(hours=9)))

    assert retry_after("Mon, 23 Nov 2026 12:00:30 GMT", now=in_tokyo) == timedelta(seconds=30)


@pytest.mark.parametrize(
    "value",
    [None, "", "soon", "-5", "1.5", "1e3", "\u0663", "9" * 10, "9" * 5000, "Mon, 99 Nov 2026 12:00:00 GMT"],
)
def test_a_nonsensical_retry_after_counts_as_none(value: str | None) -> None:
    assert retry_after(value, now=NOW) is None


@given(
    st.text()
    | st.from_regex(r"\A[A-Za-z]{3}, [0-9]{1,9} [A-Z][a-z]{2} [0-9]{1,25} [0-9:]{1,9} [+-][0-9]{1,9}\Z")
)
def test_no_retry_after_header_breaks_the_parser(value: str) -> None:
    wait = retry_after(value, now=NOW)

    assert wait is None or wait >= timedelta()


@given(
    attempt=attempts,
    draw=draws,
    age=spans,
    asked=st.none() | spans,
    until_deadline=st.none() | st.timedeltas(timedelta(days=-1), timedelta(days=7)),
    policy=st.sampled_from(list(POLICIES.values())),
)
def test_the_next_try_comes_in_time_or_not_at_all(
    attempt: int,
    draw: float,
    age: timedelta,
    asked: timedelta | None,
    until_deadline: timedelta | None,
    policy: RetryPolicy,
) -> None:
    deliver_by = None if until_deadline is None else NOW + until_deadline
    last = min(NOW - age + policy.max_age, deliver_by or datetime.max.replace(tzinfo=UTC))

    due = next_due(
        policy,
        attempt=attempt,
        now=NOW,
        created_at=NOW - age,
        deliver_by=deliver_by,
        retry_after=asked,
        rng=lambda: draw,
    )

    told = min(asked or timedelta(), MAX_RETRY_AFTER)
    if due is None:
        assert last < NOW + told + policy.cap
    else:
        assert NOW + told + FLOOR <= due <= min(last, NOW + told + policy.cap)


def due_after(
    *,
    age: timedelta = timedelta(),
    deliver_by: datetime | None = None,
    asked: timedelta | None = None,
    attempt: int = 1,
    draw: float = 0.5,
) -> datetime | None:
    return next_due(
        POLICY,
        attempt=attempt,
        now=NOW,
        created_at=NOW - age,
        deliver_by=deliver_by,
        retry_after=asked,
        rng=lambda: draw,
    )


def test_the_last_moment_still_counts_and_the_one_after_does_not() -> None:
    due = NOW + SECOND / 2
    just_young_enough = POLICY.max_age - SECOND / 2

    assert due_after(deliver_by=due) == due
    assert due_after(deliver_by=due - timedelta(microseconds=1)) is None
    assert due_after(age=just_young_enough) == due
    assert due_after(age=just_young_enough + timedelta(microseconds=1)) is None


def test_a_passed_deadline_ends_the_retries_whatever_the_draw() -> None:
    assert due_after(deliver_by=NOW, draw=0) is None
    assert due_after(age=POLICY.max_age, draw=0) is None


def test_a_wait_asked_for_by_the_server_is_kept_with_jitter_on_top() -> None:
    assert due_after(asked=timedelta(seconds=30), attempt=9) == NOW + timedelta(seconds=30.5)


def test_an_absurd_wait_asked_for_by_the_server_is_cut_short() -> None:
    wanted = MAX_RETRY_AFTER + timedelta(seconds=0.5)
    patient = RetryPolicy(SECOND, SECOND, timedelta(days=1))

    due = next_due(
        patient,
        attempt=1,
        now=NOW,
        created_at=NOW,
        deliver_by=None,
        retry_after=timedelta(days=365),
        rng=lambda: 0.5,
    )

    assert due == NOW + wanted


def test_every_kind_of_wait_has_a_policy_that_can_be_met() -> None:
    assert set(POLICIES) == set(Wait)
    assert all(FLOOR < policy.base < policy.cap < policy.max_age for policy in POLICIES.values())


@given(first=draws, second=draws)
def test_two_messages_told_the_same_wait_do_not_come_back_together(first: float, second: float) -> None:
    assume(abs(first - second) > 0.01 and min(first, second) > 0.1)

    assert due_after(asked=SECOND, draw=first) != due_after(asked=SECOND, draw=second)
