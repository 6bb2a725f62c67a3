"""Callbacks and jobs that could not be processed, with the cause."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from smsapp.callbacks.models import DeadLetter


def add(session: Session, *, id: UUID, kind: str, payload: dict[str, Any], cause: str, now: datetime) -> None:  # noqa: A002 - the column's name
    """Store a dead letter."""
    session.add(DeadLetter(id=id, kind=kind, payload=payload, cause=cause, created_at=now))


def waiting(
    session: Session, *, limit: int, only: Sequence[UUID] = (), after: UUID | None = None
) -> Sequence[DeadLetter]:
    """Return dead letters not replayed yet, oldest first; `only` these when given, and only those `after` this id."""
    query = select(DeadLetter).where(DeadLetter.replayed_at.is_(None)).order_by(DeadLetter.id).limit(limit)
    if only:
        query = query.where(DeadLetter.id.in_(only))
    if after:
        query = query.where(DeadLetter.id > after)
    return session.scalars(query).all()


def among(session: Session, ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the ids whose dead letters are not replayed yet."""
    query = select(DeadLetter.id).where(DeadLetter.id.in_(ids), DeadLetter.replayed_at.is_(None))
    return set(session.scalars(query))


def get(session: Session, letter_id: UUID) -> DeadLetter | None:
    """Return a dead letter, whether it waits or not, or None."""
    return session.get(DeadLetter, letter_id)


def count(session: Session) -> int:
    """Return how many are not replayed yet."""
    return (
        session.scalar(select(func.count()).select_from(DeadLetter).where(DeadLetter.replayed_at.is_(None)))
        or 0
    )


def any_before(session: Session, letter_id: UUID) -> bool:
    """Return whether there is a dead letter with a smaller id."""
    return session.scalar(select(DeadLetter.id).where(DeadLetter.id < letter_id).limit(1)) is not None


def forget(session: Session, *, before: UUID, limit: int) -> tuple[int, int]:
    """Remove dead letters with smaller ids, oldest first; return how many, and how many of them still waited."""
    query = select(DeadLetter.id, DeadLetter.replayed_at).where(DeadLetter.id < before)
    found = session.execute(query.order_by(DeadLetter.id).limit(limit)).all()
    session.execute(delete(DeadLetter).where(DeadLetter.id.in_([row.id for row in found])))
    return len(found), sum(row.replayed_at is None for row in found)


def mark_replayed(session: Session, letter_id: UUID, *, now: datetime) -> None:
    """Mark a dead letter as processed, or as one that never will be: it stays as evidence."""
    session.execute(update(DeadLetter).where(DeadLetter.id == letter_id).values(replayed_at=now))
