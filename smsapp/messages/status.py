"""The delivery status: a pure fold of evidence that no order, repetition or loss of callbacks can corrupt.

Twilio promises no order of callbacks, repeats them, and may send two in the same second
(https://www.twilio.com/docs/messaging/guides/track-outbound-message-status). So a status is never the last report that
arrived but the furthest point that any evidence proves: a maximum over a total order, which is commutative, associative
and idempotent.

`partially_delivered` is in the enumeration of Twilio's API (github.com/twilio/twilio-oai, `message_enum_status`), whose
pages call it deprecated and say no more. It is between `sent` and the final statuses: the carrier has the message and
some of its parts arrived, but a text with parts missing is neither delivered nor known to be lost. So it has no outcome
of its own, is polled on, and ends as `unconfirmed` if nothing better or worse follows.
"""

from enum import StrEnum
from types import MappingProxyType


class Status(StrEnum):
    """Delivery status in order of progress: first our own, then Twilio's."""

    PENDING = "pending"
    SUBMITTING = "submitting"
    UNCONFIRMED = "unconfirmed"  # Twilio's answer was lost; evidence must settle it
    ACCEPTED = "accepted"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    PARTIALLY_DELIVERED = (
        "partially_delivered"  # some of its parts reached the phone; the others are not known of
    )
    CANCELED = "canceled"
    FAILED = "failed"
    UNDELIVERED = "undelivered"
    DELIVERED = "delivered"
    READ = "read"


class Outcome(StrEnum):
    """How a message ended, for the ledger; a message in flight has none yet."""

    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    CANCELED = "canceled"
    UNCONFIRMED = "unconfirmed"


# No two ranks are equal, or the order of arrival would decide between them. Final statuses, where reports contradict
# each other, are ordered by how far the message provably came: delivery overrules every refusal.
_ORDER = (
    Status.PENDING,
    Status.SUBMITTING,
    Status.UNCONFIRMED,
    Status.ACCEPTED,
    Status.SCHEDULED,
    Status.QUEUED,
    Status.SENDING,
    Status.SENT,
    Status.PARTIALLY_DELIVERED,
    Status.CANCELED,
    Status.FAILED,
    Status.UNDELIVERED,
    Status.DELIVERED,
    Status.READ,
)
_RANK = MappingProxyType({status: rank for rank, status in enumerate(_ORDER)})

FINAL = frozenset({Status.CANCELED, Status.FAILED, Status.UNDELIVERED, Status.DELIVERED, Status.READ})
BAD_NEWS = frozenset({Status.FAILED, Status.UNDELIVERED})
GOOD_NEWS = frozenset({Status.DELIVERED, Status.READ})
OURS = frozenset({Status.PENDING, Status.SUBMITTING, Status.UNCONFIRMED})
"""Statuses before Twilio is known to have the message; no report carries them."""

_REPORTABLE = MappingProxyType({str(status): status for status in Status if status not in OURS})
# The place of a status is stored, in `messages.reported`: a new one comes last.
_BITS = (
    Status.ACCEPTED,
    Status.SCHEDULED,
    Status.QUEUED,
    Status.SENDING,
    Status.SENT,
    Status.CANCELED,
    Status.FAILED,
    Status.UNDELIVERED,
    Status.DELIVERED,
    Status.READ,
    Status.PARTIALLY_DELIVERED,
)
_BIT = MappingProxyType({status: 1 << bit for bit, status in enumerate(_BITS)})
_OUTCOMES = MappingProxyType(
    {
        Status.CANCELED: Outcome.CANCELED,
        Status.FAILED: Outcome.FAILED,
        Status.UNDELIVERED: Outcome.UNDELIVERED,
        Status.DELIVERED: Outcome.DELIVERED,
        Status.READ: Outcome.DELIVERED,
    }
)


def parse_status(raw_status: str) -> Status | None:
    """Return Twilio's raw status as a `Status`, or None for one that Twilio added after this was written."""
    return _REPORTABLE.get(raw_status)


def supersedes(reported: Status, current: Status) -> bool:
    """Return whether a report may replace the current status: only ever forward."""
    return _RANK[reported] > _RANK[current]


def outcome_of(status: Status) -> Outcome | None:
    """Return how a message with this status ended, or None while it is in flight."""
    return _OUTCOMES.get(status)


def bit_of(status: Status) -> int:
    """Return the bit that marks a reported status in the set of those already called back."""
    return _BIT[status]
