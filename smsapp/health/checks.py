"""Whether the database and Redis take writes: a server that only answers may be a standby, or full."""

import sqlite3

from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError
from sqlalchemy import func, update
from sqlalchemy.exc import SQLAlchemyError

from smsapp.db.sessions import writing_at_once
from smsapp.health.models import HealthCheck
from smsapp.runtime import Runtime

OK = "ok"
_SQLITE_PATIENCE_S = 0.1
_REFUSALS = {
    "25006": "read_only",
    "53100": "disk_full",
    "53200": "out_of_memory",
    "53300": "too_many_connections",
}
"""PostgreSQL's SQLSTATEs as the check names them
(https://www.postgresql.org/docs/current/errcodes-appendix.html)."""


def check_database(rt: Runtime) -> str:
    """Write a row; return `ok`, or what is wrong in one word.

    SQLite's file is well while somebody else writes to it: it takes writes.
    """
    try:
        with writing_at_once(rt.sessions, patience_s=_SQLITE_PATIENCE_S) as session:
            session.execute(update(HealthCheck).values(written_at=func.now()))
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None)
        if isinstance(cause, sqlite3.Error):
            return OK if cause.sqlite_errorcode == sqlite3.SQLITE_BUSY else cause.sqlite_errorname.lower()
        return _REFUSALS.get(getattr(cause, "sqlstate", None) or "", type(error).__name__)
    return OK


def check_redis(rt: Runtime) -> str:
    """Write a key with a short life; return `ok`, or what is wrong in one word."""
    try:
        rt.stream.check()
    except ReadOnlyError:
        return "read_only"
    except OutOfMemoryError:
        return "out_of_memory"
    except (RedisError, OSError) as error:
        return type(error).__name__
    return OK
