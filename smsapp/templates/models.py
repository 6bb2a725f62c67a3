"""Tables of templates and their versions."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base


class Template(Base):
    """A named text with placeholders; its versions hold the text."""

    __tablename__ = "templates"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class TemplateVersion(Base):
    """One version of a template's text; never changed."""

    __tablename__ = "template_versions"

    name: Mapped[str] = mapped_column(ForeignKey("templates.name"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    body: Mapped[str]
    created_at: Mapped[datetime]
