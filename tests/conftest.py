"""Fixtures for all tests: real servers, both databases, and a runtime with a Twilio that does as it is told."""

import gc
import os
from collections.abc import Iterator

import pytest
from redis import Redis
from sqlalchemy.orm import Session, sessionmaker

from dev.servers import PostgresServer, RedisServer
from smsapp.config import Settings
from smsapp.db.engine import make_sessions
from tests.support.budget import load_hypothesis_profile
from tests.support.databases import PostgresDatabases, SqliteDatabases, quick_postgres
from tests.support.distribution import ON_DATABASE, GroupScheduling, place_of, workers
from tests.support.environment import make_settings
from tests.support.memory import folder_in_memory
from tests.support.stack import DATABASES
from tests.support.tables import tables


def pytest_configure(config: pytest.Config) -> None:
    """Choose the examples of properties, and put temporary folders into memory unless somebody says where they go."""
    load_hypothesis_profile()
    memory = folder_in_memory()
    if memory and not config.option.basetemp:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Say what `-n auto` means."""
    return workers()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> GroupScheduling:
    """Keep together what shares something."""
    return GroupScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; among its like each test keeps its place in the random order."""
    items.sort(key=lambda item: place_of(item.nodeid))


def pytest_collection_finish() -> None:
    """Leave what was imported out of the searches for garbage: searching it took a sixth of the CPU time."""
    gc.collect()
    gc.freeze()


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
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    """What makes empty SQLite databases."""
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgres_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresDatabases]:
    """What makes empty PostgreSQL databases."""
    with quick_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield PostgresDatabases(server)


@pytest.fixture(scope="session")
def postgres_server(postgres_databases: PostgresDatabases) -> PostgresServer:
    """A PostgreSQL of our own for the whole run."""
    return postgres_databases.server


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty, migrated database; the test runs once on each kind."""
    if request.param == "sqlite":
        sqlite: SqliteDatabases = request.getfixturevalue("sqlite_databases")
        with sqlite.fresh(request.getfixturevalue("tmp_path")) as url:
            yield url
    else:
        postgres: PostgresDatabases = request.getfixturevalue("postgres_databases")
        with postgres.fresh() as url:
            yield url


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
    """Print the tables that tests made, and say how many tests ran on each database."""
    for title, table in tables(terminalreporter.getreports("passed")):
        terminalreporter.section(title)
        terminalreporter.write_line(table)
    for name, pattern in ON_DATABASE.items():
        counts = {
            outcome: sum(
                bool(pattern.search(getattr(report, "nodeid", "")))
                for report in terminalreporter.getreports(outcome)
            )
            for outcome in ("passed", "failed")
        }
        if any(counts.values()):
            terminalreporter.write_line(f"on {name}: {counts['passed']} passed, {counts['failed']} failed")
