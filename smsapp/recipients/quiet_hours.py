"""Quiet hours: when it is night at the recipient's, as far as a phone number tells.

The time zones are those of `phonenumbers` (Google's libphonenumber). A number may lie in several, and a mobile phone
travels, so this is a courtesy and no proof. The reading is the cautious one: it is night while it is night in any of
the number's zones.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import phonenumbers

from smsapp.recipients.phone import WHATSAPP

QUIET_HOURS = "quiet_hours"
"""The reason, in a message's history, why it waits."""

SPAN = r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])"

_SPAN = re.compile(SPAN)
_DAY = timedelta(days=1)


class InvalidQuietHours(ValueError):
    """Not two different times of day such as 21:00-08:00."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From one time of day until another, in the recipient's time; over midnight when `until` is the earlier one."""

    begin: time
    until: time

    @classmethod
    def parse(cls, text: str) -> "QuietHours":
        """Read `21:00-08:00`.

        Raises:
            InvalidQuietHours: it is something else, or as long as a day.
        """
        match = _SPAN.fullmatch(text)
        if match is None:
            raise InvalidQuietHours(text)
        hours = cls(time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4])))
        if hours.begin == hours.until:
            raise InvalidQuietHours(text)
        return hours

    def cover(self, local: time) -> bool:
        """Return whether this time of day is a quiet one; the end is not."""
        if self.begin < self.until:
            return self.begin <= local < self.until
        return local >= self.begin or local < self.until


def held_until(
    number: str, hours: str | None, *, now: datetime, deliver_by: datetime | None
) -> datetime | None:
    """Return until when a text waits, no longer than it is worth anything; None when it can go out now.

    At `deliver_by` it is looked at again and ends, whatever the hour.
    """
    if hours is None:
        return None
    until = quiet_until(number, QuietHours.parse(hours), now=now)
    return min(until, deliver_by) if until and deliver_by else until


def quiet_until(number: str, hours: QuietHours, *, now: datetime) -> datetime | None:
    """Return when the recipient may be texted again, or None when that is now.

    That is the next moment at which it is quiet in none of the number's zones. Where zones lie so far apart that there
    is no such moment all day (an American toll-free number, from Guam to the Caribbean), it is the next one at which it
    is quiet in the fewest: waiting for ever would spare nobody.
    """
    zones = _distinct(zones_of(number), now)
    quiet_now = _quiet_in(zones, hours, now)
    if not quiet_now:
        return None
    ends = sorted({_end_after(zone, hours, now) for zone in zones})
    fewest = min(_quiet_in(zones, hours, end) for end in ends)
    if quiet_now <= fewest:
        return None
    return next(end for end in ends if _quiet_in(zones, hours, end) == fewest)


@lru_cache(maxsize=4096)
def zones_of(number: str) -> tuple[ZoneInfo, ...]:
    """Return the time zones in which a number may be, UTC alone for a number of no place."""
    # Loaded at the first message with quiet hours: the table of prefixes takes megabytes.
    from phonenumbers import timezone  # noqa: PLC0415

    parsed = phonenumbers.parse(number.removeprefix(WHATSAPP))
    names = timezone.time_zones_for_number(parsed)
    if timezone.UNKNOWN_TIMEZONE in names:  # a number that no plan knows yet is at least in its country
        names = timezone.time_zones_for_geographical_number(parsed)
    if timezone.UNKNOWN_TIMEZONE in names:
        names = ("UTC",)
    return tuple(ZoneInfo(name) for name in names)


def _distinct(zones: Collection[ZoneInfo], now: datetime) -> list[ZoneInfo]:
    """Return one zone for each that shows another time today: forty zones show a dozen times."""
    by_offset = {
        (now.astimezone(zone).utcoffset(), (now + _DAY).astimezone(zone).utcoffset()): zone for zone in zones
    }
    return list(by_offset.values())


def _quiet_in(zones: Collection[ZoneInfo], hours: QuietHours, at: datetime) -> int:
    return sum(hours.cover(at.astimezone(zone).time()) for zone in zones)


def _end_after(zone: ZoneInfo, hours: QuietHours, now: datetime) -> datetime:
    """Return the next end of the quiet hours in a zone; one that the clocks skip is as much later."""
    local = now.astimezone(zone)
    end = datetime.combine(local.date(), hours.until, zone).astimezone(UTC)
    if end <= now:
        end = datetime.combine(local.date() + _DAY, hours.until, zone).astimezone(UTC)
    return end
