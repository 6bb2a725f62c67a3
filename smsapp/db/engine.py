"""Engines and sessions for both databases, so that a transaction means the same on each."""

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from smsapp.db.sqlite import PATIENCE_S, PatientConnection

PATIENCE = "patience_s"
"""Execution option of a transaction: how long it waits at its start for SQLite's write lock, in seconds."""

READ_ONLY = {"read_only": True}
"""Execution options of a read-only transaction: on SQLite it then takes no write lock."""

_READ_ONLY = "25006"
"""SQLSTATE read_only_sql_transaction: after a failover the open connections lead to what is a standby now."""

_REFUSING = frozenset({_READ_ONLY, "53100", "53200", "53300", "57P01", "57P02", "57P03", "57P04"})
"""SQLSTATEs of a server that is there and says no: read-only, disk full, out of memory, too many connections, shutting
down, starting up, database dropped (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

_DATABASE_TIMEOUT_S = 5


def engine_options(database_url: str, *, pool_size: int) -> dict[str, Any]:
    """Return the `create_engine` options for the database; they can be passed to Flask-SQLAlchemy unchanged."""
    # Errors are logged, and their parameters include phone numbers and texts: personal data.
    common = {"pool_size": pool_size, "max_overflow": 0, "hide_parameters": True}
    if database_url.startswith("sqlite"):
        return {**common, "connect_args": {"check_same_thread": False}}
    return {
        **common,
        "pool_pre_ping": False,
        "connect_args": {
            "connect_timeout": _DATABASE_TIMEOUT_S,
            "application_name": "smsapp",
            "client_encoding": "utf8",  # whatever the server's default is
            # A peer that vanished silently must not block a worker for the kernel's default of two hours.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,  # ms; keepalives are not sent while a request is in flight
            # The server must also notice a vanished client: it may hold the lock on the row that numbers the events.
            "options": "-c timezone=UTC -c statement_timeout=30s -c lock_timeout=10s "
            "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
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


def _wait_for_another_server(context: ExceptionContext) -> OperationalError | None:
    """Treat a server that refuses like one that is away: drop its connections, and let callers try again.

    A connection that a failover has made read-only stays so for as long as it is open; the next one finds the primary.
    """
    state = getattr(context.original_exception, "sqlstate", None)
    if state not in _REFUSING:
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
