"""What a key may do. Each route declares the scope that it needs, and `smsapp.web.auth` checks it."""

from collections.abc import Collection, Iterable
from enum import StrEnum


class Scope(StrEnum):
    """A group of operations. None includes another."""

    SEND = "send"  # texts and jobs: sending, starting, stopping, canceling
    READ = "read"  # all that is shown
    MANAGE = "manage"  # templates, subscriptions, suppressions, erasing


ALL = frozenset(Scope)


def written(scopes: Iterable[Scope]) -> str:
    """Return scopes as they are stored: the words in one order, separated by blanks."""
    return " ".join(sorted(scopes))


def parsed(text: str) -> frozenset[Scope]:
    """Return stored scopes; a word of a later version allows nothing here."""
    return frozenset(each for each in Scope if each in text.split())


def missing(needed: Collection[str] | None, held: Collection[str]) -> list[str]:
    """Return the scopes that a route needs and a key does not have, in order."""
    return sorted(set(needed or ()).difference(held))
