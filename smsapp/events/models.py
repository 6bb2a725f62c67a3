"""Tables of events for consumers."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    SmallInteger,
    String,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base


class OutboxEvent(Base):
    """One event of the feed for consumers; `seq` has no gaps and follows the order of commits.

    The payload is rendered when it is read, from the message and the history entry that `event_seq` names (`data` where
    there is none). There is no foreign key: an event outlives its message. `written_at` is the database's clock;
    `occurred_at` is the time of the evidence, which may be days older. `api_key_id` is the owner of events that have no
    message: `smsapp.events.audience` says whom an event is for.
    """

    __tablename__ = "outbox"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[UUID]
    type: Mapped[str] = mapped_column(String(32))
    message_id: Mapped[UUID | None]
    event_seq: Mapped[int | None]
    api_key_id: Mapped[UUID | None]
    data: Mapped[dict[str, Any] | None]
    occurred_at: Mapped[datetime]
    written_at: Mapped[datetime] = mapped_column(server_default=func.now())


class OutboxHead(Base):
    """The last number assigned in the outbox: one row that each writer locks from its last statement to its commit."""

    __tablename__ = "outbox_head"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BigInteger)
