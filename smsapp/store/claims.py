"""Messages that need somebody now: claiming what is due, and counting what waits."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    exists,
    func,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from smsapp.domain.fairness import Share
from smsapp.domain.ids import new_id
from smsapp.domain.lanes import Lane
from smsapp.domain.outbound import Outbound
from smsapp.domain.status import Status
from smsapp.domain.tracking import Event, Source, Tracked
from smsapp.store import breakers, bulk
from smsapp.store.messages import TRACKED_COLUMNS, event_values, tracked
from smsapp.store.suppressions import is_suppressed
from smsapp.store.tables import Message, MessageEvent, UtcDateTime

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]
_EVENTS: Table = MessageEvent.__table__  # type: ignore[assignment]

Time = datetime | BindParameter[datetime]

_NOW = bindparam("now", type_=UtcDateTime)
_LEASED_UNTIL = bindparam("leased_until", type_=UtcDateTime)

_CLAIMED = tuple(field.name for field in fields(Outbound) if field.name not in {"opted_out", "hold"})


def claim_due(
    session: Session,
    *,
    now: datetime,
    lease: timedelta,
    limit: int,
    lane: Lane = Lane.NORMAL,
) -> list[Outbound]:
    """Take up to `limit` pending messages of a lane that are due for one attempt each, oldest first.

    One conditional UPDATE: of two workers that want the same row, one gets it. The claim ends with the lease; what is
    then still submitting was left by a worker that died. Messages whose sender, or account, is closed at present stay.
    """
    parameters = {"of_lane": int(lane), "most": limit}
    return _claim(session, _claim_oldest(bulk.is_postgres(session)), parameters, now=now, lease=lease)


def claim_shares(
    session: Session, shares: Sequence[Share], *, lane: Lane, now: datetime, lease: timedelta
) -> list[Outbound]:
    """Take what each share grants of its queue, oldest first, all in one statement."""
    parts = [
        select(
            _oldest(
                select(_MESSAGES.c.id).where(
                    _MESSAGES.c.lane == lane,
                    _MESSAGES.c.sender_key == share.queue.sender,
                    _MESSAGES.c.api_key_id == share.queue.api_key_id,
                    _is_due(now),
                    _is_open(now),  # it may have been closed since somebody looked who waits
                ),
                share.count,
            ).subquery()
        )
        for share in shares
    ]
    due = union_all(*parts) if len(parts) > 1 else parts[0]
    return _claim(session, _taking(bulk.is_postgres(session), due), {}, now=now, lease=lease)


def claim_probe(session: Session, sender: str, *, now: datetime, lease: timedelta) -> list[Outbound]:
    """Take one due message of a sender, closed or not: it shows whether the sender works again."""
    due = select(_MESSAGES.c.id).where(_is_due(now), _MESSAGES.c.sender_key == sender)
    taking = _taking(bulk.is_postgres(session), _oldest(due, 1))
    return _claim(session, taking, {}, now=now, lease=lease)


@cache
def _claim_oldest(postgres: bool) -> ReturningUpdate[Any]:
    """Return the statement that is executed most often, made once."""
    due = select(_MESSAGES.c.id).where(
        _MESSAGES.c.lane == bindparam("of_lane", type_=_MESSAGES.c.lane.type), _is_due(_NOW), _is_open(_NOW)
    )
    return _taking(postgres, _oldest(due, bindparam("most", type_=Integer)))


def _oldest(due: Select[UUID], limit: int | BindParameter[int]) -> Select[UUID]:
    return due.order_by(_MESSAGES.c.due_at).limit(limit).with_for_update(skip_locked=True)


def _taking(postgres: bool, due: Select[UUID] | CompoundSelect[UUID]) -> ReturningUpdate[Any]:
    """Return the statement that takes the messages which a query chooses, for `now` until `leased_until`."""
    return (
        update(_MESSAGES)
        .where(bulk.looked_up(postgres, _MESSAGES.c.id, due))
        .values(
            status=Status.SUBMITTING, version=_MESSAGES.c.version + 1, due_at=_LEASED_UNTIL, updated_at=_NOW
        )
        .returning(_MESSAGES.c.version, *(_MESSAGES.c[name] for name in _CLAIMED), is_suppressed())
    )


def _claim(
    session: Session,
    statement: ReturningUpdate[Any],
    parameters: dict[str, Any],
    *,
    now: datetime,
    lease: timedelta,
) -> list[Outbound]:
    rows = session.execute(statement, parameters | {"now": now, "leased_until": now + lease}).all()
    if rows:
        bulk.insert(session, _EVENTS, [_claim_event(row, now) for row in rows])
    return [Outbound(**dict(zip(_CLAIMED, row[1:-1], strict=True)), opted_out=row[-1]) for row in rows]


def due_lanes(session: Session, *, now: datetime) -> list[Lane]:
    """Return the lanes in which any pending message is due that may be submitted now."""
    looks = [
        select(literal(int(lane))).where(
            exists().where(_MESSAGES.c.lane == lane, _is_due(now), _is_open(now))
        )
        for lane in Lane
    ]
    return [Lane(row[0]) for row in session.execute(union_all(*looks))]


def has_due(session: Session, lane: Lane, *, now: datetime) -> bool:
    """Return whether any pending message of the lane is due that may be submitted now."""
    query = select(_MESSAGES.c.id).where(_MESSAGES.c.lane == lane, _is_due(now), _is_open(now)).limit(1)
    return session.execute(query).first() is not None


def has_pending(session: Session, *, sender: str) -> bool:
    """Return whether any message of this sender waits, due or not."""
    pending = _MESSAGES.c.status == Status.PENDING
    query = select(_MESSAGES.c.id).where(pending, _MESSAGES.c.sender_key == sender).limit(1)
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


def _is_due(now: Time) -> ColumnElement[bool]:
    return and_(_MESSAGES.c.status == Status.PENDING, _MESSAGES.c.due_at <= now)


def _is_open(now: Time) -> ColumnElement[bool]:
    """Return the condition that neither the account nor the message's sender is closed to sending."""
    closed = breakers.closed_scopes(now=now)
    return and_(literal(breakers.ACCOUNT).not_in(closed), _MESSAGES.c.sender_key.not_in(closed))


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
