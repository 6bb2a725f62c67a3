"""The table of refused callbacks."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base


class RefusedCallback(Base):
    """Requests to a callback address that were refused alike on one day; `count` says how many.

    It has no values of parameters, no numbers and no text. `parameters` are names. `signed_url` is the address for
    which the signature would have been right, `differs` in what it differs from ours; NULL if none was found.
    `account` says whose the request named: ours, other or none.
    """

    __tablename__ = "refused_callbacks"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[str] = mapped_column(String(8))
    reason: Mapped[str] = mapped_column(String(32))
    path: Mapped[str]
    scheme: Mapped[str] = mapped_column(String(8))
    host: Mapped[str]
    parameters: Mapped[list[str]]
    account: Mapped[str] = mapped_column(String(8))
    signed_url: Mapped[str | None]
    differs: Mapped[list[str] | None]
    count: Mapped[int]
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]
