"""Whether the database and Redis take writes: a server that only answers may be a standby, or full."""

import sqlite3
from contextlib import closing

from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError
from sqlalchemy import Engine, func, update
from sqlalchemy.exc import SQLAlchemyError

from smsapp.db.engine import BUSY_TIMEOUT_MS
from smsapp.health.models import HealthCheck
from smsapp.runtime import Runtime

OK = "ok"
_SQLITE_PATIENCE_MS = 100
_REFUSALS = {
    "25006": "read_only",
    "53100": "disk_full",
    "53200": "out_of_memory",
    "53300": "too_many_connections",
}
"""PostgreSQL's SQLSTATEs as the check names them
(https://www.postgresql.org/docs/current/errcodes-appendix.html)."""


def check_database(rt: Runtime) -> str:
    """Write a row; return `ok`, or what is wrong in one word."""
    try:
        with rt.sessions() as session:
            engine = session.get_bind()
            if isinstance(engine, Engine) and engine.dialect.name == "sqlite":
                return _check_sqlite(engine)
            session.execute(update(HealthCheck).values(written_at=func.now()))
            session.commit()
    except sqlite3.Error as error:
        return error.sqlite_errorname.lower()
    except SQLAlchemyError as error:
        state = getattr(getattr(error, "orig", None), "sqlstate", None)
        return _REFUSALS.get(state or "", type(error).__name__)
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


def _check_sqlite(engine: Engine) -> str:
    """Write, but wait only a moment for another writer: while somebody else writes, the file takes writes."""
    with closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        try:
            cursor.execute(f"PRAGMA busy_timeout = {_SQLITE_PATIENCE_MS}")
            cursor.execute("UPDATE health_checks SET written_at = CURRENT_TIMESTAMP")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    return OK
