"""Daily caps on messages, in total and to each country: a guard against SMS pumping.

In pumping, bots request codes for numbers that earn money by receiving them. A message over a cap waits; it is not
dropped.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from smsapp.limits import ALL, Caps
from smsapp.twilio.error_codes import OwnCode


def hold_over(countries: Sequence[str], counted: Mapping[str, int], caps: Caps) -> list[tuple[int, OwnCode]]:
    """Return which messages of a batch are over a cap, by index, and which cap that is.

    `counted` has each scope's count of the day, including the whole batch. Earlier messages of the batch take
    precedence.
    """
    scopes = [caps.of(country) for country in countries]
    used = dict(counted)
    for each in scopes:
        for scope in each:
            used[scope] -= 1
    held = []
    for place, each in enumerate(scopes):
        full = next((scope for scope, cap in each.items() if used[scope] >= cap), None)
        if full is not None:
            held.append((place, OwnCode.DAILY_CAP if full == ALL else OwnCode.COUNTRY_CAP))
            continue
        for scope in each:
            used[scope] += 1
    return held


def day_of(now: datetime) -> str:
    """Return the UTC day to which the caps apply."""
    return now.astimezone(UTC).date().isoformat()


def next_day(now: datetime) -> datetime:
    """Return when the next day begins."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(days=1)
