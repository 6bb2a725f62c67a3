"""The plans of failed messages, and the columns besides the status that a step changes."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Table, select, update
from sqlalchemy.orm import Session

from smsapp.messages.models import Message

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]


def of(session: Session, ids: Sequence[UUID]) -> dict[UUID, tuple[dict[str, Any], int]]:
    """Return the plan document of each message that has one, with the number of segments of its text."""
    query = select(_MESSAGES.c.id, _MESSAGES.c.on_failure, _MESSAGES.c.segments).where(
        _MESSAGES.c.id.in_(ids), _MESSAGES.c.steps_left > 0
    )
    return {row.id: (row.on_failure, row.segments) for row in session.execute(query)}


def readdress(
    session: Session, message_id: UUID, *, sender: str | None, messaging_service_sid: str | None
) -> None:
    """Set the sender of the message's next attempt."""
    session.execute(
        update(_MESSAGES)
        .where(_MESSAGES.c.id == message_id)
        .values(sender=sender, messaging_service_sid=messaging_service_sid)
    )
