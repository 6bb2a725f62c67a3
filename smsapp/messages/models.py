"""Tables of messages and their histories."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Computed,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base

HANDED_OVER_AND_SENSITIVE = (
    "redact_at IS NOT NULL AND status <> 'pending' AND status <> 'submitting' AND status <> 'unconfirmed'"
)
"""The condition of a partial index. A query must repeat it verbatim, or the planner does not use the index."""


class Message(Base):
    """One text and how far it has provably come.

    `due_at` is when a worker must next act on the message: its next attempt while pending, the end of its lease while
    submitting, the next poll of Twilio later; NULL when nothing is left to do. `version` counts its history entries,
    and every change compares and sets it. `deadline_at` equals `deliver_by` until that deadline has passed and was
    processed. `redact_at` is when to check next whether a sensitive text can be removed; `content.rules` says how a
    row tells that it was, and what `options` has: NULL for most messages.
    """

    __tablename__ = "messages"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    to: Mapped[str] = mapped_column(String(64))
    sender: Mapped[str | None] = mapped_column(String(64))
    messaging_service_sid: Mapped[str | None] = mapped_column(String(34))
    body: Mapped[str]
    media_urls: Mapped[list[str] | None]
    options: Mapped[dict[str, Any] | None]
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

    # SQLite enforces no length, and would copy the whole table to change one.
    status: Mapped[str] = mapped_column(String(32).with_variant(String(16), "sqlite"))
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
    actual_sender: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]
    submitted_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    carrier_at: Mapped[datetime | None]
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
        # These indexes hold only rows with work left to do, so they stay small however many messages are stored.
        Index(
            "ix_messages_pending_lane_due_at",
            "lane",
            "due_at",
            postgresql_where=text("status = 'pending'"),
            sqlite_where=text("status = 'pending'"),
        ),
        # Finds the queues of a lane with one index lookup per sender and API key, however many messages each has.
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
    """The SID of an attempt that was followed by another, so that its late callbacks still find their message."""

    __tablename__ = "former_sids"

    twilio_sid: Mapped[str] = mapped_column(String(34), primary_key=True)
    message_id: Mapped[UUID] = mapped_column(ForeignKey("messages.id"), index=True)
    attempt: Mapped[int]


class MessageEvent(Base):
    """One entry of a message's history; append-only, but for `repeats`: how often the same callback came again.

    `receipt_id` makes a redelivered report harmless.
    """

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
    carrier_at: Mapped[datetime | None]
    repeats: Mapped[int] = mapped_column(server_default=text("0"))
