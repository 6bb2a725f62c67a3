"""Answers once given to requests with an Idempotency-Key, written in the transaction of the request's effect."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Table, delete, select
from sqlalchemy.orm import Session

from smsapp.db import bulk_writes as bulk
from smsapp.db.models import IdempotencyKey

_KEYS: Table = IdempotencyKey.__table__  # type: ignore[assignment]


Identity = tuple[UUID, str]
"""Whose key it is, and the key."""


@dataclass(frozen=True, slots=True)
class Idempotent:
    """A request that may be repeated: whose it is, the key the caller chose, and what the request said."""

    api_key_id: UUID
    key: str
    request_sha256: str

    @property
    def identity(self) -> Identity:
        """Return what must be unique."""
        return self.api_key_id, self.key


def remember(
    session: Session, answers: Sequence[tuple[Idempotent, dict[str, Any]]], *, now: datetime
) -> set[Identity]:
    """Keep answers and return the identities that were free.

    On PostgreSQL this waits for another transaction that is just using one of the keys, so of concurrent requests
    exactly one proceeds and the others find its answer; all take the keys in the same order, so that none waits for
    one that waits for it.
    """
    rows = [
        {
            "api_key_id": request.api_key_id,
            "key": request.key,
            "request_sha256": request.request_sha256,
            "answer": answer,
            "created_at": now,
        }
        for request, answer in sorted(answers, key=lambda item: item[0].identity)
    ]
    written = bulk.insert_new(session, _KEYS, ("api_key_id", "key"), rows)
    return {(api_key_id, key) for api_key_id, key in written}


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
