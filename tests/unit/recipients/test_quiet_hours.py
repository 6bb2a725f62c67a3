"""Quiet hours in the recipient's time."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from phonenumbers.tzdata import TIMEZONE_DATA

from smsapp.recipients.quiet_hours import InvalidQuietHours, QuietHours, quiet_until, quiet_until_in, zones_of

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
    madrid = ZoneInfo("Europe/Madrid")

    hours = [datetime(2026, 11, 23, hour, tzinfo=madrid) for hour in (12, 13, 14, 15)]
    assert [siesta.cover(at, madrid) for at in hours] == [False, True, True, False]
    assert quiet_until("+34912345678", siesta, now=utc("2026-11-23T13:30")) == utc("2026-11-23T14:00")


def test_where_it_is_always_night_somewhere_the_fewest_are_woken() -> None:
    long_night = QuietHours.parse("18:00-10:00")
    now = utc("2026-11-23T05:00")

    def asleep(at: datetime) -> int:
        offsets = {at.astimezone(zone).utcoffset() for zone in zones_of(TOLL_FREE)}
        hours = [(at + offset).hour for offset in offsets if offset is not None]
        return sum(hour >= 18 or hour < 10 for hour in hours)

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


def clocks_change(number: str, after: datetime) -> bool:
    """Return whether they do within a day, in any zone of the number."""
    return any(
        after.astimezone(zone).utcoffset() != (after + timedelta(days=1)).astimezone(zone).utcoffset()
        for zone in zones_of(number)
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
        again = quiet_until(number, hours, now=until)
        # Where somebody is always asleep, fewer may be tomorrow, if the clocks change until then.
        assert again is None or clocks_change(number, until)


# Both changes of the clock, offsets of half and three quarters of an hour, times that are shown twice or never.


@pytest.mark.parametrize(
    ("zone", "hours", "day", "begin", "end"),
    [
        # Set forward at 02:00 to 03:00, in the night.
        ("America/New_York", "21:00-08:00", "2026-03-07", "2026-03-08T02:00Z", "2026-03-08T12:00Z"),
        # Set back at 02:00 to 01:00.
        ("America/New_York", "21:00-08:00", "2026-10-31", "2026-11-01T01:00Z", "2026-11-01T13:00Z"),
        # 02:30 is never shown: the hours end, or begin, when the clocks skip it.
        ("America/New_York", "21:00-02:30", "2026-03-07", "2026-03-08T02:00Z", "2026-03-08T07:00Z"),
        ("America/New_York", "02:30-08:00", "2026-03-08", "2026-03-08T07:00Z", "2026-03-08T12:00Z"),
        ("Europe/London", "01:30-07:00", "2026-03-29", "2026-03-29T01:00Z", "2026-03-29T06:00Z"),
        # 01:30 is shown twice: they end with the second, and begin with the first.
        ("America/New_York", "21:00-01:30", "2026-10-31", "2026-11-01T01:00Z", "2026-11-01T06:30Z"),
        ("America/New_York", "01:30-08:00", "2026-11-01", "2026-11-01T05:30Z", "2026-11-01T13:00Z"),
        ("Europe/London", "22:00-01:15", "2026-10-24", "2026-10-24T21:00Z", "2026-10-25T01:15Z"),
        # Both ends are shown twice: the first begins them, the last ends them.
        ("America/New_York", "01:15-01:45", "2026-11-01", "2026-11-01T05:15Z", "2026-11-01T06:45Z"),
        # Neither is ever shown: they are over when they would begin.
        ("America/New_York", "02:15-02:45", "2026-03-08", "2026-03-08T07:00Z", "2026-03-08T07:00Z"),
        # Set by half an hour: Lord Howe, at 02:00 to 02:30, and back to 01:30.
        ("Australia/Lord_Howe", "21:00-02:15", "2026-10-03", "2026-10-03T10:30Z", "2026-10-03T15:30Z"),
        ("Australia/Lord_Howe", "21:00-08:00", "2026-10-03", "2026-10-03T10:30Z", "2026-10-03T21:00Z"),
        ("Australia/Lord_Howe", "21:00-01:45", "2026-04-04", "2026-04-04T10:00Z", "2026-04-04T15:15Z"),
        # Ahead by three quarters of an hour, and by half an hour.
        ("Pacific/Chatham", "21:00-03:00", "2026-04-04", "2026-04-04T07:15Z", "2026-04-04T14:15Z"),
        ("Pacific/Chatham", "21:00-03:00", "2026-09-26", "2026-09-26T08:15Z", "2026-09-26T14:00Z"),
        ("Asia/Kathmandu", "21:00-08:00", "2026-11-23", "2026-11-23T15:15Z", "2026-11-24T02:15Z"),
        ("Asia/Kolkata", "21:00-08:00", "2026-11-23", "2026-11-23T15:30Z", "2026-11-24T02:30Z"),
        ("America/St_Johns", "21:00-08:00", "2026-03-07", "2026-03-08T00:30Z", "2026-03-08T10:30Z"),
        ("Australia/Adelaide", "22:00-02:30", "2026-04-04", "2026-04-04T11:30Z", "2026-04-04T17:00Z"),
        # Set at midnight: a day without its first hour.
        ("America/Santiago", "00:00-06:00", "2026-09-06", "2026-09-06T04:00Z", "2026-09-06T09:00Z"),
        ("America/Santiago", "20:00-00:00", "2026-09-05", "2026-09-06T00:00Z", "2026-09-06T04:00Z"),
    ],
)
def test_a_night_is_one_span_whatever_the_clocks_do(
    zone: str, hours: str, day: str, begin: str, end: str
) -> None:
    night = QuietHours.parse(hours).night(date.fromisoformat(day), ZoneInfo(zone))

    assert night == (datetime.fromisoformat(begin), datetime.fromisoformat(end))


@pytest.mark.parametrize(
    ("number", "hours", "now", "until"),
    [
        # New York, 1 November 2026, 01:10 for the second time: not until tomorrow's 01:30.
        ("+12125552671", "21:00-01:30", "2026-11-01T06:10", "2026-11-01T06:30"),
        # 01:45 for the first time, then 01:10 again: it is night already.
        ("+12125552671", "01:30-08:00", "2026-11-01T05:45", "2026-11-01T13:00"),
        ("+12125552671", "01:30-08:00", "2026-11-01T06:10", "2026-11-01T13:00"),
        # 03:10 on the day on which there is no 02:30.
        ("+12125552671", "21:00-02:30", "2026-03-08T07:10", None),
        ("+12125552671", "21:00-02:30", "2026-03-08T06:59", "2026-03-08T07:00"),
        ("+9771234567", "21:00-08:00", "2026-11-24T02:14", "2026-11-24T02:15"),
        ("+9771234567", "21:00-08:00", "2026-11-24T02:15", None),
        ("+911123456789", "21:00-08:00", "2026-11-23T15:29", None),
        ("+911123456789", "21:00-08:00", "2026-11-23T15:30", "2026-11-24T02:30"),
        # Newfoundland and Labrador have two zones, half an hour apart.
        ("+17097552671", "21:00-08:00", "2026-11-01T11:29", "2026-11-01T12:00"),
    ],
)
def test_texts_wait_rightly_around_the_change_of_the_clock(
    number: str, hours: str, now: str, until: str | None
) -> None:
    assert quiet_until(number, QuietHours.parse(hours), now=utc(now)) == (utc(until) if until else None)


CHANGING = [
    ZoneInfo(name)
    for name in (
        "America/New_York",
        "America/Santiago",
        "America/St_Johns",
        "Asia/Kathmandu",
        "Australia/Adelaide",
        "Australia/Lord_Howe",
        "Europe/London",
        "Pacific/Chatham",
        "Africa/Casablanca",
        "Antarctica/Troll",
    )
]
CHANGES = [f"2026-{day}" for day in ("03-08", "03-29", "04-04", "09-05", "09-26", "10-03", "10-24", "10-31")]
QUARTERS = st.integers(0, 95).map(lambda quarter: time(quarter // 4, quarter % 4 * 15))


@given(
    zone=st.sampled_from(CHANGING),
    begin=QUARTERS,
    until=QUARTERS,
    day=st.sampled_from(CHANGES),
    minutes=st.integers(-1440, 2880),
)
def test_around_any_change_a_wait_is_quiet_to_its_end_and_no_longer(
    zone: ZoneInfo, begin: time, until: time, day: str, minutes: int
) -> None:
    assume(begin != until)
    hours = QuietHours(begin, until)
    now = utc(day) + timedelta(minutes=minutes)

    end = quiet_until_in((zone,), hours, now=now)

    local = now.astimezone(zone)
    offsets = {(now + timedelta(hours=ahead)).astimezone(zone).utcoffset() for ahead in range(-25, 26)}
    if len(offsets) == 1:
        shown_quiet = begin <= local.time() < until if begin < until else not until <= local.time() < begin
        assert (end is not None) == shown_quiet
    if end is not None:
        steps = range(int((end - now) / timedelta(minutes=5)))
        assert all(hours.cover(now + step * timedelta(minutes=5), zone) for step in steps)
        assert not hours.cover(end, zone)
        shown, before = end.astimezone(zone), (end - timedelta(seconds=1)).astimezone(zone)
        assert shown.time() == until or shown.utcoffset() != before.utcoffset()


def test_every_zone_of_the_numbering_plans_is_known_here() -> None:
    names = {name for zones in TIMEZONE_DATA.values() for name in zones} - {"Etc/Unknown"}

    assert len(names) > 200
    assert all(ZoneInfo(name).key == name for name in names)
