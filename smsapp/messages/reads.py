"""Read messages and their histories, for callers, operators and reconciliation."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Table, or_, select
from sqlalchemy.orm import Session

from smsapp.db.pages import Page, page_after, page_before
from smsapp.keys.ownership import belongs_to
from smsapp.messages.fold import MessageState
from smsapp.messages.models import Message, MessageEvent
from smsapp.messages.queries import STATE_COLUMNS, state_of
from smsapp.recipients.identity import spellings

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]


def get(session: Session, message_id: UUID) -> Message | None:
    """Return the message, whoever sent it, or None."""
    return session.get(Message, message_id, populate_existing=True)


def get_owned(session: Session, message_id: UUID, application_id: UUID) -> Message | None:
    """Return the message, or None when there is none or another application sent it."""
    query = select(Message).where(Message.id == message_id, belongs_to(application_id, Message.api_key_id))
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def find(
    session: Session,
    *,
    limit: int,
    application_id: UUID | None = None,
    before: UUID | None = None,
    status: str | None = None,
    to: str | None = None,
    client_reference: str | None = None,
    job_id: UUID | None = None,
    created_from: datetime | None = None,
    created_until: datetime | None = None,
) -> Page[Message]:
    """Return matching messages, newest first; `before` is the last id of the previous page.

    Without `application_id`, which no caller's query may lack, those of all applications.
    """
    query = select(Message)
    if application_id is not None:
        query = query.where(belongs_to(application_id, Message.api_key_id))
    if created_from is not None:
        query = query.where(Message.created_at >= created_from)
    if created_until is not None:
        query = query.where(Message.created_at < created_until)
    if to is not None:
        query = query.where(Message.to.in_(spellings(to)))
    exact: dict[Any, Any] = {
        Message.status: status,
        Message.client_reference: client_reference,
        Message.job_id: job_id,
    }
    query = query.where(*(column == value for column, value in exact.items() if value is not None))
    return page_before(session, query, Message.id, before=before, limit=limit)


def history(session: Session, message_id: UUID, *, after: int = 0, limit: int = 1000) -> Page[MessageEvent]:
    """Return the message's history entries numbered above `after`, in the order of recording."""
    query = select(MessageEvent).where(MessageEvent.message_id == message_id)
    return page_after(session, query, MessageEvent.seq, after=after, limit=limit)


def histories(session: Session, ids: Sequence[UUID]) -> dict[UUID, list[MessageEvent]]:
    """Return the events of several messages, each history in the order of recording."""
    query = select(MessageEvent).where(MessageEvent.message_id.in_(ids)).order_by(MessageEvent.seq)
    grouped: dict[UUID, list[MessageEvent]] = {}
    for event in session.scalars(query):
        grouped.setdefault(event.message_id, []).append(event)
    return grouped


def page_by_id(session: Session, *, after: UUID | None, limit: int) -> list[MessageState]:
    """Return messages in the order of their ids, starting behind `after`, without those whose history is gone."""
    has_history = select(MessageEvent.seq).where(MessageEvent.message_id == _MESSAGES.c.id).exists()
    kept = or_(_MESSAGES.c.to != "", has_history)
    query = select(*STATE_COLUMNS).where(kept).order_by(_MESSAGES.c.id).limit(limit)
    if after is not None:
        query = query.where(_MESSAGES.c.id > after)
    return [state_of(row) for row in session.execute(query)]
