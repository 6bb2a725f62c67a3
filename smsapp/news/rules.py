"""What is said on the news channel, and how: ids of messages and numbers of events, no personal data."""

from collections.abc import Collection, Set
from dataclasses import dataclass, field
from uuid import UUID

import orjson

_MAX_OUTCOMES = 5_000
"""A bulletin with more ids (180 KB) is replaced by the advice to look: one query is cheaper than reading them."""


@dataclass(frozen=True, slots=True)
class Bulletin:
    """What a process publishes.

    Attributes:
        outcomes: the messages, as 32 hexadecimal digits, that have an outcome.
        position: the number of the last event that was committed.
        reached: how far the feed reaches in all, as somebody read in the database.
        missed: an earlier bulletin was not published, so whoever waits must look for himself.
    """

    outcomes: Set[str] = field(default_factory=frozenset)
    position: int | None = None
    reached: int | None = None
    missed: bool = False

    def with_later(self, later: "Bulletin") -> "Bulletin":
        """Return both as one bulletin."""
        outcomes = self.outcomes | later.outcomes
        many = len(outcomes) > _MAX_OUTCOMES
        return Bulletin(
            frozenset() if many else outcomes,
            _larger(self.position, later.position),
            _larger(self.reached, later.reached),
            many or self.missed or later.missed,
        )


def encode(bulletin: Bulletin) -> bytes:
    """Return a bulletin as JSON; what it does not say is left out."""
    document: dict[str, object] = {}
    if bulletin.outcomes:
        document["outcomes"] = list(bulletin.outcomes)
    if bulletin.position is not None:
        document["position"] = bulletin.position
    if bulletin.reached is not None:
        document["reached"] = bulletin.reached
    if bulletin.missed:
        document["missed"] = True
    return orjson.dumps(document)


def decode(payload: bytes) -> Bulletin:
    """Return the bulletin of a payload; one that cannot be read says that something was missed."""
    try:
        document = orjson.loads(payload)
        return Bulletin(
            frozenset(map(str, document.get("outcomes", ()))),
            _number(document.get("position")),
            _number(document.get("reached")),
            bool(document.get("missed")),
        )
    except (ValueError, TypeError, AttributeError):
        return Bulletin(missed=True)


def names_of(ids: Collection[UUID]) -> Set[str]:
    """Return the names of messages in a bulletin."""
    return frozenset([each.hex for each in ids])


def _larger(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)


def _number(value: object) -> int | None:
    return None if value is None else int(str(value))
