"""Tables of suppressions and the evidence for them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base


class Suppression(Base):
    """The state of one recipient and one sender, Messaging Service, or every sender (`scope` is then `*`).

    `recipient` is the one spelling by which a phone is known (`smsapp.recipients.identity`). The row stays when it is
    lifted: `at`, the time of the latest evidence, lets us ignore older evidence that arrives late. `since`, `source`,
    `note` and `reference` describe the last change between suppressed and not.
    """

    __tablename__ = "suppressions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    recipient: Mapped[str] = mapped_column(String(64))
    scope: Mapped[str] = mapped_column(String(64))
    suppressed: Mapped[bool]
    source: Mapped[str] = mapped_column(String(8))
    note: Mapped[str | None]
    reference: Mapped[str | None] = mapped_column(String(64))
    since: Mapped[datetime]
    at: Mapped[datetime]
    version: Mapped[int]

    __table_args__ = (UniqueConstraint("recipient", "scope"),)


class SuppressionEvent(Base):
    """One piece of evidence on a suppression; append-only. `applied` is false if newer evidence was known."""

    __tablename__ = "suppression_events"

    suppression_id: Mapped[UUID] = mapped_column(ForeignKey("suppressions.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    suppressed: Mapped[bool]
    applied: Mapped[bool]
    source: Mapped[str] = mapped_column(String(8))
    note: Mapped[str | None]
    reference: Mapped[str | None] = mapped_column(String(64))
    api_key_id: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id"))
    at: Mapped[datetime]
    recorded_at: Mapped[datetime]
