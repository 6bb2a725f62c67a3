"""A PostgreSQL that is there and says no counts as one that is away: connections are dropped, callers try again."""

import shutil
import subprocess
from collections.abc import Iterator

import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session, sessionmaker

from smsapp.db.engine import engine_options, make_sessions, refusal
from smsapp.health.checks import check_database
from smsapp.health.models import HealthCheck
from smsapp.runtime import Runtime
from tests.support.databases import PostgresDatabases

_SEGMENT = 16 * 1024 * 1024
"""The size of the files of PostgreSQL's log: a process that may not write as much ends the server."""


@pytest.fixture
def database_url(postgres_databases: PostgresDatabases) -> Iterator[str]:
    with postgres_databases.fresh() as url:
        yield url


@pytest.fixture
def sessions(database_url: str) -> Iterator[sessionmaker[Session]]:
    """Sessions that share one connection."""
    factory = make_sessions(database_url, pool_size=1)
    yield factory
    factory.kw["bind"].dispose()


def process_of(session: Session) -> int:
    """Return the id of the server's process behind a session."""
    return session.scalar(text("SELECT pg_backend_pid()")) or 0


def limit_files(process_id: int) -> None:
    """Let a process write no file beyond a segment's size; only its own user may ask for that."""
    command = ["prlimit", "--pid", str(process_id), f"--fsize={_SEGMENT}:"]
    process = psutil.Process(process_id)
    subprocess.run(command, check=True, user=process.uids().real, group=process.gids().real)


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="no prlimit (util-linux) to limit files with")
def test_a_file_that_may_not_grow_is_a_refusal_of_the_server(sessions: sessionmaker[Session]) -> None:
    large = text(
        "SELECT count(*) FROM (SELECT n FROM generate_series(1, 1500000) AS n ORDER BY n DESC) AS sorted"
    )
    with sessions() as session:
        first = process_of(session)
        limit_files(first)
        session.execute(text("SET work_mem = '64kB'"))
        with pytest.raises(OperationalError) as raised:
            session.execute(large)

    assert refusal(raised.value.orig) == "storage_refuses"
    with sessions() as session:
        assert process_of(session) != first


def test_a_missing_right_is_a_refusal_of_the_server(sessions: sessionmaker[Session]) -> None:
    with sessions() as session:
        session.execute(text("CREATE ROLE stranger"))
        session.execute(text("SET LOCAL ROLE stranger"))
        with pytest.raises(OperationalError) as raised:
            session.execute(text("SELECT * FROM messages"))

    assert refusal(raised.value.orig) == "not_permitted"


def test_a_session_that_the_server_ends_is_a_refusal_of_the_server(sessions: sessionmaker[Session]) -> None:
    with sessions() as session:
        session.execute(text("SET idle_in_transaction_session_timeout = '300ms'"))
        session.commit()
        process = psutil.Process(process_of(session))
        process.wait(timeout=10)
        with pytest.raises(OperationalError):
            session.execute(text("SELECT 1"))

    with sessions() as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_a_faulty_statement_is_none(sessions: sessionmaker[Session]) -> None:
    with sessions() as session:
        first = process_of(session)
        with pytest.raises(ProgrammingError) as raised:
            session.execute(text("SELECT nothing"))

    assert refusal(raised.value.orig) is None
    with sessions() as session:
        assert process_of(session) == first


def test_the_check_asks_for_space(rt: Runtime) -> None:
    """An update in place needs none: on a full disk it succeeds, and messages cannot be stored."""
    with rt.sessions() as session:
        session.execute(
            text(
                f"ALTER DATABASE {session.scalar(text('SELECT current_database()'))} SET temp_file_limit = 0"
            )
        )
        session.commit()
    rt.sessions.kw["bind"].dispose()

    assert check_database(rt) == "limit_reached"
    with rt.sessions() as session:
        assert session.query(HealthCheck).count() == 1


def test_options_of_the_url_count(database_url: str) -> None:
    url = f"{database_url}?application_name=mine&options=-csearch_path%3Dmine"

    factory = make_sessions(url, pool_size=1)
    with factory() as session:
        shown = [
            session.scalar(text(f"SHOW {name}")) for name in ("application_name", "search_path", "timezone")
        ]
    factory.kw["bind"].dispose()

    assert shown == ["mine", "mine", "UTC"]
    assert "application_name" not in engine_options(url, pool_size=1)["connect_args"]
