"""A SQLite connection on which nothing that waits keeps a gevent process from serving other requests.

SQLite's own busy handler sleeps inside C, and a commit waits there for the disk: both would stop gevent's only thread,
callbacks included. So a statement that meets another program's lock fails at once and is tried again after a sleep,
during which other greenlets run; and a commit runs in a thread of gevent's pool. In processes without gevent the sleep
is a thread's, and the commit runs where it is called.
"""

import sqlite3
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

PATIENCE_S = 10.0
"""How long a statement waits for another program's lock, as PostgreSQL's `lock_timeout` here."""

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY}
"""Codes that pass by themselves. SQLITE_BUSY_SNAPSHOT does not: only a new transaction helps
(https://www.sqlite.org/rescode.html#busy_snapshot)."""

_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.02

T = TypeVar("T")


class PatientCursor(sqlite3.Cursor):
    """A cursor whose statements wait for locks as its connection does."""

    connection: "PatientConnection"

    def execute(self, sql: str, parameters: Any = (), /) -> "PatientCursor":
        """Run a statement, waiting for as long as the connection is patient.

        Raises:
            sqlite3.OperationalError: SQLITE_BUSY, the database was still locked then.
        """
        self.connection.retry_while_locked(partial(super().execute, sql, parameters))
        return self


class PatientConnection(sqlite3.Connection):
    """A connection that waits for locks without blocking other greenlets. Its `timeout` must be 0.

    `patience_s` is how long a statement waits for another program's lock.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.patience_s = PATIENCE_S
        self._in_thread = _thread_runner()

    def cursor(self, factory: Any = PatientCursor) -> Any:
        """Return a cursor that is as patient as the connection."""
        return super().cursor(factory)

    def commit(self) -> None:
        """Commit; other greenlets run while the disk writes, and while this copies the log into the database."""
        self.retry_while_locked(partial(self._in_thread, super().commit))

    def retry_while_locked(self, attempt: Callable[[], T]) -> T:
        """Return what the attempt returns; repeat it while another program's lock makes it fail."""
        give_up_at = 0.0
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return attempt()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode not in _LOCKED:
                    raise
                now = time.monotonic()
                give_up_at = give_up_at or now + self.patience_s
                if now >= give_up_at:
                    raise
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def _call(call: Callable[[], None]) -> None:
    call()


def _thread_runner() -> Callable[[Callable[[], None]], None]:
    """Return what runs a call in a thread where threads are greenlets, else what just calls it."""
    if "gevent" not in sys.modules:
        return _call
    from gevent import get_hub, monkey  # noqa: PLC0415 - only web processes have loaded it

    if not monkey.is_module_patched("threading"):
        return _call
    pool = get_hub().threadpool

    def in_thread(call: Callable[[], None]) -> None:
        if error := pool.apply(_error_of, (call,)):
            raise error

    return in_thread


def _error_of(call: Callable[[], None]) -> Exception | None:
    """Make the call and return its error: gevent would write a raised one to stderr, and never answer if that fails."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - raised again in the greenlet that waits
        return error
    return None
