"""Messages whose deadline is still to be processed; each is processed once."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from smsapp.messages.models import Message


def passed(session: Session, *, now: datetime, limit: int) -> Sequence[UUID]:
    """Return messages whose deadline has passed and was not processed yet, the earliest first."""
    query = select(Message.id).where(Message.deadline_at <= now).order_by(Message.deadline_at).limit(limit)
    return session.scalars(query).all()


def close(session: Session, ids: Sequence[UUID]) -> None:
    """Mark the deadlines of these messages as processed."""
    session.execute(
        update(Message)
        .where(Message.id.in_(ids))
        .values(deadline_at=None)
        .execution_options(synchronize_session=False)
    )
