"""Stored templates and their versions; `owner` is the application that has them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, delete, select, update
from sqlalchemy.orm import Session

from smsapp.db.pages import Page, page_after, page_before
from smsapp.templates.models import Template, TemplateVersion


def add(session: Session, owner: UUID, name: str, body: str, *, now: datetime) -> TemplateVersion | None:
    """Add a template with its first version; return None when the name is taken."""
    if session.get(Template, (owner, name), with_for_update=True):
        return None
    session.add(Template(application_id=owner, name=name, version=1, created_at=now, updated_at=now))
    session.flush()
    version = TemplateVersion(application_id=owner, name=name, version=1, body=body, created_at=now)
    session.add(version)
    session.flush()
    return version


def add_version(
    session: Session, owner: UUID, name: str, body: str, *, now: datetime
) -> TemplateVersion | None:
    """Add the next version and make it the newest; return None when there is no such template."""
    number = session.scalar(
        update(Template)
        .where(Template.application_id == owner, Template.name == name)
        .values(version=Template.version + 1, updated_at=now)
        .returning(Template.version)
    )
    if not number:
        return None
    version = TemplateVersion(application_id=owner, name=name, version=number, body=body, created_at=now)
    session.add(version)
    session.flush()
    return version


def find(session: Session, owner: UUID, name: str, version: int | None = None) -> TemplateVersion | None:
    """Return a version of a template, the newest by default."""
    query = select(TemplateVersion).where(
        TemplateVersion.application_id == owner, TemplateVersion.name == name
    )
    if version is not None:
        query = query.where(TemplateVersion.version == version)
    return session.scalars(query.order_by(TemplateVersion.version.desc()).limit(1)).one_or_none()


def versions(
    session: Session, owner: UUID, name: str, *, before: int | None, limit: int
) -> Page[TemplateVersion]:
    """Return versions of a template, newest first."""
    query = select(TemplateVersion).where(
        TemplateVersion.application_id == owner, TemplateVersion.name == name
    )
    return page_before(session, query, TemplateVersion.version, before=before, limit=limit)


def newest(session: Session, owner: UUID, *, after: str | None, limit: int) -> Page[TemplateVersion]:
    """Return the newest version of each template, in the order of their names."""
    is_newest = and_(
        Template.application_id == TemplateVersion.application_id,
        Template.name == TemplateVersion.name,
        Template.version == TemplateVersion.version,
    )
    query = select(TemplateVersion).join(Template, is_newest).where(Template.application_id == owner)
    return page_after(session, query, Template.name, after=after, limit=limit)


def remove(session: Session, owner: UUID, name: str) -> bool:
    """Remove a template with all its versions; return whether there was one."""
    session.execute(
        delete(TemplateVersion).where(TemplateVersion.application_id == owner, TemplateVersion.name == name)
    )
    return bool(
        session.connection()
        .execute(delete(Template).where(Template.application_id == owner, Template.name == name))
        .rowcount
    )
