"""Personal data of messages: what is removed from their rows, and which of them still wait for it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Table, case, delete, literal, null, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from smsapp.bulk.models import BulkRow
from smsapp.content.rules import removed
from smsapp.db import bulk_writes as bulk
from smsapp.messages.models import FormerSid, Message, MessageEvent
from smsapp.retention.models import Erasure, RetentionPosition
from smsapp.webhooks.models import WebhookAttempt, WebhookDelivery

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]

ERASED = ""
"""What stands for the number of an erased message; no message is sent to it."""

_FORGOTTEN = {
    "to": ERASED,
    "body": "",
    "media_urls": null(),
    "options": removed(["-"], None),  # says that there was more than the empty text
    "client_reference": None,
    "tags": null(),
    "callback_url": None,
    "request_id": None,
    "on_failure": null(),
    "resends_left": 0,
    "steps_left": 0,
}


def position(session: Session, name: str) -> UUID:
    """Return the id up to which the pass has come."""
    found = session.get(RetentionPosition, name)
    return found.last_id if found else UUID(int=0)


def move(session: Session, name: str, last_id: UUID) -> None:
    """Record that the pass has come up to this id."""
    session.merge(RetentionPosition(name=name, last_id=last_id))


def next_messages(session: Session, *, after: UUID, until: UUID, limit: int) -> Sequence[UUID]:
    """Return the ids of the next messages in the order of age, before `until`."""
    query = select(_MESSAGES.c.id).where(_MESSAGES.c.id > after, _MESSAGES.c.id < until)
    return session.scalars(query.order_by(_MESSAGES.c.id).limit(limit)).all()


def redact_later(session: Session, ids: Sequence[UUID], *, now: datetime) -> None:
    """Let the texts of these messages go as those of sensitive ones do: once no attempt needs them."""
    session.execute(
        update(_MESSAGES)
        .where(_MESSAGES.c.id.in_(ids), _MESSAGES.c.redact_at.is_(None))
        .values(redact_at=now)
    )


def forget_people(session: Session, ids: Sequence[UUID]) -> None:
    """Remove numbers, texts and histories of these messages; what is left are counts, times and Twilio's SIDs."""
    session.execute(delete(MessageEvent).where(MessageEvent.message_id.in_(ids)))
    session.execute(delete(FormerSid).where(FormerSid.message_id.in_(ids)))
    session.execute(update(_MESSAGES).where(_MESSAGES.c.id.in_(ids)).values(_FORGOTTEN))


def erase(session: Session, ids: Sequence[UUID], *, now: datetime) -> None:
    """Remove numbers and texts of these messages from every table; let `retention.redact` remove Twilio's texts.

    The histories stay, without what Twilio and callers wrote into them.
    """
    session.execute(update(MessageEvent).where(MessageEvent.message_id.in_(ids)).values(payload=null()))
    due = literal(now, _MESSAGES.c.redact_at.type)
    at_twilio = case((_MESSAGES.c.redacted_at.is_(None), due), else_=None)
    session.execute(
        update(_MESSAGES).where(_MESSAGES.c.id.in_(ids)).values(_FORGOTTEN | {"redact_at": at_twilio})
    )
    _erase_rows(session, ids)
    of_theirs = select(WebhookDelivery.id).where(WebhookDelivery.message_id.in_(ids))
    session.execute(
        update(WebhookAttempt).where(WebhookAttempt.delivery_id.in_(of_theirs)).values(response=None)
    )
    ended = WebhookDelivery.status != "pending"  # a pending one still needs its address
    session.execute(
        update(WebhookDelivery).where(WebhookDelivery.message_id.in_(ids), ended).values(url=None)
    )
    session.execute(delete(Erasure).where(Erasure.message_id.in_(ids)))


def _erase_rows(session: Session, ids: Sequence[UUID]) -> None:
    """Remove what rows of jobs say of these messages; they are found by their jobs, not by scanning all rows."""
    of_jobs = select(_MESSAGES.c.job_id).where(_MESSAGES.c.id.in_(ids), _MESSAGES.c.job_id.is_not(None))
    jobs = session.scalars(of_jobs.distinct()).all()
    if jobs:
        session.execute(
            update(BulkRow)
            .where(BulkRow.job_id.in_(jobs), BulkRow.message_id.in_(ids))
            .values(to=None, client_reference=None)
        )


def request(session: Session, ids: Sequence[UUID], *, now: datetime) -> None:
    """Ask that these messages be erased once they have an outcome."""
    if not ids:
        return
    dialect = postgresql if bulk.is_postgres(session) else sqlite
    rows = [{"message_id": message_id, "requested_at": now} for message_id in sorted(ids)]
    session.execute(dialect.insert(Erasure).on_conflict_do_nothing(index_elements=["message_id"]), rows)


def requested(session: Session, *, after: UUID, limit: int) -> Sequence[UUID]:
    """Return messages that are to be erased and have an outcome, in the order of their ids."""
    query = (
        select(Erasure.message_id)
        .join(Message, Message.id == Erasure.message_id)
        .where(Erasure.message_id > after, Message.outcome.is_not(None))
    )
    return session.scalars(query.order_by(Erasure.message_id).limit(limit)).all()
