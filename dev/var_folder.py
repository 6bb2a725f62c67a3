"""var/: the folder of the demo's data, and the lock on it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VAR = ROOT / "var"
LOCK = VAR / "demo.lock"


class AlreadyRunningError(Exception):
    """A demo of this clone runs; the text is its process id."""


@contextmanager
def sole_use() -> Iterator[None]:
    """Lock out every other demo and `make reset` of this clone.

    Raises:
        AlreadyRunningError: another one holds the lock.
    """
    VAR.mkdir(exist_ok=True)
    with LOCK.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunningError(lock.read().strip()) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
