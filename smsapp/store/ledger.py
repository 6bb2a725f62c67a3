"""Counting messages by how they ended."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from smsapp.domain.status import FINAL
from smsapp.store.tables import Message

_LIMIT = 1000
OVERDUE = timedelta(hours=24)
"""A message that was due so long ago is one that nobody looks at."""


def count(session: Session) -> tuple[int, dict[str, int]]:
    """Return how many messages there are, and how many by outcome (`in_flight` for those without)."""
    query = select(func.coalesce(Message.outcome, "in_flight"), func.count()).group_by(Message.outcome)
    by_outcome = dict(session.execute(query).all())
    return session.scalar(select(func.count()).select_from(Message)) or 0, by_outcome


def astray(session: Session, *, now: datetime) -> Sequence[UUID]:
    """Return messages under way that nobody will look at again, and those whose outcome belies their status."""
    unattended = and_(
        Message.outcome.is_(None), or_(Message.due_at.is_(None), Message.due_at < now - OVERDUE)
    )
    belied = and_(Message.status.in_(FINAL), Message.outcome.is_(None))
    return session.scalars(
        select(Message.id).where(or_(unattended, belied)).order_by(Message.id).limit(_LIMIT)
    ).all()
