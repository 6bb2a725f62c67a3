"""How many messages may go out in a day, in all and to each country: a guard against pumping, where bots have codes
sent to numbers that earn by receiving them. What is over a cap waits; it is not dropped.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from smsapp.limits import ALL, Caps
from smsapp.twilio.error_codes import OwnCode


def hold_over(countries: Sequence[str], counted: Mapping[str, int], caps: Caps) -> list[tuple[int, OwnCode]]:
    """Return which of a batch are over a cap, by place, and which cap it is.

    `counted` has each scope's count of the day with the whole batch in it. The first of the batch go first.
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
    """Return the day that caps count for."""
    return now.astimezone(UTC).date().isoformat()


def next_day(now: datetime) -> datetime:
    """Return when the next day begins."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(days=1)
