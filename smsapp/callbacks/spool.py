"""Verified callbacks that wait in the database: Redis could not take them, or their message is not known (yet)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from smsapp.callbacks.models import SpooledCallback
from smsapp.messages.models import FormerSid, Message
from smsapp.twilio.callback import Callback

REDIS_UNAVAILABLE = "redis_unavailable"
UNKNOWN_MESSAGE = "unknown_message"


def add(session: Session, callback: Callback, *, reason: str, twilio_sid: str | None = None) -> None:
    """Store a callback; a no-op if it is here already."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    session.execute(
        dialect.insert(SpooledCallback)
        .values(
            receipt_id=callback.receipt_id,
            kind=callback.kind,
            target=callback.target,
            twilio_sid=twilio_sid,
            body=callback.body.replace("\x00", "%00"),
            idempotency_token=callback.idempotency_token,
            received_at=callback.received_at,
            reason=reason,
        )
        .on_conflict_do_nothing(index_elements=[SpooledCallback.receipt_id])
    )


def ready(session: Session, *, limit: int, orphans_since: datetime) -> Sequence[SpooledCallback]:
    """Return entries that can be processed now: those that Redis missed, and orphans whose message has appeared."""
    appeared = or_(
        select(Message.id).where(Message.twilio_sid == SpooledCallback.twilio_sid).exists(),
        select(FormerSid.twilio_sid).where(FormerSid.twilio_sid == SpooledCallback.twilio_sid).exists(),
    )
    query = select(SpooledCallback).where(
        or_(
            SpooledCallback.reason == REDIS_UNAVAILABLE,
            and_(
                SpooledCallback.reason == UNKNOWN_MESSAGE,
                SpooledCallback.received_at >= orphans_since,
                appeared,
            ),
        )
    )
    return session.scalars(
        query.order_by(SpooledCallback.receipt_id).limit(limit).with_for_update(skip_locked=True)
    ).all()


def forget_orphans(session: Session, *, before: datetime, limit: int) -> int:
    """Remove callbacks about unknown messages that came before this time, at most `limit`; return how many.

    Ids are in order of arrival, so the oldest are found without an index on the time.
    """
    oldest = (
        select(SpooledCallback.receipt_id, SpooledCallback.received_at)
        .where(SpooledCallback.reason == UNKNOWN_MESSAGE)
        .order_by(SpooledCallback.receipt_id)
        .limit(limit)
        .subquery()
    )
    old = select(oldest.c.receipt_id).where(oldest.c.received_at < before)
    removed = session.connection().execute(delete(SpooledCallback).where(SpooledCallback.receipt_id.in_(old)))
    return int(removed.rowcount)


def remove(session: Session, receipt_ids: Sequence[UUID]) -> None:
    """Delete entries that were processed in this transaction."""
    session.execute(delete(SpooledCallback).where(SpooledCallback.receipt_id.in_(receipt_ids)))


def as_callback(entry: SpooledCallback) -> Callback:
    """Return the callback as it came."""
    return Callback(
        receipt_id=entry.receipt_id,
        kind="inbound" if entry.kind == "inbound" else "status",
        target=entry.target,
        body=entry.body,
        idempotency_token=entry.idempotency_token,
        received_at=entry.received_at,
    )


def count(session: Session) -> dict[str, int]:
    """Return how many callbacks wait, by reason."""
    query = select(SpooledCallback.reason, func.count()).group_by(SpooledCallback.reason)
    return dict(session.execute(query).all())
