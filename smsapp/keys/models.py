"""The tables of applications and of their API keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import String, text
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base
from smsapp.keys.scopes import ALL, written

DEFAULT_APPLICATION = UUID("00000000-0000-7000-8000-000000000001")
"""The application `default`, to which all belongs that was made before there were applications."""

OF_DEFAULT = text(f"'{DEFAULT_APPLICATION.hex}'")
"""A server default: PostgreSQL reads it as a UUID, and SQLite stores UUIDs as these 32 digits."""


class Application(Base):
    """A caller's system with its keys. What a key has made belongs to the key's application and to no other.

    Rows name the key that made them, and a key never changes its application: that key says whose a row is.
    """

    __tablename__ = "applications"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]


class ApiKey(Base):
    """A caller's credential; only its SHA-256 is stored (the secret has 256 random bits, so it needs no salt)."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    application_id: Mapped[UUID] = mapped_column(server_default=OF_DEFAULT)
    name: Mapped[str] = mapped_column(String(100))
    mode: Mapped[str] = mapped_column(String(4))
    scopes: Mapped[str] = mapped_column(String(40), server_default=text(f"'{written(ALL)}'"))
    prefix: Mapped[str] = mapped_column(String(20))
    quiet_hours: Mapped[str | None] = mapped_column(String(11))
    secret_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
