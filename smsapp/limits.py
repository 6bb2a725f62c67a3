"""The configured limits, as plain values: segments per second by sender, messages per day by country."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_TOLLFREE = re.compile(r"\+18(?:00|33|44|55|66|77|88)\d{7}")


_NORTH_AMERICA = re.compile(r"\+1\d{10}")


_SHORT_CODE = re.compile(r"[0-9]{3,8}")


def is_toll_free(number: str) -> bool:
    """Return whether this is a toll-free number of North America."""
    return _TOLLFREE.fullmatch(number) is not None


def default_rate(sender: str) -> float | None:
    """Return the segments per second that Twilio gives a sender of this kind, None where it depends on more than that.

    A ten-digit number of North America has 1 to Canada; to the United States its campaign decides, so set that. A
    Messaging Service has those of its senders.
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
    """The configured paces: named senders have their own, others the default of their kind if `by_kind`, else none."""

    named: Mapping[str, float]
    by_kind: bool = False

    def __bool__(self) -> bool:
        """Whether any sender is paced."""
        return self.by_kind or bool(self.named)

    def rate(self, sender: str) -> float | None:
        """Return a sender's segments per second, None if it is not paced."""
        named = self.named.get(sender)
        return named if named or not self.by_kind else default_rate(sender)


ALL = "all"
"""The scope of the cap on everything."""


_OTHERS = "*"


@dataclass(frozen=True, slots=True)
class Caps:
    """Messages per UTC day: in all, and by country (`*` for each that is not named); None and missing for no cap."""

    daily: int | None = None
    by_country: Mapping[str, int] | None = None

    def __bool__(self) -> bool:
        """Whether anything is capped."""
        return self.daily is not None or bool(self.by_country)

    def of(self, country: str) -> dict[str, int]:
        """Return the caps on a message to this country by scope; the country's own first."""
        caps = self.by_country or {}
        own = caps.get(country, caps.get(_OTHERS))
        found = {} if own is None or not country else {country: own}
        return found if self.daily is None else found | {ALL: self.daily}
