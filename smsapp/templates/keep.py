"""Store texts with placeholders under names; a stored version never changes. `owner` is an application."""

from uuid import UUID

from sqlalchemy.exc import IntegrityError

from smsapp.db.sessions import reading
from smsapp.runtime import Runtime
from smsapp.templates import queries as templates
from smsapp.templates.models import TemplateVersion
from smsapp.templates.rules import parse_template


class TemplateNotFoundError(Exception):
    """There is no template of this name, or no such version of it."""


class TemplateExistsError(Exception):
    """There is a template of this name already."""


def add_template(rt: Runtime, owner: UUID, name: str, body: str) -> TemplateVersion:
    """Store a new template and return its first version.

    Raises:
        TemplateExistsError: the name is taken.
        MalformedTemplate: the text is not a valid template.
    """
    parse_template(body)
    try:
        with rt.transaction() as tx:
            added = templates.add(tx.session, owner, name, body, now=rt.clock())
    except IntegrityError:  # another request took the name first
        added = None
    if added is None:
        raise TemplateExistsError
    return added


def change_template(rt: Runtime, owner: UUID, name: str, body: str) -> TemplateVersion:
    """Store the next version of a template and return it.

    Raises:
        TemplateNotFoundError: there is no template of this name.
        MalformedTemplate: the text is not a valid template.
    """
    parse_template(body)
    with rt.transaction() as tx:
        added = templates.add_version(tx.session, owner, name, body, now=rt.clock())
    if added is None:
        raise TemplateNotFoundError
    return added


def find_template(rt: Runtime, owner: UUID, name: str, version: int | None = None) -> TemplateVersion:
    """Return a version of a template, the newest by default.

    Raises:
        TemplateNotFoundError: there is none.
    """
    with reading(rt.sessions) as session:
        found = templates.find(session, owner, name, version)
    if found is None:
        raise TemplateNotFoundError
    return found


def remove_template(rt: Runtime, owner: UUID, name: str) -> None:
    """Remove a template with its versions; messages and jobs made from them keep their texts.

    Raises:
        TemplateNotFoundError: there is none.
    """
    with rt.transaction() as tx:
        if not templates.remove(tx.session, owner, name):
            raise TemplateNotFoundError
