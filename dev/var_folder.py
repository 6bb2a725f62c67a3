"""var/: where a clone keeps what its demo makes, and who may touch it now."""

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
    """Keep every other demo and `make reset` of this clone away.

    Raises:
        AlreadyRunningError: another one was first.
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
