"""Engines and sessions for both databases, so that one transaction means the same on each."""

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import Session, sessionmaker

READ_ONLY = {"read_only": True}
"""Execution options of a transaction that only reads: on SQLite it then takes no write lock."""

_BUSY_TIMEOUT_MS = 10_000
_DATABASE_TIMEOUT_S = 5


def engine_options(database_url: str, *, pool_size: int) -> dict[str, Any]:
    """Return the `create_engine` options that suit the database; pass them on to Flask-SQLAlchemy as they are."""
    # Errors are logged, and parameters are numbers and texts: personal data.
    common = {"pool_size": pool_size, "max_overflow": 0, "hide_parameters": True}
    if database_url.startswith("sqlite"):
        return {**common, "connect_args": {"check_same_thread": False}}
    return {
        **common,
        "pool_pre_ping": False,
        "connect_args": {
            "connect_timeout": _DATABASE_TIMEOUT_S,
            "application_name": "smsapp",
            "client_encoding": "utf8",  # whatever the server's own is
            # A peer that vanished without a word must not hold a worker for the two hours of the kernel's default.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,  # ms; keepalives are not sent while a request is on its way
            # The server, too, must notice a peer that vanished: it may have held the row that numbers the events.
            "options": "-c timezone=UTC -c statement_timeout=30s -c lock_timeout=10s "
            "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
        },
    }


def prepare_engine(engine: Engine) -> Engine:
    """Give SQLite the transactions that PostgreSQL has: real ones, in WAL mode, that take the write lock at the start.

    pysqlite opens transactions late and silently; a transaction that reads first and writes later would then fail
    with SQLITE_BUSY at once when another process wrote in between.
    """
    if engine.dialect.name != "sqlite":
        return engine

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # an answered 202 survives a power cut, too
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        read_only = connection.get_execution_options().get("read_only")
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def make_sessions(database_url: str, *, pool_size: int) -> sessionmaker[Session]:
    """Return the session factory of a worker process or a command."""
    engine = create_engine(database_url, **engine_options(database_url, pool_size=pool_size))
    return sessionmaker(prepare_engine(engine), expire_on_commit=False)
