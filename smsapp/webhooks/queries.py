"""Deliveries and their attempts. Queries on a Session; nothing here commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, delete, exists, or_, select, update
from sqlalchemy.orm import Session

from smsapp.db import bulk_writes as bulk
from smsapp.db.pages import Page, page_before
from smsapp.ids import first_id_at, new_id
from smsapp.keys.models import ApiKey
from smsapp.keys.ownership import belongs_to
from smsapp.webhooks.models import Subscription, WebhookAttempt, WebhookDelivery
from smsapp.webhooks.rules import (
    Consumer,
    ConsumerHealth,
    DeliveryStatus,
    DueDelivery,
    SubscriptionKind,
    written_secret,
)
from smsapp.webhooks.subscription_queries import is_active

_DELIVERIES: Table = WebhookDelivery.__table__  # type: ignore[assignment]
_ATTEMPTS: Table = WebhookAttempt.__table__  # type: ignore[assignment]
_LATELY = timedelta(seconds=2)
"""More than the time between two looks of a drain and the difference between two machines' clocks."""

_IS_PENDING = _DELIVERIES.c.status == DeliveryStatus.PENDING
_DUE = tuple(_DELIVERIES.c[name] for name in DueDelivery.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Wanting:
    """A consumer with a delivery due, the worker that holds it, and whether one became due lately."""

    consumer: Consumer
    owner: str | None
    owned_until: datetime | None
    has_new: bool


def pending_delivery(
    subscription_id: UUID,
    event_type: str,
    *,
    now: datetime,
    seq: int | None = None,
    message_id: UUID | None = None,
    url: str | None = None,
    payload: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the row of a new delivery, due at once."""
    return {
        "id": new_id(),
        "subscription_id": subscription_id,
        "seq": seq,
        "message_id": message_id,
        "event_type": event_type,
        "url": url,
        "payload": payload,
        "status": DeliveryStatus.PENDING,
        "step": 0,
        "attempts": 0,
        "due_at": now,
        "created_at": now,
    }


def insert(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Add deliveries."""
    bulk.insert(session, _DELIVERIES, rows)


def insert_missing(session: Session, rows: Sequence[dict[str, Any]]) -> int:
    """Add the deliveries whose consumer has none of that event yet, pending or past; return how many."""
    return len(bulk.insert_new(session, _DELIVERIES, ("subscription_id", "seq"), rows))


def wanting(session: Session, *, now: datetime, limit: int) -> list[Wanting]:
    """Return consumers that may get requests now and have a delivery due."""
    is_due = exists().where(
        _DELIVERIES.c.subscription_id == Subscription.id, _IS_PENDING, _DELIVERIES.c.due_at <= now
    )
    query = (
        select(Subscription, ApiKey.secret_sha256, is_due.where(_DELIVERIES.c.due_at > now - _LATELY))
        .join(ApiKey, ApiKey.id == Subscription.api_key_id)
        .where(
            is_active(),
            or_(Subscription.paused_until.is_(None), Subscription.paused_until <= now),
            is_due,
        )
        .limit(limit)
    )
    return [
        Wanting(_consumer(row, digest, now), row.owner, row.owned_until, has_new)
        for row, digest, has_new in session.execute(query, execution_options={"populate_existing": True})
    ]


def any_due(session: Session, *, now: datetime) -> bool:
    """Return whether a delivery is due now that no worker is handling."""
    return any(
        item.owned_until is None or item.owned_until <= now for item in wanting(session, now=now, limit=1000)
    )


@dataclass(frozen=True, slots=True)
class Due:
    """Deliveries that may be sent now. `is_all` is whether no others are due, `follow` whether later events wait."""

    deliveries: Sequence[DueDelivery]
    is_all: bool
    follow: bool


def due(session: Session, subscription_id: UUID, *, now: datetime, limit: int) -> Due:
    """Return a consumer's due deliveries, only the earliest event of each message; reads at most `limit` due rows.

    Two queries with one index each: a single one with NOT EXISTS compares every row with every other as soon as
    PostgreSQL's statistics are older than the backlog (2.2 s for 5,100 rows).
    """
    window = session.execute(
        select(*_DUE)
        .where(_DELIVERIES.c.subscription_id == subscription_id, _IS_PENDING, _DELIVERIES.c.due_at <= now)
        .order_by(_DELIVERIES.c.due_at)
        .limit(limit)
    ).all()
    alone = [row for row in window if row.message_id is None or row.seq is None]
    ids = {row.message_id for row in window if row.message_id is not None}
    heads = [row for row in _heads(session, subscription_id, ids).values() if row.due_at <= now]
    found = [DueDelivery(**row._mapping) for row in (*alone, *heads)]  # noqa: SLF001 - its public name for a row
    return Due(found, is_all=len(window) < limit, follow=len(found) < len(window))


def defer_followers(session: Session, subscription_id: UUID, *, now: datetime, limit: int) -> int:
    """Postpone due events to the time of the earlier event of their message; return how many."""
    window = session.scalars(
        select(_DELIVERIES.c.message_id)
        .where(
            _DELIVERIES.c.subscription_id == subscription_id,
            _IS_PENDING,
            _DELIVERIES.c.due_at <= now,
            _DELIVERIES.c.message_id.is_not(None),
        )
        .order_by(_DELIVERIES.c.due_at)
        .limit(limit)
    )
    heads = _heads(session, subscription_id, set(window))
    waiting = [row for row in heads.values() if row.due_at > now]
    return sum(_defer(session, subscription_id, row.message_id, row.seq, row.due_at) for row in waiting)


def _heads(session: Session, subscription_id: UUID, message_ids: set[UUID]) -> dict[UUID, Any]:
    """Return the earliest pending event of each message."""
    if not message_ids:
        return {}
    rows = session.execute(
        # No filter by subscription: with stale statistics the planner would pick its index and read the whole backlog.
        select(*_DUE)
        .where(
            bulk.among(session, _DELIVERIES.c.message_id, sorted(message_ids)),
            _IS_PENDING,
            _DELIVERIES.c.seq.is_not(None),
        )
        .order_by(_DELIVERIES.c.seq.desc())
    ).all()
    return {row.message_id: row for row in rows if row.subscription_id == subscription_id}


def write_attempts(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Store attempts; one that is there already came from a worker that was presumed dead."""
    bulk.insert_new(session, _ATTEMPTS, ("delivery_id", "number"), rows)


def finish(session: Session, ids: Sequence[UUID], *, status_code: int | None, now: datetime) -> None:
    """Mark deliveries as delivered."""
    if ids:
        values = {"status": DeliveryStatus.DELIVERED, "due_at": None, "finished_at": now, "error": None}
        session.execute(
            update(_DELIVERIES)
            .where(bulk.among(session, _DELIVERIES.c.id, ids))
            .values(**values, status_code=status_code, attempts=_DELIVERIES.c.attempts + 1)
        )


def postpone(
    session: Session,
    delivery: DueDelivery,
    *,
    due_at: datetime | None,
    status_code: int | None,
    error: str | None,
    now: datetime,
) -> None:
    """Postpone a delivery that failed; without a next time, give it up.

    Later events of the message wait for this one, so their time moves, too: no query needs to find them earlier.
    """
    pending = due_at is not None
    session.execute(
        update(_DELIVERIES)
        .where(_DELIVERIES.c.id == delivery.id)
        .values(
            status=DeliveryStatus.PENDING if pending else DeliveryStatus.FAILED,
            due_at=due_at,
            finished_at=None if pending else now,
            step=delivery.step + 1,
            attempts=delivery.attempts + 1,
            status_code=status_code,
            error=error,
        )
    )
    if due_at is not None and delivery.message_id is not None and delivery.seq is not None:
        _defer(session, delivery.subscription_id, delivery.message_id, delivery.seq, due_at)


def _defer(session: Session, subscription_id: UUID, message_id: UUID, seq: int, due_at: datetime) -> int:
    """Postpone later events of a message to this time, too; return how many moved."""
    statement = update(_DELIVERIES).where(
        _DELIVERIES.c.message_id == message_id,
        _DELIVERIES.c.subscription_id == subscription_id,
        _DELIVERIES.c.seq > seq,
        _IS_PENDING,
        _DELIVERIES.c.due_at < due_at,
    )
    return int(session.connection().execute(statement.values(due_at=due_at)).rowcount)


def requeue(session: Session, delivery: WebhookDelivery, *, now: datetime) -> None:
    """Make a delivery pending again, at the start of the schedule; later events of its message wait no longer."""
    rows = update(_DELIVERIES).where(_DELIVERIES.c.subscription_id == delivery.subscription_id)
    session.execute(rows.where(_DELIVERIES.c.id == delivery.id).values(_fresh(now)))
    if delivery.message_id is not None:
        later = rows.where(_DELIVERIES.c.message_id == delivery.message_id, _IS_PENDING)
        session.execute(later.values(due_at=now))


def revive_range(session: Session, subscription_id: UUID, first: int, last: int, *, now: datetime) -> int:
    """Make the consumer's undelivered events in this range pending again; return how many."""
    statement = update(_DELIVERIES).where(
        _DELIVERIES.c.subscription_id == subscription_id,
        _DELIVERIES.c.seq.between(first, last),
        _DELIVERIES.c.status != DeliveryStatus.DELIVERED,
    )
    return int(session.connection().execute(statement.values(_fresh(now))).rowcount)


def get(session: Session, application_id: UUID, delivery_id: UUID) -> WebhookDelivery | None:
    """Return a delivery to a consumer of the application, or None."""
    query = select(WebhookDelivery).where(WebhookDelivery.id == delivery_id, _is_of(application_id))
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def find(
    session: Session,
    application_id: UUID,
    *,
    subscription_id: UUID | None = None,
    message_id: UUID | None = None,
    status: str | None = None,
    before: UUID | None = None,
    limit: int,
) -> Page[WebhookDelivery]:
    """Return deliveries to the application's consumers that match, newest first."""
    exact = {
        WebhookDelivery.subscription_id: subscription_id,
        WebhookDelivery.message_id: message_id,
        WebhookDelivery.status: status,
    }
    query = select(WebhookDelivery).where(
        _is_of(application_id),
        *(column == value for column, value in exact.items() if value is not None),
    )
    return page_before(session, query, WebhookDelivery.id, before=before, limit=limit)


def attempts(session: Session, delivery_id: UUID, *, limit: int) -> Sequence[WebhookAttempt]:
    """Return the latest `limit` attempts of a delivery, in order."""
    query = (
        select(WebhookAttempt)
        .where(WebhookAttempt.delivery_id == delivery_id)
        .order_by(WebhookAttempt.number.desc())
        .limit(limit)
    )
    return list(reversed(session.scalars(query).all()))


def any_older(session: Session, before: datetime) -> bool:
    """Return whether there are deliveries made before then."""
    return (
        session.execute(
            select(WebhookDelivery.id).where(WebhookDelivery.id < first_id_at(before)).limit(1)
        ).first()
        is not None
    )


def forget(session: Session, *, before: datetime, limit: int) -> int:
    """Remove deliveries made before then that are no longer pending, with their attempts; return how many."""
    # Ids are in order of time, so this needs no index of its own.
    chosen = list(
        session.scalars(
            select(WebhookDelivery.id)
            .join(Subscription, Subscription.id == WebhookDelivery.subscription_id)
            .where(
                WebhookDelivery.id < first_id_at(before),
                or_(~_IS_PENDING, Subscription.deleted_at.is_not(None)),
            )
            .order_by(WebhookDelivery.id)
            .limit(limit)
        )
    )
    session.execute(delete(WebhookAttempt).where(WebhookAttempt.delivery_id.in_(chosen)))
    session.execute(delete(WebhookDelivery).where(WebhookDelivery.id.in_(chosen)))
    return len(chosen)


def _is_of(application_id: UUID) -> ColumnElement[bool]:
    consumers = select(Subscription.id).where(belongs_to(application_id, Subscription.api_key_id))
    return WebhookDelivery.subscription_id.in_(consumers)


def _fresh(now: datetime) -> dict[str, Any]:
    return {"status": DeliveryStatus.PENDING, "step": 0, "due_at": now, "finished_at": None}


def _consumer(row: Subscription, digest: str, now: datetime) -> Consumer:
    secrets = [row.secret or written_secret(bytes.fromhex(digest))]
    if row.former_secret and row.former_secret_until and row.former_secret_until > now:
        secrets.append(row.former_secret)
    return Consumer(
        id=row.id,
        kind=SubscriptionKind(row.kind),
        url=row.url,
        secrets=tuple(secrets),
        headers=row.headers or {},
        health=ConsumerHealth(row.failures, row.failing_since, row.paused_until),
    )
