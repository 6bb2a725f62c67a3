"""Tables of events pushed to consumers: subscriptions, deliveries, and every request that was made."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, String, select, text
from sqlalchemy.orm import Mapped, column_property, mapped_column

from smsapp.db.base import Base
from smsapp.keys.models import ApiKey


class Subscription(Base):
    """A consumer of events, its health, and the worker that holds it.

    A row of the kind `callback` stands for one host in the `callback_url`s of one API key's messages: they share one
    breaker, and are signed with that key's digest (`secret` is NULL).

    It gets the events after `first_seq`. `owned_until` is the end of the worker's lease; from then on any worker may
    claim it. While `recover_next` is not NULL, the events from there to `recover_last` are scanned for undelivered
    ones.
    """

    __tablename__ = "subscriptions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(12))
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    application_id: Mapped[UUID] = column_property(
        select(ApiKey.application_id)
        .where(ApiKey.id == api_key_id)
        .correlate_except(ApiKey)  # also in a query that joins the keys itself
        .scalar_subquery()
    )
    url: Mapped[str]
    description: Mapped[str | None]
    event_types: Mapped[list[str] | None]
    tags: Mapped[list[str] | None]
    headers: Mapped[dict[str, Any] | None]
    secret: Mapped[str | None]
    former_secret: Mapped[str | None]
    former_secret_until: Mapped[datetime | None]
    first_seq: Mapped[int] = mapped_column(BigInteger)

    enabled: Mapped[bool]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None] = mapped_column(String(16))
    deleted_at: Mapped[datetime | None]
    failures: Mapped[int]
    failing_since: Mapped[datetime | None]
    paused_until: Mapped[datetime | None]
    owner: Mapped[str | None] = mapped_column(String(40))
    owned_until: Mapped[datetime | None]
    recover_next: Mapped[int | None] = mapped_column(BigInteger)
    recover_last: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (
        Index(
            "uq_subscriptions_callback",
            "api_key_id",
            "url",
            unique=True,
            postgresql_where=text("kind = 'callback'"),
            sqlite_where=text("kind = 'callback'"),
        ),
    )


class WebhookDelivery(Base):
    """One event on its way to one consumer.

    `step` counts the tries in the current run of the retry schedule, `attempts` all tries ever. `url` is a message's
    own `callback_url`; `payload` is set only for an example, which is in no feed and has no `seq`.
    """

    __tablename__ = "deliveries"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    subscription_id: Mapped[UUID] = mapped_column(ForeignKey("subscriptions.id"))
    seq: Mapped[int | None] = mapped_column(BigInteger)
    message_id: Mapped[UUID | None]
    event_type: Mapped[str] = mapped_column(String(32))
    url: Mapped[str | None]
    payload: Mapped[dict[str, Any] | None]
    status: Mapped[str] = mapped_column(String(9))
    step: Mapped[int]
    attempts: Mapped[int]
    due_at: Mapped[datetime | None]
    status_code: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(String(32))
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_deliveries_subscription_id_seq", "subscription_id", "seq", unique=True),
        Index("ix_deliveries_subscription_id_id", "subscription_id", "id"),
        Index("ix_deliveries_message_id_subscription_id_seq", "message_id", "subscription_id", "seq"),
        # A partial index over pending deliveries, so it stays small.
        Index(
            "ix_deliveries_pending_subscription_id_due_at",
            "subscription_id",
            "due_at",
            postgresql_where=text("status = 'pending'"),
            sqlite_where=text("status = 'pending'"),
        ),
    )


class WebhookAttempt(Base):
    """One request to a consumer and its result. `response` is the beginning of the response body."""

    __tablename__ = "delivery_attempts"

    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("deliveries.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    began_at: Mapped[datetime]
    duration_ms: Mapped[int]
    status_code: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(String(32))
    response: Mapped[str | None]
