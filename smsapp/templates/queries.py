"""Stored templates and their versions."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from smsapp.templates.models import Template, TemplateVersion


def add(session: Session, name: str, body: str, *, now: datetime) -> TemplateVersion | None:
    """Add a template with its first version; return None when there is one of this name."""
    if session.get(Template, name, with_for_update=True):
        return None
    session.add(Template(name=name, version=1, created_at=now, updated_at=now))
    session.flush()
    return _add_version(session, name, 1, body, now)


def add_version(session: Session, name: str, body: str, *, now: datetime) -> TemplateVersion | None:
    """Add the next version and make it the newest; return None when there is no such template."""
    number = session.scalar(
        update(Template)
        .where(Template.name == name)
        .values(version=Template.version + 1, updated_at=now)
        .returning(Template.version)
    )
    return _add_version(session, name, number, body, now) if number else None


def find(session: Session, name: str, version: int | None = None) -> TemplateVersion | None:
    """Return a version of a template, the newest unless another is asked for."""
    query = select(TemplateVersion).where(TemplateVersion.name == name)
    if version is not None:
        query = query.where(TemplateVersion.version == version)
    return session.scalars(query.order_by(TemplateVersion.version.desc()).limit(1)).one_or_none()


def versions(session: Session, name: str, *, before: int | None, limit: int) -> Sequence[TemplateVersion]:
    """Return versions of a template, newest first."""
    query = select(TemplateVersion).where(TemplateVersion.name == name)
    if before is not None:
        query = query.where(TemplateVersion.version < before)
    return session.scalars(query.order_by(TemplateVersion.version.desc()).limit(limit)).all()


def newest(session: Session, *, after: str | None, limit: int) -> Sequence[TemplateVersion]:
    """Return the newest version of each template, in the order of their names."""
    query = (
        select(TemplateVersion)
        .join(
            Template, (Template.name == TemplateVersion.name) & (Template.version == TemplateVersion.version)
        )
        .order_by(Template.name)
        .limit(limit)
    )
    if after is not None:
        query = query.where(Template.name > after)
    return session.scalars(query).all()


def remove(session: Session, name: str) -> bool:
    """Remove a template with all its versions; return whether there was one."""
    session.execute(delete(TemplateVersion).where(TemplateVersion.name == name))
    return bool(session.connection().execute(delete(Template).where(Template.name == name)).rowcount)


def _add_version(session: Session, name: str, number: int, body: str, now: datetime) -> TemplateVersion:
    version = TemplateVersion(name=name, version=number, body=body, created_at=now)
    session.add(version)
    session.flush()
    return version
