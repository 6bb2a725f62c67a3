"""Answers once given to requests with an Idempotency-Key, written in the transaction of the request's effect."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from smsapp.store.tables import IdempotencyKey


@dataclass(frozen=True, slots=True)
class Idempotent:
    """A request that may be repeated: whose it is, the key the caller chose, and what the request said."""

    api_key_id: UUID
    key: str
    request_sha256: str


def remember(session: Session, request: Idempotent, answer: dict[str, Any], *, now: datetime) -> bool:
    """Keep the answer; return False when the key is taken.

    On PostgreSQL this waits for another transaction that is just using the key, so of concurrent requests exactly one
    proceeds and the others find its answer.
    """
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    written = session.connection().execute(
        dialect.insert(IdempotencyKey)
        .values(
            api_key_id=request.api_key_id,
            key=request.key,
            request_sha256=request.request_sha256,
            answer=answer,
            created_at=now,
        )
        .on_conflict_do_nothing()
    )
    return bool(written.rowcount)


def recall(session: Session, request: Idempotent) -> IdempotencyKey | None:
    """Return what was kept under the request's key."""
    return session.get(IdempotencyKey, (request.api_key_id, request.key))


def forget(session: Session, *, before: datetime) -> int:
    """Remove answers older than that; return how many there were."""
    statement = delete(IdempotencyKey).where(IdempotencyKey.created_at < before)
    return int(session.connection().execute(statement).rowcount)


def oldest(session: Session) -> datetime | None:
    """Return when the oldest kept answer was given."""
    return session.scalar(select(IdempotencyKey.created_at).order_by(IdempotencyKey.created_at).limit(1))
