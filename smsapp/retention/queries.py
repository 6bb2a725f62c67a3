"""Sensitive messages whose bodies must be removed, here and at Twilio."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Table, and_, bindparam, select, text, update
from sqlalchemy.orm import Session

from smsapp.content.rules import is_removed, removed
from smsapp.messages.models import HANDED_OVER_AND_SENSITIVE, FormerSid, Message

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]


def due(session: Session, *, now: datetime, limit: int) -> Sequence[UUID]:
    """Return submitted sensitive messages whose removal is due, the longest due first."""
    query = (
        select(_MESSAGES.c.id)
        .where(and_(_MESSAGES.c.redact_at <= now, text(HANDED_OVER_AND_SENSITIVE)))
        .order_by(_MESSAGES.c.redact_at)
        .limit(limit)
    )
    return session.scalars(query).all()


def empty(session: Session, ids: Sequence[UUID]) -> int:
    """Empty these messages' bodies and remove the variables of their Content templates, once; return of how many."""
    columns = (_MESSAGES.c.id, _MESSAGES.c.body, _MESSAGES.c.media_urls, _MESSAGES.c.options)
    found = session.execute(select(*columns).where(_MESSAGES.c.id.in_(ids))).all() if ids else ()
    rows = [
        {"b_id": row.id, "b_options": removed(row.media_urls, row.options)}
        for row in found
        if not is_removed(row.body, row.media_urls, row.options)
    ]
    if rows:
        statement = update(_MESSAGES).where(_MESSAGES.c.id == bindparam("b_id"))
        session.connection().execute(statement.values(body="", options=bindparam("b_options")), rows)
    return len(rows)


def sids(session: Session, current: Mapping[UUID, str | None]) -> dict[str, UUID]:
    """Return every copy that Twilio has or had of these messages: a map from SID to message."""
    former = select(FormerSid.twilio_sid, FormerSid.message_id).where(FormerSid.message_id.in_(current))
    found = {row.twilio_sid: row.message_id for row in session.execute(former)}
    return found | {sid: message_id for message_id, sid in current.items() if sid}


def finish(session: Session, ids: Sequence[UUID], *, now: datetime) -> None:
    """Mark these messages' bodies as removed everywhere."""
    if ids:
        session.execute(
            update(_MESSAGES).where(_MESSAGES.c.id.in_(ids)).values(redact_at=None, redacted_at=now)
        )


def postpone(session: Session, times: Mapping[UUID, datetime]) -> None:
    """Postpone these messages' removal to the given times."""
    if times:
        statement = update(_MESSAGES).where(_MESSAGES.c.id == bindparam("b_id"))
        rows = [{"b_id": message_id, "redact_at": at} for message_id, at in times.items()]
        session.connection().execute(statement.values(redact_at=bindparam("redact_at")), rows)
