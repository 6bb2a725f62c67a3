"""Engines and sessions for both databases, so that a transaction means the same on each."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from smsapp.db.sqlite import PATIENCE_S, PatientConnection

PATIENCE = "patience_s"
"""Execution option of a transaction: how long it waits at its start for SQLite's write lock, in seconds."""

READ_ONLY = {"read_only": True}
"""Execution options of a read-only transaction: on SQLite it then takes no write lock."""

_REFUSALS: Mapping[str, str] = {
    "25006": "read_only",  # after a failover the open connections lead to what is a standby now
    "25P03": "session_ended",
    "25P04": "session_ended",
    "42501": "not_permitted",
    "53100": "disk_full",
    "53200": "out_of_memory",
    "53300": "too_many_connections",
    "53400": "limit_reached",
    "57P01": "shutting_down",
    "57P02": "crashed",
    "57P03": "starting_up",
    "57P04": "database_dropped",
    "57P05": "session_ended",
    "58000": "storage_refuses",
    "58030": "storage_refuses",
}
"""What a server that is there and says no calls it, by SQLSTATE
(https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

_UNNAMED = frozenset({"XX000", "42501", "58P01"})
_STORAGE = frozenset({"fd.c", "md.c", "smgr.c", "buffile.c", "xlog.c"})
"""PostgreSQL has no SQLSTATE for a quota, a file that may not grow or a read-only file system: to it they are internal
errors, like faults of a statement. Only the source file that reports them tells the difference (errcode_for_file_access
in elog.c)."""

_DATABASE_TIMEOUT_S = 5


def engine_options(database_url: str, *, pool_size: int) -> dict[str, Any]:
    """Return the `create_engine` options for the database; they can be passed to Flask-SQLAlchemy unchanged."""
    # Errors are logged, and their parameters include phone numbers and texts: personal data.
    common = {"pool_size": pool_size, "max_overflow": 0, "hide_parameters": True}
    if database_url.startswith("sqlite"):
        return {**common, "connect_args": {"check_same_thread": False}}
    given = make_url(database_url).query
    usual = {
        "connect_timeout": _DATABASE_TIMEOUT_S,
        "application_name": "smsapp",
        # A peer that vanished silently must not block a worker for the kernel's default of two hours.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,  # ms; keepalives are not sent while a request is in flight
    }
    return {
        **common,
        "pool_pre_ping": False,
        "connect_args": {
            **{name: value for name, value in usual.items() if name not in given},
            "client_encoding": "utf8",  # whatever the server's default is
            # The server must also notice a vanished client: it may hold the lock on the row that numbers the events.
            "options": f"{given.get('options', '')} -c timezone=UTC -c statement_timeout=30s -c lock_timeout=10s "
            "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3".lstrip(),
        },
    }


def prepare_engine(engine: Engine) -> Engine:
    """Give SQLite explicit transactions in WAL mode that take the write lock at the start, to match PostgreSQL's.

    pysqlite opens transactions late and silently; a transaction that reads first and writes later would then fail
    with SQLITE_BUSY at once when another process wrote in between.
    """
    if engine.dialect.name != "sqlite":
        event.listen(engine, "handle_error", _wait_for_another_server)
        return engine

    @event.listens_for(engine, "do_connect")
    def wait_patiently(
        _dialect: object, _record: object, _arguments: object, options: dict[str, Any]
    ) -> None:
        options |= {"factory": PatientConnection, "timeout": 0}

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # a message answered with 202 survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        driver = connection.connection.dbapi_connection
        if isinstance(driver, PatientConnection):
            driver.patience_s = options.get(PATIENCE, PATIENCE_S)
        connection.exec_driver_sql("BEGIN" if options.get("read_only") else "BEGIN IMMEDIATE")

    return engine


def refusal(error: BaseException | None) -> str | None:
    """Return in one word what a PostgreSQL that is there refuses, or None if the statement itself is at fault."""
    state = getattr(error, "sqlstate", None) or ""
    if state in _UNNAMED and getattr(getattr(error, "diag", None), "source_file", None) in _STORAGE:
        return "storage_refuses"
    return _REFUSALS.get(state)


def _wait_for_another_server(context: ExceptionContext) -> OperationalError | None:
    """Treat a server that refuses like one that is away: drop its connections, and let callers try again.

    A connection that a failover has made read-only stays so for as long as it is open; the next one finds the primary.
    """
    if refusal(context.original_exception) is None:
        return None
    context.is_disconnect = True
    if isinstance(context.sqlalchemy_exception, OperationalError):
        return None
    return OperationalError(
        context.statement, None, context.original_exception, hide_parameters=True, connection_invalidated=True
    )


def make_sessions(database_url: str, *, pool_size: int) -> sessionmaker[Session]:
    """Return the session factory of a worker process or a command."""
    engine = create_engine(database_url, **engine_options(database_url, pool_size=pool_size))
    return sessionmaker(prepare_engine(engine), expire_on_commit=False)
