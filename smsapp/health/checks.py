"""Whether the database and Redis take writes: a server that only answers may be a standby, or full."""

import sqlite3
import ssl
from collections.abc import Iterator, Mapping

from redis.exceptions import RedisError
from sqlalchemy import func, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from smsapp.db.engine import refusal
from smsapp.db.sessions import writing_at_once
from smsapp.health.models import HealthCheck
from smsapp.runtime import Runtime

OK = "ok"
_SQLITE_PATIENCE_S = 0.1
_REFUSALS: Mapping[str, str] = {
    "READONLY": "read_only",
    "OOM": "out_of_memory",
    "MISCONF": "cannot_save",
    "NOREPLICAS": "no_replicas",
    "MASTERDOWN": "no_primary",
    "CLUSTERDOWN": "no_primary",
    "MOVED": "is_a_cluster",
    "LOADING": "loading",
    "NOPERM": "not_permitted",
    "NOAUTH": "wrong_password",
    "WRONGPASS": "wrong_password",
}
"""Redis's answers, by their first word (errors in its src/server.c), as the check names them."""

_LITTLE_MEMORY = text("SELECT set_config('work_mem', '64kB', true)")
_NEEDS_DISK = text(
    "SELECT count(*) FROM (SELECT n FROM generate_series(1, 5000) AS n ORDER BY n DESC) AS sorted"
)
"""Sorts more than fits into the memory, so that the server writes a new file of some 100 kB: a row that is updated in
place needs no space, and says nothing about a full disk."""


def check_database(rt: Runtime) -> str:
    """Write a row; return `ok`, or what is wrong in one word.

    SQLite's file is well while somebody else writes to it: it takes writes.
    """
    try:
        with writing_at_once(rt.sessions, patience_s=_SQLITE_PATIENCE_S) as session:
            _ask_for_space(session)
            session.execute(update(HealthCheck).values(written_at=func.now()))
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None)
        if isinstance(cause, sqlite3.Error):
            return OK if cause.sqlite_errorcode == sqlite3.SQLITE_BUSY else cause.sqlite_errorname.lower()
        return refusal(cause) or type(error).__name__
    return OK


def check_redis(rt: Runtime) -> str:
    """Write a key with a short life; return `ok`, or what is wrong in one word."""
    try:
        rt.stream.check()
    except (RedisError, OSError) as error:
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
            return "certificate_refused"
        code = getattr(error, "status_code", None) or str(error).partition(" ")[0]
        return _REFUSALS.get(code, type(error).__name__)
    return OK


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _ask_for_space(session: Session) -> None:
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_LITTLE_MEMORY)
        session.execute(_NEEDS_DISK)
