"""Tables of templates and their versions."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base
from smsapp.keys.models import OF_DEFAULT


class Template(Base):
    """A named text with placeholders; its versions hold the text. Its name is unique in its application."""

    __tablename__ = "templates"

    application_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=OF_DEFAULT)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class TemplateVersion(Base):
    """One version of a template's text; never changed."""

    __tablename__ = "template_versions"
    __table_args__ = (
        ForeignKeyConstraint(["application_id", "name"], ["templates.application_id", "templates.name"]),
    )

    application_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=OF_DEFAULT)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    body: Mapped[str]
    created_at: Mapped[datetime]
