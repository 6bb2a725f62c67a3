"""Messages that need somebody now: claiming what is due, and counting what waits."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, and_, func, literal, select, update
from sqlalchemy.orm import Session

from smsapp.domain.ids import new_id
from smsapp.domain.outbound import Outbound
from smsapp.domain.status import Status
from smsapp.domain.tracking import Event, Source, Tracked
from smsapp.store import breakers, bulk
from smsapp.store.messages import TRACKED_COLUMNS, event_values, tracked
from smsapp.store.suppressions import is_suppressed
from smsapp.store.tables import Message, MessageEvent

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]
_EVENTS: Table = MessageEvent.__table__  # type: ignore[assignment]


_SENDER_KEY: ColumnElement[str] = func.coalesce(_MESSAGES.c.sender, _MESSAGES.c.messaging_service_sid)


def claim_due(
    session: Session,
    *,
    now: datetime,
    lease: timedelta,
    limit: int,
    probe: str | None = None,
) -> list[Outbound]:
    """Take up to `limit` pending messages that are due for one attempt each, oldest first.

    One conditional UPDATE: of two workers that want the same row, one gets it. The claim ends with the lease; what is
    then still submitting was left by a worker that died. Messages whose sender, or account, is closed at present stay;
    `probe` takes them from that sender alone.
    """
    due = (
        select(_MESSAGES.c.id)
        .where(_is_due(now), _SENDER_KEY == probe if probe else _is_open(now))
        .order_by(_MESSAGES.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        # Not a plain subquery: PostgreSQL may run that once per row, and each run takes `limit` rows more.
        .cte("due")
    )
    rows = session.execute(
        update(_MESSAGES)
        .where(_MESSAGES.c.id.in_(select(due.c.id)), _MESSAGES.c.status == Status.PENDING)
        .values(status=Status.SUBMITTING, version=_MESSAGES.c.version + 1, due_at=now + lease, updated_at=now)
        .returning(
            _MESSAGES.c.id,
            _MESSAGES.c.attempt,
            _MESSAGES.c.version,
            _MESSAGES.c.to,
            _MESSAGES.c.sender,
            _MESSAGES.c.messaging_service_sid,
            _MESSAGES.c.body,
            _MESSAGES.c.media_urls,
            _MESSAGES.c.send_at,
            _MESSAGES.c.deliver_by,
            _MESSAGES.c.created_at,
            _MESSAGES.c.request_id,
            _MESSAGES.c.quiet_hours,
            is_suppressed().label("opted_out"),
        )
    ).all()
    if rows:
        bulk.insert(session, _EVENTS, [_claim_event(row, now) for row in rows])
    return [
        Outbound(
            id=row.id,
            attempt=row.attempt,
            to=row.to,
            sender=row.sender,
            messaging_service_sid=row.messaging_service_sid,
            body=row.body,
            created_at=row.created_at,
            media_urls=row.media_urls,
            send_at=row.send_at,
            deliver_by=row.deliver_by,
            request_id=row.request_id,
            opted_out=row.opted_out,
            quiet_hours=row.quiet_hours,
        )
        for row in rows
    ]


def has_due(session: Session, *, now: datetime) -> bool:
    """Return whether any pending message is due that may be submitted now."""
    query = select(_MESSAGES.c.id).where(_is_due(now), _is_open(now)).limit(1)
    return session.execute(query).first() is not None


def has_pending(session: Session, *, sender: str) -> bool:
    """Return whether any message of this sender waits, due or not."""
    query = select(_MESSAGES.c.id).where(_MESSAGES.c.status == Status.PENDING, _SENDER_KEY == sender).limit(1)
    return session.execute(query).first() is not None


def has_more_due_than(session: Session, limit: int, *, now: datetime) -> bool:
    """Return whether more than so many pending messages are due; looks at no more rows than that."""
    query = select(_MESSAGES.c.id).where(_is_due(now)).offset(limit).limit(1)
    return session.execute(query).first() is not None


def count_due(session: Session, *, now: datetime) -> int:
    """Return how many pending messages are due."""
    return session.scalar(select(func.count()).select_from(_MESSAGES).where(_is_due(now))) or 0


def oldest_due(session: Session, *, now: datetime) -> datetime | None:
    """Return since when the longest-waiting pending message has been due, or None."""
    oldest: datetime | None = session.scalar(select(func.min(_MESSAGES.c.due_at)).where(_is_due(now)))
    return oldest


def expired_claims(session: Session, *, now: datetime, limit: int) -> list[UUID]:
    """Return messages whose lease ended while they were being submitted, oldest first."""
    query = (
        select(_MESSAGES.c.id)
        .where(_MESSAGES.c.status == Status.SUBMITTING, _MESSAGES.c.due_at <= now)
        .order_by(_MESSAGES.c.due_at)
        .limit(limit)
    )
    return list(session.scalars(query))


def waiting_due(session: Session, *, now: datetime, limit: int) -> list[Tracked]:
    """Return messages that Twilio should be asked about now, the longest due first."""
    query = (
        select(*TRACKED_COLUMNS)
        .where(
            _MESSAGES.c.due_at <= now,
            _MESSAGES.c.status != Status.PENDING,
            _MESSAGES.c.status != Status.SUBMITTING,
        )
        .order_by(_MESSAGES.c.due_at)
        .limit(limit)
    )
    return [tracked(row) for row in session.execute(query)]


def _is_due(now: datetime) -> ColumnElement[bool]:
    return and_(_MESSAGES.c.status == Status.PENDING, _MESSAGES.c.due_at <= now)


def _is_open(now: datetime) -> ColumnElement[bool]:
    """Return the condition that neither the account nor the message's sender is closed to sending."""
    closed = breakers.closed_scopes(now=now)
    return and_(literal(breakers.ACCOUNT).not_in(closed), _SENDER_KEY.not_in(closed))


def _claim_event(row: Any, now: datetime) -> dict[str, Any]:
    event = Event(
        source=Source.SYSTEM,
        word=Status.SUBMITTING,
        applied=True,
        reason="claimed",
        attempt=row.attempt,
        error_code=None,
        twilio_sid=None,
        received_at=now,
        receipt_id=new_id(),
    )
    return event_values(row.id, row.version, event)
