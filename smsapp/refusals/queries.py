"""Stored refusals of callbacks. Each function takes a Session; none commits."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from smsapp.db.pages import Page, page_before
from smsapp.ids import new_id
from smsapp.refusals.models import RefusedCallback
from smsapp.refusals.rules import Refusal

MAX_KEPT = 1000
"""Rows. Beyond, those go first of which we know no address that would have passed, the least recent before others."""


def add(session: Session, refusal: Refusal, *, count: int, now: datetime) -> None:
    """Store a refusal that happened `count` times, on the row of those that were alike today."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(RefusedCallback).values(
        id=new_id(),
        fingerprint=refusal.fingerprint(now),
        count=count,
        first_at=now,
        last_at=now,
        **_values(refusal),
    )
    raised = {
        "count": RefusedCallback.count + statement.excluded.count,
        "last_at": statement.excluded.last_at,
    }
    session.execute(
        statement.on_conflict_do_update(index_elements=[RefusedCallback.fingerprint], set_=raised)
    )


def bound(session: Session, *, limit: int = MAX_KEPT) -> None:
    """Remove the least telling rows beyond `limit`."""
    telling = (RefusedCallback.signed_url.is_not(None).desc(), RefusedCallback.last_at.desc())
    excess = select(RefusedCallback.id).order_by(*telling).offset(limit)
    session.execute(delete(RefusedCallback).where(RefusedCallback.id.in_(excess)))


def find(
    session: Session, *, limit: int, before: UUID | None = None, reason: str | None = None
) -> Page[RefusedCallback]:
    """Return refusals, newest first; `before` is the last id of the previous page."""
    query = select(RefusedCallback)
    if reason is not None:
        query = query.where(RefusedCallback.reason == reason)
    return page_before(session, query, RefusedCallback.id, before=before, limit=limit)


def since(session: Session, at: datetime, *, kind: str | None = None) -> Sequence[RefusedCallback]:
    """Return what was refused at or after this time, the most frequent first; only of this kind if one is given."""
    query = select(RefusedCallback).where(RefusedCallback.last_at >= at)
    if kind is not None:
        query = query.where(RefusedCallback.kind == kind)
    return session.scalars(query.order_by(RefusedCallback.count.desc())).all()


def count(session: Session) -> int:
    """Return how many rows are stored."""
    return session.scalar(select(func.count()).select_from(RefusedCallback)) or 0


def forget(session: Session, *, before: datetime) -> int:
    """Remove rows of which nothing came at or after this time; return how many."""
    gone = session.connection().execute(delete(RefusedCallback).where(RefusedCallback.last_at < before))
    return int(gone.rowcount)


def _values(refusal: Refusal) -> dict[str, Any]:
    return {
        "kind": refusal.kind,
        "reason": refusal.reason,
        "path": refusal.path,
        "scheme": refusal.scheme,
        "host": refusal.host,
        "parameters": list(refusal.parameters),
        "account": refusal.account,
        "signed_url": refusal.signed and refusal.signed.url,
        "differs": refusal.signed and list(refusal.signed.differs),
    }
