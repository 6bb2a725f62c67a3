"""The table of API keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    String,
)
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base


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
