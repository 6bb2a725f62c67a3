"""Read the outbox as one feed: the events, and the rows from which payloads are rendered."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Column, ColumnElement, Row, Select, Text, and_, delete, func, literal, select
from sqlalchemy.orm import Session

from smsapp.db import bulk_writes as bulk
from smsapp.events.audience import is_for
from smsapp.events.models import OutboxEvent, OutboxHead
from smsapp.events.types import EventType
from smsapp.inbound.models import InboundMessage
from smsapp.messages.models import Message, MessageEvent


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """The history entry that an event reports. `sender` is the one that Twilio named in it."""

    status: str
    reason: str | None
    attempt: int | None
    error_code: int | None
    twilio_sid: str | None
    source: str
    sender: str | None
    carrier_at: datetime | None


@dataclass(frozen=True, slots=True)
class MessageSummary:
    """The fields of a message that its events include: those that never change."""

    to: str
    client_reference: str | None
    tags: list[str] | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class InboundText:
    """An inbound text."""

    twilio_sid: str
    sender: str
    to: str
    messaging_service_sid: str | None
    body: str
    opt_out_type: str | None


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One event of the outbox with the rows that it refers to; None for rows that never existed or were removed."""

    seq: int
    id: UUID
    type: str
    occurred_at: datetime
    message_id: UUID | None
    data: dict[str, Any] | None
    entry: HistoryEntry | None
    message: MessageSummary | None
    received: InboundText | None


_SEQ: Column[int] = OutboxEvent.__table__.c.seq  # type: ignore[assignment]
_OWN = (
    OutboxEvent.seq,
    OutboxEvent.id,
    OutboxEvent.type,
    OutboxEvent.occurred_at,
    OutboxEvent.message_id,
    OutboxEvent.data,
)
_ENTRY = (
    MessageEvent.status,
    MessageEvent.reason,
    MessageEvent.attempt,
    MessageEvent.error_code,
    MessageEvent.twilio_sid,
    MessageEvent.source,
    MessageEvent.payload["From"].as_string().label("sender"),
    MessageEvent.carrier_at,
)
_SUMMARY = (Message.to, Message.client_reference, Message.tags, Message.created_at)
_RECEIVED = (
    InboundMessage.twilio_sid,
    InboundMessage.sender,
    InboundMessage.to,
    InboundMessage.messaging_service_sid,
    InboundMessage.body,
    InboundMessage.opt_out_type,
)


def latest(session: Session) -> int:
    """Return the number of the last event, 0 before the first."""
    return session.scalars(select(OutboxHead.seq)).one()


def oldest(session: Session) -> int | None:
    """Return the number of the oldest stored event, None without any."""
    return session.scalar(select(func.min(OutboxEvent.seq)))


def between(
    session: Session,
    application_id: UUID,
    *,
    after: int,
    until: int,
    limit: int,
    types: Collection[str] | None = None,
    tags: Collection[str] | None = None,
) -> list[FeedEvent]:
    """Return up to `limit` events for an application with numbers above `after` and up to `until`, in order.

    Only events of these types, about messages with at least one of these tags; None for any.
    """
    query = _joined().where(OutboxEvent.seq > after, OutboxEvent.seq <= until, is_for(application_id))
    if types is not None:
        query = query.where(OutboxEvent.type.in_(types))
    if tags is not None:
        query = query.where(_has_any(session, tags))
    return [_feed_event(row) for row in session.execute(query.limit(limit))]


def numbered(session: Session, seqs: Sequence[int]) -> list[FeedEvent]:
    """Return the events with these numbers that are still stored, in order."""
    chosen = bulk.among(session, _SEQ, seqs)
    return [_feed_event(row) for row in session.execute(_joined().where(chosen))]


def forget(session: Session, *, before: datetime, limit: int) -> int:
    """Remove the oldest events, up to the first one written since `before`, at most `limit`; return how many.

    It always removes from the beginning, so the stored events have no gap.
    """
    first = select(OutboxEvent.seq, OutboxEvent.written_at).order_by(OutboxEvent.seq).limit(limit).subquery()
    young = select(func.min(first.c.seq)).where(first.c.written_at >= before).scalar_subquery()
    end = func.coalesce(young, select(func.max(first.c.seq) + 1).scalar_subquery())
    border = session.scalar(select(end))
    if border is None:
        return 0
    return session.connection().execute(delete(OutboxEvent).where(OutboxEvent.seq < border)).rowcount


def oldest_written_at(session: Session) -> datetime | None:
    """Return when the oldest stored event was written, None without any."""
    return session.scalar(select(OutboxEvent.written_at).order_by(OutboxEvent.seq).limit(1))


def _joined() -> Select[Any]:
    received = and_(
        OutboxEvent.type == EventType.MESSAGE_RECEIVED, InboundMessage.id == OutboxEvent.message_id
    )
    return (
        select(*_OWN, *_ENTRY, *_SUMMARY, *_RECEIVED)
        .outerjoin(
            MessageEvent,
            and_(
                MessageEvent.message_id == OutboxEvent.message_id, MessageEvent.seq == OutboxEvent.event_seq
            ),
        )
        .outerjoin(Message, Message.id == OutboxEvent.message_id)
        .outerjoin(InboundMessage, received)
        .order_by(OutboxEvent.seq)
    )


def _feed_event(row: Row[Any]) -> FeedEvent:
    entry_at, summary_at = len(_OWN), len(_OWN) + len(_ENTRY)
    received_at = summary_at + len(_SUMMARY)
    entry, summary, received = row[entry_at:summary_at], row[summary_at:received_at], row[received_at:]
    parts: list[Any] = [
        *row[:entry_at],
        HistoryEntry(*entry) if entry[0] is not None else None,
        MessageSummary(*summary) if summary[0] is not None else None,
        InboundText(*received) if received[0] is not None else None,
    ]
    return FeedEvent(*parts)


def _has_any(session: Session, tags: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that the message has one of these tags."""
    if bulk.is_postgres(session):
        return func.jsonb_exists_any(Message.tags, literal(list(tags), ARRAY(Text)))
    each = func.json_each(Message.tags).table_valued("value")
    return select(each.c.value).where(each.c.value.in_(tags)).exists()
