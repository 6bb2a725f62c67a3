"""The chain: a digest covers its entry and the digest before it, so no entry can change, go or come unseen."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

GENESIS = "0" * 64
"""What stands for the digest before the first entry."""


class Act(StrEnum):
    """What was done."""

    APPLICATION_CREATED = "application.created"
    KEY_CREATED = "key.created"
    KEY_CHANGED = "key.changed"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    SUBSCRIPTION_CREATED = "subscription.created"
    SUBSCRIPTION_CHANGED = "subscription.changed"
    SUBSCRIPTION_DELETED = "subscription.deleted"
    SECRET_ROTATED = "subscription.secret_rotated"  # noqa: S105 - an act
    EVENTS_RECOVERED = "subscription.events_recovered"
    DELIVERY_RESENT = "delivery.resent"
    DEAD_LETTER_SHOWN = "dead_letter.shown"
    DEAD_LETTER_REPLAYED = "dead_letter.replayed"
    DEAD_LETTER_CLOSED = "dead_letter.closed"
    HELD_RELEASED = "held.released"
    BREAKER_RELEASED = "breaker.released"
    UNCONFIRMED_DECIDED = "unconfirmed.decided"
    SUPPRESSION_ADDED = "suppression.added"
    SUPPRESSION_LIFTED = "suppression.lifted"
    MESSAGE_ERASED = "message.erased"
    PERSON_ERASED = "person.erased"
    PERSON_EXPORTED = "person.exported"


@dataclass(frozen=True, slots=True)
class Entry:
    """One act. `subject` is an id, never a number; `details` are names and counts, never texts, numbers or secrets."""

    seq: int
    at: datetime
    who: str
    act: str
    subject: str | None
    address: str | None
    request_id: str | None
    details: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Link:
    """An entry as it is stored, with its digest."""

    entry: Entry
    digest: str


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry's number and digest, or 0 and `GENESIS`. Kept elsewhere, it proves the chain up to it."""

    seq: int
    digest: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.digest}"


def digest_of(entry: Entry, before: str) -> str:
    """Return the digest of an entry that follows the entry with the digest `before`."""
    values = [before, *astuple(entry)]
    values[2] = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def faults(links: Iterable[Link], head: Head, *, known: Head | None = None) -> Iterator[str]:
    """Yield what is wrong with the chain, entry by entry; nothing if it is whole.

    `head` is what the database says of the last entry. `known` is a head that was exported before.
    """
    last = Head(0, GENESIS)
    proved = known is None or known == last
    for link in links:
        seq = link.entry.seq
        if seq != last.seq + 1:
            yield f"between {last.seq} and {seq}: {seq - last.seq - 1} entries are missing"
        elif link.digest != digest_of(link.entry, last.digest):
            yield f"{seq}: the entry was changed, or another stood before it"
        last = Head(seq, link.digest)
        if known and seq == known.seq:
            proved = last == known
    if last != head:
        yield f"the end: {head.seq} entries were written, the last one stored is {last.seq}"
    if known and not proved:
        yield f"{known.seq}: the entry is not the one whose digest was exported"
