"""Claim due messages, and find claims whose lease has expired."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    CompoundSelect,
    Integer,
    Select,
    Table,
    bindparam,
    select,
    union_all,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from smsapp.db import bulk_writes as bulk
from smsapp.db.base import UtcDateTime
from smsapp.ids import new_id
from smsapp.messages.fold import Event, Source
from smsapp.messages.models import Message, MessageEvent
from smsapp.messages.queries import event_values
from smsapp.messages.status import Status
from smsapp.pacing.due import is_due, is_open
from smsapp.pacing.fairness import Share
from smsapp.queue.lanes import Lane
from smsapp.submission.outbound import Outbound
from smsapp.suppressions import queries as suppressions
from smsapp.suppressions.rules import Route

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]
_EVENTS: Table = MessageEvent.__table__  # type: ignore[assignment]


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
    """Claim up to `limit` due pending messages of a lane for one attempt each, oldest first.

    One conditional UPDATE: of two workers that want the same row, one gets it. The claim ends with the lease; a message
    that is still submitting then was left by a worker that died. Messages whose sender or account has a tripped breaker
    stay pending.
    """
    parameters = {"of_lane": int(lane), "most": limit}
    return _claim(session, _claim_oldest(bulk.is_postgres(session)), parameters, now=now, lease=lease)


def claim_shares(
    session: Session, shares: Sequence[Share], *, lane: Lane, now: datetime, lease: timedelta
) -> list[Outbound]:
    """Claim the granted number of messages from each queue, oldest first, all in one statement."""
    parts = [
        select(
            _oldest(
                select(_MESSAGES.c.id).where(
                    _MESSAGES.c.lane == lane,
                    _MESSAGES.c.sender_key == share.queue.sender,
                    _MESSAGES.c.api_key_id == share.queue.api_key_id,
                    is_due(now),
                    is_open(now),  # a breaker may have tripped since the look at the queues
                ),
                share.count,
            ).subquery()
        )
        for share in shares
    ]
    due = union_all(*parts) if len(parts) > 1 else parts[0]
    return _claim(session, _taking(bulk.is_postgres(session), due), {}, now=now, lease=lease)


def claim_probe(session: Session, sender: str | None, *, now: datetime, lease: timedelta) -> list[Outbound]:
    """Claim one due message of a sender, or of any, even while that is parked, to probe whether it works again."""
    due = select(_MESSAGES.c.id).where(is_due(now))
    if sender is not None:
        due = due.where(_MESSAGES.c.sender_key == sender)
    taking = _taking(bulk.is_postgres(session), _oldest(due, 1))
    return _claim(session, taking, {}, now=now, lease=lease)


@cache
def _claim_oldest(postgres: bool) -> ReturningUpdate[Any]:
    """Return the statement that is executed most often, built once."""
    due = select(_MESSAGES.c.id).where(
        _MESSAGES.c.lane == bindparam("of_lane", type_=_MESSAGES.c.lane.type), is_due(_NOW), is_open(_NOW)
    )
    return _taking(postgres, _oldest(due, bindparam("most", type_=Integer)))


def _oldest(due: Select[UUID], limit: int | BindParameter[int]) -> Select[UUID]:
    return due.order_by(_MESSAGES.c.due_at).limit(limit).with_for_update(skip_locked=True)


def _taking(postgres: bool, due: Select[UUID] | CompoundSelect[UUID]) -> ReturningUpdate[Any]:
    """Return the statement that claims the messages that a query selects, from `now` until `leased_until`."""
    return (
        update(_MESSAGES)
        .where(bulk.looked_up(postgres, _MESSAGES.c.id, due))
        .values(
            status=Status.SUBMITTING, version=_MESSAGES.c.version + 1, due_at=_LEASED_UNTIL, updated_at=_NOW
        )
        .returning(
            _MESSAGES.c.version,
            *(_MESSAGES.c[name] for name in _CLAIMED),
            suppressions.anyone_is_suppressed(),
        )
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
    if not rows:
        return []
    bulk.insert(session, _EVENTS, [_claim_event(row, now) for row in rows])
    claimed = [Outbound(**dict(zip(_CLAIMED, row[1:-1], strict=True))) for row in rows]
    return _mark_opted_out(session, claimed) if rows[0][-1] else claimed


def _mark_opted_out(session: Session, claimed: list[Outbound]) -> list[Outbound]:
    """Return the messages, those whose recipients have opted out marked: one query for all of them."""
    routes = [Route(each.to, each.sender, each.messaging_service_sid) for each in claimed]
    pairs = suppressions.among(session, routes)
    return [
        replace(each, opted_out=True) if suppressions.forbids(pairs, route) else each
        for each, route in zip(claimed, routes, strict=True)
    ]


def expired_claims(session: Session, *, now: datetime, limit: int) -> list[UUID]:
    """Return messages whose lease ended while they were being submitted, oldest first."""
    query = (
        select(_MESSAGES.c.id)
        .where(_MESSAGES.c.status == Status.SUBMITTING, _MESSAGES.c.due_at <= now)
        .order_by(_MESSAGES.c.due_at)
        .limit(limit)
    )
    return list(session.scalars(query))


def _claim_event(row: Any, now: datetime) -> dict[str, Any]:
    event = Event(
        source=Source.SYSTEM,
        raw_status=Status.SUBMITTING,
        applied=True,
        reason="claimed",
        attempt=row.attempt,
        error_code=None,
        twilio_sid=None,
        received_at=now,
        receipt_id=new_id(),
    )
    return event_values(row.id, row.version, event)
