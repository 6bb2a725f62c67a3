"""Count messages by outcome."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import and_, case, func, literal, not_, or_, select
from sqlalchemy.orm import Session

from smsapp.breakers import queries as breakers
from smsapp.messages.models import Message
from smsapp.messages.status import FINAL, Outcome, Status, outcome_of

_LIMIT = 1000
OVERDUE = timedelta(hours=24)
"""A message that has been due for this long is stuck: nothing processes it."""


def count(session: Session) -> tuple[int, dict[str, int]]:
    """Return how many messages there are, and how many by outcome (`in_flight` for those without).

    One statement does both: messages accepted between two statements would look like an imbalance.
    """
    query = select(func.coalesce(Message.outcome, "in_flight"), func.count()).group_by(Message.outcome)
    by_outcome = dict(session.execute(query).all())
    return sum(by_outcome.values()), by_outcome


def stuck(session: Session, *, now: datetime) -> Sequence[UUID]:
    """Return messages in flight that nothing will process again, and those whose outcome contradicts their status.

    A message that waits for a parked sender or account is not stuck: probes will release it.
    """
    closed = breakers.closed_scopes(now=now)
    sender = func.coalesce(Message.sender, Message.messaging_service_sid)
    parked = and_(
        Message.status == Status.PENDING, or_(literal(breakers.ACCOUNT).in_(closed), sender.in_(closed))
    )
    overdue = and_(Message.due_at < now - OVERDUE, not_(parked))
    unattended = and_(Message.outcome.is_(None), or_(Message.due_at.is_(None), overdue))
    told = case({status: outcome_of(status) for status in FINAL}, value=Message.status)
    belied = or_(
        and_(told.is_not(None), func.coalesce(Message.outcome, "") != told),
        and_(told.is_(None), Message.outcome != Outcome.UNCONFIRMED),
    )
    return session.scalars(
        select(Message.id).where(or_(unattended, belied)).order_by(Message.id).limit(_LIMIT)
    ).all()
