"""Fixtures for all tests: real servers, both databases, and a runtime with a Twilio that does as it is told."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from redis import Redis
from sqlalchemy.orm import Session, sessionmaker

from dev.servers import PostgresServer, RedisServer
from smsapp.cli.main import alembic_config
from smsapp.config import Settings
from smsapp.db.engine import make_sessions
from tests.support.environment import make_settings

DATABASES = ("sqlite", "postgres")
_TEMPLATE = "smsapp_template"


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of our own for the whole run."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis."""
    with Redis.from_url(redis_server.url) as redis:
        redis.flushall()
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL of our own for the whole run, with a migrated template database."""
    with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        command.upgrade(alembic_config(make_settings(database_url=server.create_database(_TEMPLATE))), "head")
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    command.upgrade(alembic_config(make_settings(database_url=f"sqlite:///{path}")), "head")
    return path


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty, migrated database; the test runs once on each kind."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        path = tmp_path / "smsapp.db"
        path.write_bytes(template.read_bytes())
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"test_{tmp_path.name.lower().replace('-', '_')[:40]}_{abs(hash(tmp_path)) % 10**8}"
    yield server.create_database(name, template=_TEMPLATE)
    server.drop_database(name)


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    """Settings for one empty database and one empty Redis."""
    return make_settings(database_url=database_url, redis_url=redis_url)


@pytest.fixture
def sessions(settings: Settings) -> Iterator[sessionmaker[Session]]:
    """Sessions on the test's database, all closed afterwards."""
    factory = make_sessions(settings.database_url, pool_size=20)
    yield factory
    factory.kw["bind"].dispose()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests ran on each database."""
    for name in DATABASES:
        parameter = re.compile(rf"[\[-]{name}[\]-]")
        counts = {
            outcome: sum(
                bool(parameter.search(getattr(report, "nodeid", "")))
                for report in terminalreporter.getreports(outcome)
            )
            for outcome in ("passed", "failed")
        }
        if any(counts.values()):
            terminalreporter.write_line(f"on {name}: {counts['passed']} passed, {counts['failed']} failed")
