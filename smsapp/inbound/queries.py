"""Texts that people sent to us."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from smsapp.db import bulk_writes as bulk
from smsapp.db.pages import Page, page_before
from smsapp.inbound.models import ForgottenText, InboundMessage
from smsapp.inbound.rules import InboundText
from smsapp.recipients.identity import spellings
from smsapp.twilio.callback import Callback

_FORGOTTEN: Table = ForgottenText.__table__  # type: ignore[assignment]


def add(session: Session, message: InboundText, *, receipt: Callback) -> bool:
    """Store an inbound text; return False if its SID is there already: Twilio may deliver it twice."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    stored = session.execute(
        dialect.insert(InboundMessage)
        .values(
            id=receipt.receipt_id,
            twilio_sid=message.twilio_sid,
            sender=message.sender,
            to=message.to,
            messaging_service_sid=message.messaging_service_sid,
            body=message.body,
            opt_out_type=message.opt_out_type,
            payload=message.payload,
            received_at=receipt.received_at,
        )
        .on_conflict_do_nothing(index_elements=[InboundMessage.twilio_sid])
        .returning(InboundMessage.id)
    ).first()
    return stored is not None


def forgotten(session: Session, sids: Sequence[str]) -> set[str]:
    """Return which of these SIDs are of texts that came before and are not kept any more.

    Whoever has seen a request of Twilio's can repeat it with its signature, which does not expire: an old START must
    not undo a later STOP.
    """
    if not sids:
        return set()
    return set(session.scalars(select(ForgottenText.twilio_sid).where(ForgottenText.twilio_sid.in_(sids))))


def get(session: Session, text_id: UUID) -> InboundMessage | None:
    """Return the text, or None."""
    return session.get(InboundMessage, text_id)


def find(
    session: Session,
    *,
    limit: int,
    before: UUID | None = None,
    sender: str | None = None,
    to: str | None = None,
    messaging_service_sid: str | None = None,
    received_from: datetime | None = None,
    received_until: datetime | None = None,
) -> Page[InboundMessage]:
    """Return texts that match, newest first; `before` is the last id of the previous page."""
    query = select(InboundMessage)
    if received_from is not None:
        query = query.where(InboundMessage.received_at >= received_from)
    if received_until is not None:
        query = query.where(InboundMessage.received_at < received_until)
    if sender is not None:
        query = query.where(InboundMessage.sender.in_({sender, *spellings(sender)}))
    exact = {
        InboundMessage.to: to,
        InboundMessage.messaging_service_sid: messaging_service_sid,
    }
    query = query.where(*(column == value for column, value in exact.items() if value is not None))
    return page_before(session, query, InboundMessage.id, before=before, limit=limit)


def oldest(session: Session) -> datetime | None:
    """Return when the oldest stored text arrived, or None without any."""
    return session.scalar(select(InboundMessage.received_at).order_by(InboundMessage.id).limit(1))


def forget(session: Session, *, before: datetime, limit: int) -> int:
    """Remove texts that arrived before this time, oldest first, at most `limit`, but not their SIDs; return how many.

    Ids are in order of arrival, so the oldest are found without an index on the time.
    """
    oldest = (
        select(InboundMessage.id, InboundMessage.received_at)
        .order_by(InboundMessage.id)
        .limit(limit)
        .subquery()
    )
    old = select(oldest.c.id).where(oldest.c.received_at < before)
    return remove(session, InboundMessage.id.in_(old))


def remove(session: Session, condition: ColumnElement[bool]) -> int:
    """Remove the texts that meet this condition, but not their SIDs; return how many."""
    query = delete(InboundMessage).where(condition).returning(InboundMessage.twilio_sid)
    gone = session.scalars(query).all()
    bulk.insert_new(session, _FORGOTTEN, ("twilio_sid",), [{"twilio_sid": sid} for sid in gone])
    return len(gone)
