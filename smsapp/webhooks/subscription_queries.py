"""Subscriptions and the leases on them. Queries on a Session; nothing here commits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, and_, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from smsapp.db import bulk_writes as bulk
from smsapp.db.pages import Page, page_after
from smsapp.events.models import OutboxEvent, OutboxHead
from smsapp.ids import new_id
from smsapp.keys.ownership import belongs_to
from smsapp.webhooks.models import Subscription
from smsapp.webhooks.rules import SubscriptionDraft, SubscriptionKind

_TABLE: Table = Subscription.__table__  # type: ignore[assignment]

_CLOCKS_APART = timedelta(minutes=1)
"""Event numbers follow the order of commits; event times may deviate from it by the length of a transaction."""

HEALTHY: Mapping[str, Any] = {"failures": 0, "failing_since": None, "paused_until": None}


def add(
    session: Session, draft: SubscriptionDraft, *, secret: str, api_key_id: UUID, now: datetime
) -> Subscription:
    """Add a subscription to all events from now on."""
    subscription = Subscription(
        **_new(api_key_id, now),
        **asdict(draft),
        kind=SubscriptionKind.SUBSCRIPTION,
        secret=secret,
        first_seq=head(session),
    )
    session.add(subscription)
    session.flush()
    return subscription


def ensure_callbacks(
    session: Session, origins: Iterable[tuple[UUID, str]], *, now: datetime
) -> dict[tuple[UUID, str], UUID]:
    """Return the consumer of each API key and origin, creating missing ones."""
    wanted = sorted(set(origins))
    if not wanted:
        return {}
    dialect = postgresql if bulk.is_postgres(session) else sqlite
    values = [
        {**_new(key, now), "url": url, "kind": SubscriptionKind.CALLBACK, "first_seq": 0}
        for key, url in wanted
    ]
    session.execute(dialect.insert(_TABLE).on_conflict_do_nothing(), values)
    query = select(_TABLE.c.id, _TABLE.c.api_key_id, _TABLE.c.url).where(
        _TABLE.c.kind == SubscriptionKind.CALLBACK, _TABLE.c.url.in_({url for _, url in wanted})
    )
    return {(row.api_key_id, row.url): row.id for row in session.execute(query)}


def get(
    session: Session, application_id: UUID, subscription_id: UUID, *, lock: bool = False
) -> Subscription | None:
    """Return the application's subscription, or None when it has none of this id or it was deleted."""
    query = select(Subscription).where(
        Subscription.id == subscription_id,
        Subscription.deleted_at.is_(None),
        belongs_to(application_id, Subscription.api_key_id),
    )
    if lock:
        query = query.with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def subscribed(session: Session, application_id: UUID, subscription_id: UUID) -> Subscription | None:
    """Return, locked, a subscription that a caller made, or None; those of the kind `callback` do not count."""
    found = get(session, application_id, subscription_id, lock=True)
    return found if found and found.kind == SubscriptionKind.SUBSCRIPTION else None


def key_of(session: Session, subscription_id: UUID) -> UUID | None:
    """Return the API key that made a subscription, or None."""
    return session.scalar(select(_TABLE.c.api_key_id).where(_TABLE.c.id == subscription_id))


def find(
    session: Session, application_id: UUID, *, limit: int, after: UUID | None = None
) -> Page[Subscription]:
    """Return subscriptions of an application, oldest first."""
    query = select(Subscription).where(
        Subscription.deleted_at.is_(None), belongs_to(application_id, Subscription.api_key_id)
    )
    return page_after(session, query, Subscription.id, after=after, limit=limit)


def wanting(session: Session) -> Sequence[Subscription]:
    """Return every active subscription."""
    query = select(Subscription).where(is_active(), Subscription.kind == SubscriptionKind.SUBSCRIPTION)
    return session.scalars(query).all()


def anyone_recovers(session: Session) -> bool:
    """Return whether any subscription is recovering past events."""
    query = select(Subscription.id).where(is_active(), Subscription.recover_next.is_not(None)).limit(1)
    return session.execute(query).first() is not None


def recovering(session: Session) -> Sequence[Subscription]:
    """Return the recovering subscriptions, locked; those that another worker has locked are skipped."""
    query = select(Subscription).where(is_active(), Subscription.recover_next.is_not(None))
    return session.scalars(query.order_by(Subscription.id).with_for_update(skip_locked=True)).all()


def anyone_listens(session: Session) -> bool:
    """Return whether there is any consumer to push events to."""
    return session.execute(select(Subscription.id).where(is_active()).limit(1)).first() is not None


def is_active() -> ColumnElement[bool]:
    """Return the condition that this consumer gets events."""
    return and_(Subscription.enabled, Subscription.deleted_at.is_(None))


def change(session: Session, subscription_id: UUID, values: Mapping[str, Any], *, now: datetime) -> None:
    """Update some columns of a subscription."""
    statement = update(Subscription).where(Subscription.id == subscription_id)
    session.execute(statement.values(**values, updated_at=now))


def head(session: Session) -> int:
    """Return the number of the latest event."""
    return session.scalar(select(OutboxHead.seq)) or 0


def first_since(session: Session, since: datetime) -> int:
    """Return the number of the first event since then, or of one shortly before it.

    A binary search: numbers and times rise together, and only the numbers have an index.
    """
    low, high = session.scalar(select(func.min(OutboxEvent.seq))) or 1, head(session) + 1
    while low < high:
        middle = (low + high) // 2
        row = session.execute(
            select(OutboxEvent.seq, OutboxEvent.written_at)
            .where(OutboxEvent.seq >= middle)
            .order_by(OutboxEvent.seq)
            .limit(1)
        ).first()
        if row is None or row.written_at + _CLOCKS_APART >= since:  # `since` may be in year 1
            high = middle
        else:
            low = row.seq + 1
    return low


def claim(session: Session, ids: Iterable[UUID], *, owner: str, now: datetime, until: datetime) -> list[UUID]:
    """Lease consumers, or renew the leases; return those that this worker now holds."""
    free = or_(Subscription.owner.is_(None), Subscription.owner == owner, Subscription.owned_until <= now)
    chosen = (
        select(Subscription.id)
        .where(Subscription.id.in_(sorted(ids)), free)
        .with_for_update(skip_locked=True)
    )
    taken = (
        update(Subscription)
        .where(Subscription.id.in_(select(chosen.cte("chosen").c.id)), is_active())
        .values(owner=owner, owned_until=until)
        .returning(Subscription.id)
    )
    return list(session.scalars(taken, execution_options={"synchronize_session": False}))


def release(session: Session, ids: Iterable[UUID], *, owner: str) -> None:
    """Release consumers, so that any worker may claim them."""
    statement = update(Subscription).where(Subscription.id.in_(sorted(ids)), Subscription.owner == owner)
    session.execute(
        statement.values(owner=None, owned_until=None), execution_options={"synchronize_session": False}
    )


def _new(api_key_id: UUID, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "api_key_id": api_key_id,
        "enabled": True,
        "failures": 0,
        "created_at": now,
        "updated_at": now,
    }
