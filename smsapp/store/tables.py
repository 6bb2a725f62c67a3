"""The tables, as plain declarative models: the web apps, the workers and Alembic all read them from here."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Computed,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    MetaData,
    SmallInteger,
    String,
    Text,
    TypeDecorator,
    Uuid,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time: `timestamptz` on PostgreSQL; SQLite, which has no zones, stores the UTC reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive time: it would be read as another instant."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time must be aware")
        return (
            value.astimezone(UTC) if dialect.name != "sqlite" else value.astimezone(UTC).replace(tzinfo=None)
        )

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Return the time aware and in UTC, whatever zone the session has."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Common metadata: constraint names are fixed, so that migrations can name them on both databases."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads this class attribute
        datetime: UtcDateTime,
        UUID: Uuid,
        dict[str, Any]: JSON().with_variant(JSONB(), "postgresql"),
        list[str]: JSON().with_variant(JSONB(), "postgresql"),
        str: Text,
    }


class ApiKey(Base):
    """A caller's credential; only its SHA-256 is stored (the secret has 256 random bits, so it needs no salt)."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    mode: Mapped[str] = mapped_column(String(4))
    prefix: Mapped[str] = mapped_column(String(20))
    quiet_hours: Mapped[str | None] = mapped_column(String(11))
    secret_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


HANDED_OVER_AND_SENSITIVE = (
    "redact_at IS NOT NULL AND status <> 'pending' AND status <> 'submitting' AND status <> 'unconfirmed'"
)
"""The condition of an index, word for word: only so do queries find it."""


class Message(Base):
    """One text and how far it provably came.

    `due_at` is when the message next needs one of us: its next attempt while pending, the end of its lease while
    submitting, the next question to Twilio later; NULL when it needs nobody. `version` counts its events and is
    the compare-and-set of every change. `deadline_at` is `deliver_by` until it has passed and was looked at.
    `redact_at` is when to see next whether a sensitive text can be removed; its body is empty once it was.
    """

    __tablename__ = "messages"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    to: Mapped[str] = mapped_column(String(64))
    sender: Mapped[str | None] = mapped_column(String(64))
    messaging_service_sid: Mapped[str | None] = mapped_column(String(34))
    body: Mapped[str]
    media_urls: Mapped[list[str] | None]
    client_reference: Mapped[str | None] = mapped_column(String(255))
    tags: Mapped[list[str] | None]
    callback_url: Mapped[str | None]
    request_id: Mapped[str | None] = mapped_column(String(64))
    job_id: Mapped[UUID | None]
    encoding: Mapped[str] = mapped_column(String(8))
    segments: Mapped[int]
    on_unconfirmed: Mapped[str] = mapped_column(String(8))
    send_at: Mapped[datetime | None]
    quiet_hours: Mapped[str | None] = mapped_column(String(11))
    deliver_by: Mapped[datetime | None]
    deadline_at: Mapped[datetime | None]
    sensitive: Mapped[bool] = mapped_column(server_default=false())
    redact_at: Mapped[datetime | None]
    redacted_at: Mapped[datetime | None]
    lane: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
    country: Mapped[str | None] = mapped_column(String(8))
    sender_key: Mapped[str | None] = mapped_column(
        String(64), Computed("coalesce(sender, messaging_service_sid)", persisted=True)
    )

    status: Mapped[str] = mapped_column(String(16))
    outcome: Mapped[str | None] = mapped_column(String(16))
    error_code: Mapped[int | None]
    twilio_sid: Mapped[str | None] = mapped_column(String(34), unique=True)
    attempt: Mapped[int]
    resends_left: Mapped[int]
    on_failure: Mapped[dict[str, Any] | None]
    steps_left: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    version: Mapped[int]
    reported: Mapped[int]
    due_at: Mapped[datetime | None]
    num_segments: Mapped[int | None]
    price: Mapped[str | None] = mapped_column(String(20))
    price_unit: Mapped[str | None] = mapped_column(String(3))
    created_at: Mapped[datetime]
    submitted_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_messages_to_id", "to", "id"),
        Index(
            "ix_messages_client_reference_id",
            "client_reference",
            "id",
            postgresql_where=text("client_reference IS NOT NULL"),
            sqlite_where=text("client_reference IS NOT NULL"),
        ),
        Index(
            "ix_messages_job_id_outcome",
            "job_id",
            "outcome",
            "status",
            postgresql_where=text("job_id IS NOT NULL"),
            sqlite_where=text("job_id IS NOT NULL"),
        ),
        Index(
            "ix_messages_job_id_id",
            "job_id",
            "id",
            postgresql_where=text("job_id IS NOT NULL"),
            sqlite_where=text("job_id IS NOT NULL"),
        ),
        # Only rows that still need somebody are in these, so they stay small however many messages are stored.
        Index(
            "ix_messages_pending_lane_due_at",
            "lane",
            "due_at",
            postgresql_where=text("status = 'pending'"),
            sqlite_where=text("status = 'pending'"),
        ),
        # Who waits in a lane: one look per sender and API key, however many messages each of them has.
        Index(
            "ix_messages_pending_queue",
            "lane",
            "sender_key",
            "api_key_id",
            "due_at",
            postgresql_where=text("status = 'pending'"),
            sqlite_where=text("status = 'pending'"),
        ),
        Index(
            "ix_messages_waiting_due_at",
            "due_at",
            postgresql_where=text("due_at IS NOT NULL AND status <> 'pending'"),
            sqlite_where=text("due_at IS NOT NULL AND status <> 'pending'"),
        ),
        Index(
            "ix_messages_deadline_at",
            "deadline_at",
            postgresql_where=text("deadline_at IS NOT NULL"),
            sqlite_where=text("deadline_at IS NOT NULL"),
        ),
        Index(
            "ix_messages_redact_at",
            "redact_at",
            postgresql_where=text(HANDED_OVER_AND_SENSITIVE),
            sqlite_where=text(HANDED_OVER_AND_SENSITIVE),
        ),
    )


