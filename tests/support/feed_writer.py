"""Writes events in transactions of all kinds and reports which it has committed; as a process, it dies on purpose.

`python -m tests.support.feed_writer DATABASE_URL TRANSACTIONS` kills itself in its last transaction, between the last
statement and the commit, with the row of the numbers locked.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

from sqlalchemy import event
from sqlalchemy.orm import Session

from smsapp.db.engine import make_sessions
from smsapp.events.outbox import DatabaseOutbox
from smsapp.events.types import EventType
from smsapp.ids import new_id
from smsapp.ports import PendingEvent
from smsapp.runtime import transaction
from tests.support.fakes import START


class _Refused(Exception):
    """Raised in the middle of a transaction to roll it back."""


def write(url: str, name: str, transactions: int) -> Iterator[list[str]]:
    """Yield the ids of each committed transaction, in order; others are rolled back in between."""
    rng = random.Random(name)

    def some(kind: str) -> list[PendingEvent]:
        data = {"writer": name, "kind": kind}
        count = rng.randint(1, 20)
        return [PendingEvent(EventType.JOB_COMPLETED, new_id(), START, data=data) for _ in range(count)]

    sessions = make_sessions(url, pool_size=1)
    outbox = DatabaseOutbox(lambda _session: False)
    for number in range(transactions):
        with suppress(_Refused), transaction(sessions, outbox) as tx:
            tx.emit_all(kept := some("kept"))
            with suppress(_Refused), tx.savepoint():
                tx.emit_all(some("taken back"))
                raise _Refused
            time.sleep(rng.random() * 0.003)  # others begin and commit meanwhile
            if number % 4 == 1:
                tx.emit_all(some("rolled back"))
                raise _Refused
            tx.emit_all(more := some("kept"))
            kept += more
        if number % 4 != 1:
            yield [each.id.hex for each in kept]
    sessions.kw["bind"].dispose()


def _die_at_last(url: str, transactions: int) -> None:
    left = transactions

    @event.listens_for(Session, "before_commit")  # called after the outbox was written
    def die(session: Session) -> None:
        nonlocal left
        left -= not session.in_nested_transaction()
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    for ids in write(url, "mortal", 10**9):
        print(*ids, flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    _die_at_last(sys.argv[1], int(sys.argv[2]))
