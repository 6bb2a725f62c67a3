"""Tables of callbacks that wait, and of those that could not be processed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    String,
)
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base


class SpooledCallback(Base):
    """A verified callback that waits: Redis could not take it, or its message is not known (yet)."""

    __tablename__ = "callback_spool"

    receipt_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))
    target: Mapped[str | None] = mapped_column(String(64))
    twilio_sid: Mapped[str | None] = mapped_column(String(34), index=True)
    body: Mapped[str]
    idempotency_token: Mapped[str | None] = mapped_column(String(64))
    received_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(String(32))


class DeadLetter(Base):
    """A callback or job that could not be processed, kept with its cause until an operator replays it."""

    __tablename__ = "dead_letters"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    payload: Mapped[dict[str, Any]]
    cause: Mapped[str]
    created_at: Mapped[datetime]
    replayed_at: Mapped[datetime | None]
