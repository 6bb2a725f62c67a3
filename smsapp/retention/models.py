"""Tables of retention: how far its passes have come, and which messages are still to be erased."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base


class RetentionPosition(Base):
    """Up to which id, in the order of age, one pass over one table has come."""

    __tablename__ = "retention_positions"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    last_id: Mapped[UUID]


class Erasure(Base):
    """A message whose personal data must go as soon as it has an outcome; the row goes with them."""

    __tablename__ = "erasures"

    message_id: Mapped[UUID] = mapped_column(ForeignKey("messages.id"), primary_key=True)
    requested_at: Mapped[datetime]
