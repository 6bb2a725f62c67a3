"""Which pending messages are due, and whether a breaker holds them."""

from datetime import datetime

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Table,
    and_,
    exists,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.orm import Session

from smsapp.breakers import queries as breakers
from smsapp.messages.models import Message
from smsapp.messages.status import Status
from smsapp.queue.lanes import Lane

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]

Time = datetime | BindParameter[datetime]


def due_lanes(session: Session, *, now: datetime) -> list[Lane]:
    """Return the lanes that have a due message which may be submitted now."""
    looks = [
        select(literal(int(lane))).where(exists().where(_MESSAGES.c.lane == lane, is_due(now), is_open(now)))
        for lane in Lane
    ]
    return [Lane(row[0]) for row in session.execute(union_all(*looks))]


def has_due(session: Session, lane: Lane, *, now: datetime) -> bool:
    """Return whether the lane has a due message that may be submitted now."""
    query = select(_MESSAGES.c.id).where(_MESSAGES.c.lane == lane, is_due(now), is_open(now)).limit(1)
    return session.execute(query).first() is not None


def has_pending(session: Session, *, sender: str | None) -> bool:
    """Return whether any message of this sender, or of any, is pending, due or not."""
    query = select(_MESSAGES.c.id).where(_MESSAGES.c.status == Status.PENDING).limit(1)
    if sender is not None:
        query = query.where(_MESSAGES.c.sender_key == sender)
    return session.execute(query).first() is not None


def has_more_due_than(session: Session, limit: int, *, now: datetime) -> bool:
    """Return whether more than `limit` pending messages are due, reading no more rows than necessary."""
    query = select(_MESSAGES.c.id).where(is_due(now)).offset(limit).limit(1)
    return session.execute(query).first() is not None


def count_due(session: Session, *, now: datetime) -> int:
    """Return how many pending messages are due."""
    return session.scalar(select(func.count()).select_from(_MESSAGES).where(is_due(now))) or 0


def oldest_due(session: Session, *, now: datetime) -> datetime | None:
    """Return since when the longest-waiting message has been due, None when no message is due."""
    oldest: datetime | None = session.scalar(select(func.min(_MESSAGES.c.due_at)).where(is_due(now)))
    return oldest


def is_due(now: Time) -> ColumnElement[bool]:
    return and_(_MESSAGES.c.status == Status.PENDING, _MESSAGES.c.due_at <= now)


def is_open(now: Time) -> ColumnElement[bool]:
    """Return the condition that neither the account nor the message's sender is closed to sending."""
    closed = breakers.closed_scopes(now=now)
    return and_(literal(breakers.ACCOUNT).not_in(closed), _MESSAGES.c.sender_key.not_in(closed))
