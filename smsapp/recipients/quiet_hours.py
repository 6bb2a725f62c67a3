"""Quiet hours: when it is night for the recipient, as far as the phone number tells.

The time zones come from `phonenumbers` (Google's libphonenumber). A number may belong to several, and a mobile phone
travels, so this is a courtesy and not a guarantee. We err on the cautious side: it is night while it is night in any of
the number's zones.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import phonenumbers

from smsapp.recipients.phone import WHATSAPP

QUIET_HOURS = "quiet_hours"
"""The reason in a message's history for such a wait."""

SPAN = r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])"

_SPAN = re.compile(SPAN)
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_SAMPLED = timedelta(hours=6)


Night = tuple[datetime, datetime]
"""When quiet hours begin and end once, in UTC."""


class InvalidQuietHours(ValueError):
    """Not two different times of day such as 21:00-08:00."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From one time of day until another, in the recipient's time; past midnight if `until` is the earlier one."""

    begin: time
    until: time

    @classmethod
    def parse(cls, text: str) -> "QuietHours":
        """Read `21:00-08:00`.

        Raises:
            InvalidQuietHours: not in this form, or both times are the same.
        """
        match = _SPAN.fullmatch(text)
        if match is None:
            raise InvalidQuietHours(text)
        hours = cls(time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4])))
        if hours.begin == hours.until:
            raise InvalidQuietHours(text)
        return hours

    def night(self, day: date, zone: ZoneInfo) -> Night:
        """Return when the quiet hours that begin on this day begin and end in a zone; the end is not one of them.

        If the clocks show a time twice, the first occurrence begins the quiet hours and the last ends them, so that
        they are never interrupted. A time that the clocks skip stands for the moment of the change.
        """
        return _night(self.begin, self.until, day, zone)

    def nights(self, around: datetime, zone: ZoneInfo) -> list[Night]:
        """Return the nights in a zone from the one before a moment to the second after it."""
        today = around.astimezone(zone).date()
        return [self.night(today + days * _DAY, zone) for days in (-1, 0, 1, 2)]

    def cover(self, at: datetime, zone: ZoneInfo) -> bool:
        """Return whether it is quiet in a zone at this moment."""
        return _is_in(self.nights(at, zone), at)


def held_until(
    number: str, hours: str | None, *, now: datetime, deliver_by: datetime | None
) -> datetime | None:
    """Return until when a text waits, at the latest until `deliver_by`; None when it can go out now.

    At `deliver_by` it is processed and fails, whatever the hour.
    """
    if hours is None:
        return None
    until = quiet_until(number, QuietHours.parse(hours), now=now)
    return min(until, deliver_by) if until and deliver_by else until


def quiet_until(number: str, hours: QuietHours, *, now: datetime) -> datetime | None:
    """Return when the recipient may be texted again, or None when that is now.

    That is the next moment at which none of the number's zones is quiet. If the zones lie so far apart that no such
    moment exists all day (an American toll-free number, from Guam to the Caribbean), it is the next one at which the
    fewest zones are quiet: waiting forever would help nobody.
    """
    return quiet_until_in(zones_of(number), hours, now=now)


def quiet_until_in(zones: tuple[ZoneInfo, ...], hours: QuietHours, *, now: datetime) -> datetime | None:
    """Return when somebody who may be in any of these zones may be texted again, as `quiet_until` does."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    nights = {zone: hours.nights(now, zone) for zone in _distinct(zones, this_hour)}
    quiet_now = _quiet_in(nights, now)
    if not quiet_now:
        return None
    ends = sorted({_end_after(each, now) for each in nights.values()})
    quiet = {end: _quiet_in(nights, end) for end in ends}
    fewest = min(quiet.values())
    return next(end for end in ends if quiet[end] == fewest) if fewest < quiet_now else None


@lru_cache(maxsize=4096)
def zones_of(number: str) -> tuple[ZoneInfo, ...]:
    """Return the time zones in which a number may be; UTC alone for a number without a place."""
    # Imported at the first message with quiet hours: the table of prefixes takes megabytes.
    from phonenumbers import timezone  # noqa: PLC0415

    parsed = phonenumbers.parse(number.removeprefix(WHATSAPP))
    names = timezone.time_zones_for_number(parsed)
    if timezone.UNKNOWN_TIMEZONE in names:  # a number that no plan has yet is at least in its country
        names = timezone.time_zones_for_geographical_number(parsed)
    if timezone.UNKNOWN_TIMEZONE in names:
        names = ("UTC",)
    return tuple(ZoneInfo(name) for name in names)


@lru_cache(maxsize=1024)
def _distinct(zones: tuple[ZoneInfo, ...], now: datetime) -> Collection[ZoneInfo]:
    """Return one zone for each that shows another time within a day or two: forty zones show a dozen times."""
    moments = [now + step * _SAMPLED for step in range(-4, 9)]
    shown = {tuple(moment.astimezone(zone).utcoffset() for moment in moments): zone for zone in zones}
    return list(shown.values())


def _quiet_in(nights: Mapping[ZoneInfo, Sequence[Night]], at: datetime) -> int:
    """Return how many different times are shown in zones where it is quiet at a moment."""
    return len({at.astimezone(zone).utcoffset() for zone, each in nights.items() if _is_in(each, at)})


def _is_in(nights: Sequence[Night], at: datetime) -> bool:
    return any(begin <= at < end for begin, end in nights)


def _end_after(nights: Sequence[Night], now: datetime) -> datetime:
    """Return the next end of a night that is not within another."""
    return next(end for _, end in nights if end > now and not _is_in(nights, end))


@lru_cache(maxsize=4096)
def _night(begin: time, until: time, day: date, zone: ZoneInfo) -> Night:
    last_day = day if begin < until else day + _DAY
    return _moments(day, begin, zone)[0], _moments(last_day, until, zone)[1]


def _moments(day: date, shown: time, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the first and the last moment at which clocks show a time of a day: one, unless they are set back."""
    wall = datetime.combine(day, shown, zone)
    first, last = wall.astimezone(UTC), wall.replace(fold=1).astimezone(UTC)
    if first > last:  # skipped, by https://peps.python.org/pep-0495/#mind-the-gap
        first = last = _change_between(last, first, zone)
    return first, last


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment, to the second, at which the clocks of a zone are set."""
    offset = after.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)
