"""The table of daily counts."""

from sqlalchemy import (
    String,
)
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base


class Tally(Base):
    """How many messages went out on a day (UTC), in all or to a country; only where caps are set."""

    __tablename__ = "tallies"

    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    scope: Mapped[str] = mapped_column(String(8), primary_key=True)
    count: Mapped[int]