class FormerSid(Base):
    """A Twilio message of an attempt that was followed by another: its callbacks still find their message."""

    __tablename__ = "former_sids"

    twilio_sid: Mapped[str] = mapped_column(String(34), primary_key=True)
    message_id: Mapped[UUID] = mapped_column(ForeignKey("messages.id"), index=True)
    attempt: Mapped[int]


class MessageEvent(Base):
    """One line of a message's history; append-only. `receipt_id` makes a repeated delivery of the same job harmless."""

    __tablename__ = "message_events"

    message_id: Mapped[UUID] = mapped_column(ForeignKey("messages.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    receipt_id: Mapped[UUID] = mapped_column(unique=True)
    source: Mapped[str] = mapped_column(String(8))
    status: Mapped[str] = mapped_column(String(32))
    applied: Mapped[bool]
    reason: Mapped[str | None] = mapped_column(String(32))
    attempt: Mapped[int | None]
    error_code: Mapped[int | None]
    twilio_sid: Mapped[str | None] = mapped_column(String(34))
    payload: Mapped[dict[str, Any] | None]
    received_at: Mapped[datetime]


class InboxEntry(Base):
    """A verified callback that waits: Redis could not take it, or its message is not known (yet)."""

    __tablename__ = "inbox"

    receipt_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))
    target: Mapped[str | None] = mapped_column(String(64))
    twilio_sid: Mapped[str | None] = mapped_column(String(34), index=True)
    body: Mapped[str]
    idempotency_token: Mapped[str | None] = mapped_column(String(64))
    received_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(String(32))


class InboundMessage(Base):
    """A text that somebody sent to us."""

    __tablename__ = "inbound_messages"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    twilio_sid: Mapped[str] = mapped_column(String(34), unique=True)
    sender: Mapped[str] = mapped_column(String(64), index=True)
    to: Mapped[str] = mapped_column(String(64))
    messaging_service_sid: Mapped[str | None] = mapped_column(String(34))
    body: Mapped[str]
    opt_out_type: Mapped[str | None] = mapped_column(String(8))
    payload: Mapped[dict[str, Any]]
    received_at: Mapped[datetime]


class OutboxEvent(Base):
    """One event for consumers, of one feed; `seq` has no gaps and is the order of the commits.

    The payload is made when it is read, of the message and of the line of its history that `event_seq` names
    (`data` where there is none). No foreign key: what is told stays told, also when a message is removed.
    `written_at` is the database's clock, `occurred_at` that of the evidence, which may be days older.
    """

    __tablename__ = "outbox"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[UUID]
    type: Mapped[str] = mapped_column(String(32))
    message_id: Mapped[UUID | None]
    event_seq: Mapped[int | None]
    data: Mapped[dict[str, Any] | None]
    occurred_at: Mapped[datetime]
    written_at: Mapped[datetime] = mapped_column(server_default=func.now())


class OutboxHead(Base):
    """The last number given in the outbox: one row, locked by each writer from its last statement to its commit."""

    __tablename__ = "outbox_head"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BigInteger)


class DeadLetter(Base):
    """A callback or job that could not be processed, kept with its cause until somebody replays it."""

    __tablename__ = "dead_letters"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    payload: Mapped[dict[str, Any]]
    cause: Mapped[str]
    created_at: Mapped[datetime]
    replayed_at: Mapped[datetime | None]


class IdempotencyKey(Base):
    """The answer once given to a request, for its repetition; written in the transaction of the request's effect."""

    __tablename__ = "idempotency_keys"

    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    answer: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(index=True)


class Breaker(Base):
    """A scope (`account`, or one sender) in which nothing is submitted for now.

    `parked`: until a probe succeeds or an operator releases it; else only slowed, until `probe_at`.
    """

    __tablename__ = "breakers"

    scope: Mapped[str] = mapped_column(String(80), primary_key=True)
    parked: Mapped[bool]
    error_code: Mapped[int | None]
    reason: Mapped[str]
    opened_at: Mapped[datetime]
    probe_at: Mapped[datetime]
    failures: Mapped[int]


class Tally(Base):
    """How many messages went out on a day (UTC), in all or to a country; only where caps are set."""

    __tablename__ = "tallies"

    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    scope: Mapped[str] = mapped_column(String(8), primary_key=True)
    count: Mapped[int]


class Counter(Base):
    """A number that must survive restarts and count for all processes: what reconciliation repaired, and the like."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
