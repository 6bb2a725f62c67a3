"""Applications by name. Queries on a Session; nothing here commits."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from smsapp.ids import new_id
from smsapp.keys.models import Application

DEFAULT_NAME = "default"


def add(session: Session, name: str, *, now: datetime) -> Application | None:
    """Add an application; return None when the name is taken."""
    if named(session, name):
        return None
    application = Application(id=new_id(), name=name, created_at=now)
    session.add(application)
    session.flush()
    return application


def names(session: Session) -> dict[UUID, str]:
    """Return the name of each application by its id."""
    return {each.id: each.name for each in all_of(session)}


def named(session: Session, name: str) -> UUID | None:
    """Return the id of the application with this name, or None."""
    return session.scalar(select(Application.id).where(Application.name == name))


def all_of(session: Session) -> Sequence[Application]:
    """Return every application, oldest first."""
    return session.scalars(select(Application).order_by(Application.id)).all()
