"""What there was before there were applications goes on as it was, and nobody else sees it."""

from collections.abc import Iterator

import pytest
from alembic import command
from sqlalchemy import insert, select, table
from sqlalchemy.orm import Session, sessionmaker

from smsapp.cli.database import alembic_config
from smsapp.config import Settings
from smsapp.ids import new_id
from smsapp.keys import application_queries as applications
from smsapp.keys import queries as api_keys
from smsapp.keys.models import DEFAULT_APPLICATION, ApiKey
from smsapp.templates.models import Template, TemplateVersion
from tests.support.fakes import FakeClock
from tests.support.messages import Accept
from tests.support.web import Api, serving

KEY = ("id", "name", "mode", "prefix", "secret_sha256", "created_at")
TEMPLATE = ("name", "version", "created_at", "updated_at")
VERSION = ("name", "version", "body", "created_at")
SECRET = "sms_live_from_before"


@pytest.fixture
def former(
    accept: Accept, settings: Settings, sessions: sessionmaker[Session], clock: FakeClock
) -> Iterator[sessionmaker[Session]]:
    """A database of the former version with a message, two templates and a key."""
    accept()
    command.downgrade(alembic_config(settings), "0020")
    write_as_before(sessions, clock, SECRET, "greeting")
    write_as_before(sessions, clock, "sms_live_another", "farewell")
    yield sessions
    command.upgrade(alembic_config(settings), "head")


def write_as_before(sessions: sessionmaker[Session], clock: FakeClock, secret: str, template: str) -> None:
    """Insert a key and a template as a process of the former version does."""
    now = clock()
    key = {"id": new_id(), "name": "old", "mode": "live", "prefix": secret[:14], "created_at": now}
    rows = [
        (ApiKey, KEY, key | {"secret_sha256": api_keys.digest(secret)}),
        (Template, TEMPLATE, {"name": template, "version": 1, "created_at": now, "updated_at": now}),
        (TemplateVersion, VERSION, {"name": template, "version": 1, "body": "Hi", "created_at": now}),
    ]
    with sessions.begin() as session:
        for model, names, values in rows:
            known = table(model.__tablename__, *(model.__table__.c[name]._copy() for name in names))
            session.execute(insert(known).values(values))


def counts(api: Api) -> list[int]:
    """Return how many messages, templates and events the caller sees."""
    paths = ("/sms/messages", "/sms/templates", "/sms/events")
    return [len(api.get(path).json["data"]) for path in paths]


def test_all_that_there_was_belongs_to_the_first_application(
    former: sessionmaker[Session], settings: Settings, clock: FakeClock
) -> None:
    command.upgrade(alembic_config(settings), "head")

    with former.begin() as session:
        other = applications.add(session, "other", now=clock())
        assert other
        stranger = api_keys.issue(session, "k", mode="live", now=clock(), application_id=other.id)
    with serving(settings, SECRET) as api:
        assert counts(api) == [1, 2, 1]
        assert api.get("/sms/templates/greeting").json["body"] == "Hi"
        assert counts(Api(api.app, stranger)) == [0, 0, 0]


def test_processes_of_the_former_version_still_write(
    former: sessionmaker[Session], settings: Settings, clock: FakeClock
) -> None:
    command.upgrade(alembic_config(settings), "head")

    write_as_before(former, clock, "sms_live_late", "late")

    with former() as session:
        key = api_keys.find_active(session, "sms_live_late", now=clock())
        assert key
        assert key.application_id == DEFAULT_APPLICATION
        owners = session.scalars(select(Template.application_id).where(Template.name == "late")).all()
        assert owners == [DEFAULT_APPLICATION]


def test_the_templates_of_the_first_application_survive_a_step_back(
    former: sessionmaker[Session], settings: Settings
) -> None:
    command.upgrade(alembic_config(settings), "head")
    command.downgrade(alembic_config(settings), "0020")

    with former() as session:
        assert session.scalars(select(TemplateVersion.name).order_by(TemplateVersion.name)).all() == [
            "farewell",
            "greeting",
        ]
