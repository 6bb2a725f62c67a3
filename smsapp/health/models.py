"""The table that health checks write to."""

from datetime import datetime

from sqlalchemy import SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base


class HealthCheck(Base):
    """When a health check last wrote: one row, which shows that the database takes writes."""

    __tablename__ = "health_checks"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    written_at: Mapped[datetime]
