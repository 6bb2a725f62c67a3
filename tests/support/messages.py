"""Messages in a test: accepted as the API would, claimed as a worker would, and read back."""

from collections.abc import Callable
from uuid import UUID

from smsapp.messages import reads
from smsapp.messages.models import Message, MessageEvent
from smsapp.runtime import Runtime
from smsapp.submission import queries as claims
from smsapp.submission.outbound import Outbound

Accept = Callable[..., UUID]
"""The type of the fixture `accept`, which accepts a message and returns its id."""


def stored(rt: Runtime, message_id: UUID) -> Message:
    """Return a message's row, which must be there."""
    with rt.sessions() as session:
        message = reads.get(session, message_id)
    assert message is not None
    return message


def events(rt: Runtime, message_id: UUID) -> list[MessageEvent]:
    """Return a message's history."""
    with rt.sessions() as session:
        return list(reads.history(session, message_id))


def claim(rt: Runtime, limit: int = 100) -> list[Outbound]:
    """Claim what is due, and submit nothing."""
    with rt.sessions.begin() as session:
        return claims.claim_due(session, now=rt.clock(), lease=rt.settings.send_lease, limit=limit)
