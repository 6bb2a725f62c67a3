"""The table of inbound texts."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    String,
)
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base


class ForgottenText(Base):
    """The SID of a text that is not kept any more: Twilio's signature of it never expires, so it could come again."""

    __tablename__ = "forgotten_texts"

    twilio_sid: Mapped[str] = mapped_column(String(34), primary_key=True)


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
