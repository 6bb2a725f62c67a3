"""The table of acts, and the one row that says how far it reaches."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base


class AuditEntry(Base):
    """One act; a trigger refuses to change or remove it."""

    __tablename__ = "audit_log"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    who: Mapped[str] = mapped_column(String(128))
    act: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str | None] = mapped_column(String(128))
    address: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(64))
    details: Mapped[dict[str, Any] | None]
    digest: Mapped[str] = mapped_column(String(64))


class AuditHead(Base):
    """The last entry: one row, which orders those who write, and shows when the last entries are missing."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64))
