"""`python -m smsapp applications …`: callers' systems, each of which sees only what its own keys made."""

import re
from datetime import UTC, datetime
from uuid import UUID

import click
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from smsapp.audit import queries as audit
from smsapp.audit.rules import Act
from smsapp.cli.settings import settings_or_exit
from smsapp.db.engine import make_sessions
from smsapp.db.sessions import reading
from smsapp.keys import application_queries as stored

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def application_id(session: Session, name: str) -> UUID:
    """Return the id of the application with this name.

    Raises:
        ClickException: there is none.
    """
    found = stored.named(session, name)
    if found is None:
        raise click.ClickException(f"there is no application {name!r}; `applications create {name}` makes it")
    return found


@click.group()
def applications() -> None:
    """Manage applications, each of which sees only what its keys made."""


@applications.command("create")
@click.argument("name")
def applications_create(name: str) -> None:
    """Create an application; `keys create NAME --application APPLICATION` gives it a key."""
    if not _NAME.fullmatch(name):
        raise click.BadParameter(
            "use up to 64 lower-case letters, digits and `_.-`, and begin with a letter or digit"
        )
    try:
        with make_sessions(settings_or_exit().database_url, pool_size=1).begin() as session:
            added = stored.add(session, name, now=datetime.now(UTC))
            if added is not None:
                audit.record(session, Act.APPLICATION_CREATED, name, now=datetime.now(UTC))
    except IntegrityError:  # another process took the name first
        added = None
    if added is None:
        raise click.ClickException(f"there is an application {name!r} already")
    click.echo(f"Application {name!r} created.")


@applications.command("list")
def applications_list() -> None:
    """List applications."""
    with reading(make_sessions(settings_or_exit().database_url, pool_size=1)) as session:
        for each in stored.all_of(session):
            click.echo(f"{each.created_at:%Y-%m-%d %H:%MZ}  {each.name}")
