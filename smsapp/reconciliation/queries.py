"""Find the messages to ask Twilio about: those that wait for a report, and those whose create response was lost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    Table,
    and_,
    func,
    select,
    union_all,
    update,
)
from sqlalchemy.orm import Session

from smsapp.messages.fold import MessageState, Source
from smsapp.messages.models import FormerSid, Message, MessageEvent
from smsapp.messages.queries import STATE_COLUMNS, state_of
from smsapp.messages.status import Status
from smsapp.reconciliation.rules import Sought

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]
_EVENTS: Table = MessageEvent.__table__  # type: ignore[assignment]
_FORMER: Table = FormerSid.__table__  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class DuplicateCandidate:
    """A message without a SID, with the fields that identify it in Twilio's records."""

    id: UUID
    status: Status
    to: str
    sender: str | None
    sought: Sought
    on_unconfirmed: str
    claimed_at: datetime


def duplicate_candidates(session: Session, message_id: UUID) -> list[DuplicateCandidate]:
    """Return the message and its duplicates, whose SID is not known: one message at Twilio may be any of them.

    They went to the same number with the same text, after all that Twilio may change; of a Content template we do not
    know the text.
    """
    me = _MESSAGES.alias("me")
    claimed_at = (
        select(func.max(_EVENTS.c.received_at))
        .where(_EVENTS.c.message_id == _MESSAGES.c.id, _EVENTS.c.status == Status.SUBMITTING)
        .scalar_subquery()
    )
    query = (
        select(
            _MESSAGES.c.id,
            _MESSAGES.c.status,
            _MESSAGES.c.to,
            _MESSAGES.c.sender,
            _MESSAGES.c.body,
            _MESSAGES.c.media_urls,
            _MESSAGES.c.options,
            _MESSAGES.c.on_unconfirmed,
            func.coalesce(claimed_at, _MESSAGES.c.created_at, type_=_MESSAGES.c.created_at.type).label(
                "claimed_at"
            ),
        )
        .join(me, and_(me.c.id == message_id, _MESSAGES.c.to == me.c.to))
        .where(
            _MESSAGES.c.status.in_([Status.SUBMITTING, Status.UNCONFIRMED]), _MESSAGES.c.twilio_sid.is_(None)
        )
    )
    found = [
        DuplicateCandidate(
            row.id,
            Status(row.status),
            row.to,
            row.sender,
            Sought.of(row.body, row.media_urls, row.options),
            row.on_unconfirmed,
            row.claimed_at,
        )
        for row in session.execute(query)
    ]
    mine = [each.sought for each in found if each.id == message_id]
    return [each for each in found if any(each.sought.competes_with(sought) for sought in mine)]


def last_steps(session: Session, ids: Iterable[UUID]) -> dict[UUID, tuple[str | None, int | None]]:
    """Return the reason and attempt of each message's last history entry, if that is a step of ours."""
    query = (
        select(_EVENTS.c.message_id, _EVENTS.c.reason, _EVENTS.c.attempt)
        .join(_MESSAGES, and_(_MESSAGES.c.id == _EVENTS.c.message_id, _MESSAGES.c.version == _EVENTS.c.seq))
        .where(_MESSAGES.c.id.in_(list(ids)), _EVENTS.c.source == Source.SYSTEM)
    )
    return {row.message_id: (row.reason, row.attempt) for row in session.execute(query)}


def look_later(session: Session, message_id: UUID, *, due_at: datetime | None) -> None:
    """Move a locked message's `due_at` without a history entry: it would only repeat the last one."""
    session.execute(update(_MESSAGES).where(_MESSAGES.c.id == message_id).values(due_at=due_at))


def bound_sids(session: Session, sids: Sequence[str]) -> set[str]:
    """Return those of the SIDs that belong to a message of ours."""
    query = union_all(
        select(_MESSAGES.c.twilio_sid).where(_MESSAGES.c.twilio_sid.in_(sids)),
        select(_FORMER.c.twilio_sid).where(_FORMER.c.twilio_sid.in_(sids)),
    )
    return {row[0] for row in session.execute(query)}


def waiting_due(session: Session, *, now: datetime, limit: int) -> list[MessageState]:
    """Return messages that are due to be looked up at Twilio, the longest due first."""
    query = (
        select(*STATE_COLUMNS)
        .where(
            _MESSAGES.c.due_at <= now,
            _MESSAGES.c.status != Status.PENDING,
            _MESSAGES.c.status != Status.SUBMITTING,
        )
        .order_by(_MESSAGES.c.due_at)
        .limit(limit)
    )
    return [state_of(row) for row in session.execute(query)]
