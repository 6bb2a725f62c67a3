"""The table of scopes that are closed to sending."""

from datetime import datetime

from sqlalchemy import (
    String,
)
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base


class Breaker(Base):
    """A scope (`account`, or one sender) in which nothing is submitted for now.

    If `parked`, it stays closed until a probe succeeds or an operator releases it; else it is only slowed, until
    `probe_at`.
    """

    __tablename__ = "breakers"

    scope: Mapped[str] = mapped_column(String(80), primary_key=True)
    parked: Mapped[bool]
    error_code: Mapped[int | None]
    reason: Mapped[str]
    opened_at: Mapped[datetime]
    probe_at: Mapped[datetime]
    failures: Mapped[int]
