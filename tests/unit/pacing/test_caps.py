"""Caps on a day: exact, first come first served, and blind to what is not named."""

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from smsapp.limits import ALL, Caps
from smsapp.pacing.caps import day_of, hold_over, next_day
from smsapp.twilio.error_codes import OwnCode


def count(countries: list[str], caps: Caps, already: dict[str, int] | None = None) -> dict[str, int]:
    """Return what the tallies say with the whole batch in them."""
    batch = Counter(scope for country in countries for scope in caps.of(country))
    return dict(Counter(already or {}) + batch)


def test_a_country_has_its_own_cap_or_that_of_the_others() -> None:
    caps = Caps(1000, {"US": 5, "*": 2})

    assert caps.of("US") == {"US": 5, ALL: 1000}
    assert caps.of("GB") == {"GB": 2, ALL: 1000}
    assert caps.of("") == {ALL: 1000}
    assert Caps(None, {"US": 5}).of("GB") == {}
    assert (bool(Caps()), bool(Caps(0)), bool(Caps(None, {"US": 0}))) == (False, True, True)


def test_what_is_over_a_cap_is_held_and_the_rest_goes() -> None:
    caps = Caps(5, {"US": 2})
    batch = ["US", "US", "US", "GB", "GB", "GB", "GB"]

    held = hold_over(batch, count(batch, caps, {ALL: 1, "US": 1}), caps)

    assert held == [
        (1, OwnCode.COUNTRY_CAP),
        (2, OwnCode.COUNTRY_CAP),
        (6, OwnCode.DAILY_CAP),
    ]


@given(
    batch=st.lists(st.sampled_from(["US", "GB", ""]), max_size=30),
    daily=st.none() | st.integers(0, 20),
    us=st.none() | st.integers(0, 20),
    already=st.integers(0, 25),
)
def test_no_cap_is_passed_and_no_room_left_while_anybody_waits(
    batch: list[str], daily: int | None, us: int | None, already: int
) -> None:
    caps = Caps(daily, {} if us is None else {"US": us})
    held = dict(hold_over(batch, count(batch, caps, {ALL: already, "US": already}), caps))

    went = [country for place, country in enumerate(batch) if place not in held]
    limits = {ALL: (daily, len(went)), "US": (us, went.count("US"))}
    for cap, gone in limits.values():
        assert cap is None or gone == 0 or already + gone <= cap
    for place, code in held.items():
        cap, gone = limits[ALL if code is OwnCode.DAILY_CAP else batch[place]]
        assert cap is not None
        assert already + gone >= cap


def test_the_day_is_that_of_utc() -> None:
    late = datetime(2026, 11, 23, 23, 30, tzinfo=timezone(timedelta(hours=-5)))

    assert day_of(late) == "2026-11-24"
    assert next_day(late) == datetime(2026, 11, 25, tzinfo=UTC)
