"""Read the carrier's time of a delivery receipt.

`RawDlrDoneDate` is `YYMMDDhhmm` on the carrier's clock: whole minutes, no time zone, "in practice, the timezone offset
varies between carrier partners and even within the same carrier"
(https://www.twilio.com/en-us/changelog/addition-of-rawdlrdonedate-to-delivered-and-undelivered-status-webhooks).
What we do know is when it must have happened: after Twilio had the message, and before its report came. The one reading
that fits is taken. Without one, or with several, the carrier's time is unknown.
"""

from datetime import UTC, datetime, timedelta

_PRECISION = timedelta(minutes=1)
_SKEW = timedelta(minutes=5)
"""How far the carrier's clock may be from ours, its minutes cut off included."""

_DIGITS = 10

# The offsets from UTC that are in use, in minutes (IANA's time zone database).
_OFFSETS = tuple(
    timedelta(minutes=minutes)
    for minutes in sorted(
        {hours * 60 for hours in range(-12, 15)}
        | {-570, -210, -150, 210, 270, 330, 345, 390, 525, 570, 630, 765}
    )
    if minutes
)


def carrier_time(raw: str | None, *, since: datetime, until: datetime) -> datetime | None:
    """Return the time of a delivery receipt in UTC, to the minute, or None where it cannot be told.

    It happened between `since` and `until`. UTC is tried first, then every offset that is in use. Anything but ten
    digits that are a time is no time; it never raises.
    """
    local = _parse(raw) if raw else None
    if local is None:
        return None
    earliest, latest = since - _SKEW, until + _SKEW
    if earliest <= local <= latest:
        return local
    fitting = [local - offset for offset in _OFFSETS if earliest <= local - offset <= latest]
    return fitting[0] if len(fitting) == 1 else None


def ended_at(finished_at: datetime | None, carrier_at: datetime | None) -> datetime | None:
    """Return when a message ended: when its final report came, or earlier where the carrier says so.

    Within the carrier's minute our own time is the finer one, and a carrier's clock ahead of ours proves nothing.
    """
    if finished_at is None or carrier_at is None or finished_at < carrier_at + _PRECISION:
        return finished_at
    return carrier_at


def latency_s(
    submitted_at: datetime | None, finished_at: datetime | None, carrier_at: datetime | None
) -> float | None:
    """Return how many seconds a message took from Twilio to its end, at least 0; None while one of both is missing."""
    ended = ended_at(finished_at, carrier_at)
    if submitted_at is None or ended is None:
        return None
    return max(0.0, (ended - submitted_at).total_seconds())


def _parse(raw: str) -> datetime | None:
    """Return the reading as if it were UTC."""
    if len(raw) != _DIGITS or not raw.isascii() or not raw.isdigit():
        return None
    year, month, day, hour, minute = (int(raw[at : at + 2]) for at in range(0, _DIGITS, 2))
    try:
        return datetime(2000 + year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None
