"""Read-only transactions."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session, sessionmaker

from smsapp.db.engine import READ_ONLY


@contextmanager
def reading(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """Open a read-only session; on SQLite it waits for no writer, and no writer waits for it."""
    with sessions() as session:
        session.connection(execution_options=READ_ONLY)
        yield session
