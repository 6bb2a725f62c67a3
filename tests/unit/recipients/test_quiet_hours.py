"""Quiet hours in the recipient's time."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers.tzdata import TIMEZONE_DATA

from smsapp.recipients.quiet_hours import InvalidQuietHours, QuietHours, quiet_until, zones_of

NIGHT = QuietHours(time(21), time(8))
SAN_FRANCISCO = "+14155552671"
LONDON = "+442071838750"
AUSTRALIAN_MOBILE = "+61491570156"
RUSSIAN_MOBILE = "+79161234567"
TOLL_FREE = "+18005550100"
FREEPHONE_ANYWHERE = "+80012345678"
NUMBERS = (SAN_FRANCISCO, LONDON, AUSTRALIAN_MOBILE, RUSSIAN_MOBILE, TOLL_FREE, FREEPHONE_ANYWHERE)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["21:00-08:00", "00:00-23:59", "12:30-13:15"])
def test_two_times_of_day_are_quiet_hours(text: str) -> None:
    hours = QuietHours.parse(text)

    assert f"{hours.begin:%H:%M}-{hours.until:%H:%M}" == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "21-8",
        "21:00",
        "24:00-08:00",
        "21:60-08:00",
        "08:00-08:00",
        "21:00-08:00 ",
        "\uff12\uff11:00-08:00",
    ],
)
def test_anything_else_is_not(text: str) -> None:
    with pytest.raises(InvalidQuietHours):
        QuietHours.parse(text)


@pytest.mark.parametrize(
    ("number", "now", "until"),
    [
        pytest.param(SAN_FRANCISCO, "2026-11-23T16:00", None, id="8 am there: the end is not quiet"),
        pytest.param(SAN_FRANCISCO, "2026-11-23T15:59", "2026-11-23T16:00", id="7:59 am"),
        pytest.param(SAN_FRANCISCO, "2026-11-24T04:59", None, id="8:59 pm"),
        pytest.param(SAN_FRANCISCO, "2026-11-24T05:00", "2026-11-24T16:00", id="9 pm"),
        pytest.param(
            f"whatsapp:{SAN_FRANCISCO}", "2026-11-24T05:00", "2026-11-24T16:00", id="another channel"
        ),
        pytest.param(LONDON, "2026-03-29T00:30", "2026-03-29T07:00", id="the clocks go forward that night"),
        pytest.param(LONDON, "2026-10-24T22:00", "2026-10-25T08:00", id="the clocks go back that night"),
        pytest.param(
            AUSTRALIAN_MOBILE, "2026-11-23T22:00", "2026-11-24T01:30", id="until the Cocos Islands wake"
        ),
        pytest.param(AUSTRALIAN_MOBILE, "2026-11-24T09:59", None, id="8:59 pm in Sydney and on Lord Howe"),
        pytest.param(AUSTRALIAN_MOBILE, "2026-11-24T10:00", "2026-11-25T01:30", id="9 pm there"),
        pytest.param(
            "+15552700001", "2026-11-24T05:00", "2026-11-24T22:00", id="no such number: its country's zones"
        ),
        pytest.param(FREEPHONE_ANYWHERE, "2026-11-23T22:00", "2026-11-24T08:00", id="of no place: UTC"),
    ],
)
def test_it_is_quiet_until_it_is_day_in_every_zone_of_the_number(
    number: str, now: str, until: str | None
) -> None:
    assert quiet_until(number, NIGHT, now=utc(now)) == (utc(until) if until else None)


def test_hours_within_a_day_are_quiet_between_them() -> None:
    siesta = QuietHours.parse("13:00-15:00")

    assert [siesta.cover(time(hour)) for hour in (12, 13, 14, 15)] == [False, True, True, False]
    assert quiet_until("+34912345678", siesta, now=utc("2026-11-23T13:30")) == utc("2026-11-23T14:00")


def test_where_it_is_always_night_somewhere_the_fewest_are_woken() -> None:
    long_night = QuietHours.parse("18:00-10:00")
    now = utc("2026-11-23T05:00")

    def asleep(at: datetime) -> int:
        offsets = {at.astimezone(zone).utcoffset() for zone in zones_of(TOLL_FREE)}
        return sum(long_night.cover((at + offset).time()) for offset in offsets if offset is not None)

    until = quiet_until(TOLL_FREE, long_night, now=now)

    assert until is not None
    best = min(asleep(now + timedelta(minutes=15) * step) for step in range(96))
    assert best > 0  # there is no moment at which nobody sleeps
    assert asleep(until) == best
    assert all(
        asleep(now + timedelta(minutes=15) * step) > best
        for step in range(96)
        if now + timedelta(minutes=15) * step < until
    )


@given(
    number=st.sampled_from(NUMBERS),
    begin=st.integers(0, 23),
    length=st.integers(1, 23),
    now=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),  # noqa: DTZ001 - made UTC below
)
def test_a_wait_ends_within_a_day_and_only_once(number: str, begin: int, length: int, now: datetime) -> None:
    hours = QuietHours(time(begin), time((begin + length) % 24))
    now = now.replace(tzinfo=UTC)

    until = quiet_until(number, hours, now=now)

    if until:
        assert now < until <= now + timedelta(hours=26)
        assert quiet_until(number, hours, now=until) is None


def test_every_zone_of_the_numbering_plans_is_known_here() -> None:
    names = {name for zones in TIMEZONE_DATA.values() for name in zones} - {"Etc/Unknown"}

    assert len(names) > 200
    assert all(ZoneInfo(name).key == name for name in names)
