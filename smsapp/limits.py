"""The configured limits, as plain values: segments per second by sender, messages per day by country."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_TOLLFREE = re.compile(r"\+18(?:00|33|44|55|66|77|88)\d{7}")


_NORTH_AMERICA = re.compile(r"\+1\d{10}")


_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_CAPPED = re.compile(r"[A-Z]{2}|\+\d{3}|\*")
BY_KIND = "auto"
"""Stands among paces for those of each kind of sender."""


def is_toll_free(number: str) -> bool:
    """Return whether this is a North American toll-free number."""
    return _TOLLFREE.fullmatch(number) is not None


def default_rate(sender: str) -> float | None:
    """Return Twilio's segments per second for this kind of sender, None where that depends on more than the kind.

    A ten-digit North American number has 1 to Canada; to the United States its campaign decides, so configure that. A
    Messaging Service has the rates of its senders.
    """
    if sender.startswith(("MG", "whatsapp:")):
        return None
    if is_toll_free(sender):
        return 3.0
    if _NORTH_AMERICA.fullmatch(sender):
        return 1.0
    return 100.0 if _SHORT_CODE.fullmatch(sender) else 10.0


@dataclass(frozen=True, slots=True)
class Paces:
    """The configured paces: named senders have their own, others their kind's default if `by_kind`, else none."""

    named: Mapping[str, float]
    by_kind: bool = False

    def __bool__(self) -> bool:
        """Whether any sender is paced."""
        return self.by_kind or bool(self.named)

    def rate(self, sender: str) -> float | None:
        """Return a sender's segments per second, None if the sender is not paced."""
        named = self.named.get(sender)
        return named if named or not self.by_kind else default_rate(sender)


ALL = "all"
"""The scope of the cap on all messages."""


_OTHERS = "*"


@dataclass(frozen=True, slots=True)
class Caps:
    """Messages per UTC day, in total and by country (`*` for each that is not named); None or missing means no cap."""

    daily: int | None = None
    by_country: Mapping[str, int] | None = None

    def __bool__(self) -> bool:
        """Whether anything is capped."""
        return self.daily is not None or bool(self.by_country)

    def of(self, country: str) -> dict[str, int]:
        """Return the caps on a message to this country by scope, the country's own first."""
        caps = self.by_country or {}
        own = caps.get(country, caps.get(_OTHERS))
        found = {} if own is None or not country else {country: own}
        return found if self.daily is None else found | {ALL: self.daily}


def parse_paces(value: object) -> object:
    """Read `auto,+15005550006=10,MG…=40`; `auto` is stored as a sender without a pace."""
    if not isinstance(value, str):
        return value
    paces = {}
    for part in split_list(value):
        name, equals, rate = part.rpartition("=")
        if part == BY_KIND:
            paces[part] = "0"
        elif equals:
            paces[name.strip()] = rate.strip()
        else:
            raise ValueError("must be `auto`, or senders with their pace such as +15005550006=10, or both")
    return paces


def parse_caps(value: object) -> object:
    """Read `US=10000,+883=0,*=500`."""
    if not isinstance(value, str):
        return value
    caps = {}
    for part in split_list(value):
        country, _, cap = (piece.strip() for piece in part.partition("="))
        if not _CAPPED.fullmatch(country) or not cap.isdecimal():
            raise ValueError("must be messages per day by country such as US=10000,+883=0,*=500")
        caps[country] = int(cap)
    return caps


def split_list(value: str) -> list[str]:
    """Return the parts of a setting that is a list."""
    return [part.strip() for part in value.split(",") if part.strip()]
