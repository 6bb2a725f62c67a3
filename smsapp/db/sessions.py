"""Transactions: read-only ones, ones that write, and ones that would rather fail than wait."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker

from smsapp.db.engine import PATIENCE, READ_ONLY
from smsapp.db.sqlite import PATIENCE_S


class WriterTurn:
    """One writer at a time among the threads or greenlets of a process, in the order of their arrival.

    SQLite has one writer. Those who wait for it hold no connection, so however many there are, readers find one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=PATIENCE_S):
            raise PoolTimeoutError("another transaction of this process waits for the database")

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


@contextmanager
def reading(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """Open a read-only session; on SQLite it waits for no writer, and no writer waits for it."""
    with sessions() as session:
        session.connection(execution_options=READ_ONLY)
        yield session


@contextmanager
def writing(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """Open a transaction that commits when the body ends.

    Raises:
        OperationalError: SQLite's file stayed locked by another program.
        TimeoutError: so did it for the transactions of this process that came first.
    """
    turn: WriterTurn | None = sessions.kw.get("info", {}).get(WriterTurn)
    if turn is None:
        with sessions.begin() as session:
            yield session
        return
    with turn, sessions.begin() as session:
        yield session


@contextmanager
def writing_at_once(sessions: sessionmaker[Session], *, patience_s: float = 0.0) -> Iterator[Session]:
    """Open a transaction that fails when SQLite's file is locked for longer than `patience_s`, and takes no turn.

    On PostgreSQL it is a transaction like any other: there, writers of different rows do not wait for each other.
    """
    with sessions.begin() as session:
        session.connection(execution_options={PATIENCE: patience_s})
        yield session
