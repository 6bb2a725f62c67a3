"""What a service needs of the world, as one value passed first to every function: no globals, no container."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy.orm import Session, sessionmaker

from smsapp.config import Settings
from smsapp.ports import Outbox, Pacer, PendingEvent, Stream, Webhooks
from smsapp.queue.tasks import Task, TaskQueue
from smsapp.twilio.gateway import Gateway


class Transaction:
    """One transaction of the database and what follows from its commit.

    Events are written with the change, as the last statement before the commit. Workers are woken after it: a task must
    never look for a row that nobody can see. A rollback, also to a savepoint, takes back both.
    """

    __slots__ = ("_afterwards", "_events", "listened_to", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.listened_to = False
        self._events: list[PendingEvent] = []
        self._afterwards: list[Callable[[], object]] = []

    def emit(self, *events: PendingEvent) -> None:
        """Let consumers hear of these, in this order, if and when the transaction commits."""
        self._events.extend(events)

    def emit_all(self, events: Iterable[PendingEvent]) -> None:
        """Do the same for many."""
        self._events.extend(events)

    def after_commit(self, call: Callable[[], object]) -> None:
        """Call this once the transaction is committed, and never if it is not."""
        self._afterwards.append(call)

    def write_events(self, outbox: Outbox) -> None:
        """Write what was emitted; nothing may be locked after this."""
        if self._events:
            self.listened_to = outbox.write(self.session, self._events)

    def run_afterwards(self) -> None:
        """Do what waits for the commit."""
        for call in self._afterwards:
            call()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Roll the body back by itself when it raises, with what it emitted; the rest of the transaction goes on."""
        emitted, afterwards = len(self._events), len(self._afterwards)
        try:
            with self.session.begin_nested():
                yield
        except BaseException:
            del self._events[emitted:], self._afterwards[afterwards:]
            raise


@contextmanager
def transaction(sessions: sessionmaker[Session], outbox: Outbox) -> Iterator[Transaction]:
    """Open a transaction that commits with its events when the body ends; afterwards call what waits for that."""
    with sessions.begin() as session:
        tx = Transaction(session)
        yield tx
        tx.write_events(outbox)
    tx.run_afterwards()


class RecentAnswer:
    """A yes or no that is asked for at most once in so many seconds."""

    def __init__(self, *, every_s: float = 1.0) -> None:
        self._every_s = every_s
        self._any = False
        self._look_at = 0.0

    def exists(self, look: Callable[[], bool]) -> bool:
        """Return the last answer, or ask when it is too old."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + self._every_s
            self._any = look()
        return self._any

    def expect(self) -> None:
        """Ask the next time: this process has just changed what the answer depends on."""
        self._look_at = 0.0


@dataclass(frozen=True, slots=True)
class Runtime:
    """Ports of one process. `stopping` is set when it was asked to end: loops then finish what they hold.

    `any_suppression`: whether anybody has opted out of anything; who has none pays for one question a second. The first
    opt-out ever may go unnoticed for that second; the claim of a message always looks.
    """

    settings: Settings
    sessions: sessionmaker[Session]
    outbox: Outbox
    tasks: TaskQueue
    stream: Stream
    gateway: Gateway
    pacer: Pacer
    webhooks: Webhooks
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    rng: Callable[[], float] = random.random
    stopping: threading.Event = field(default_factory=threading.Event)
    any_suppression: RecentAnswer = field(default_factory=RecentAnswer)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a transaction: it commits with its events when the body ends, then wakes those it concerns."""
        with transaction(self.sessions, self.outbox) as tx:
            yield tx
        if tx.listened_to:
            self.tasks.wake(Task.PUSH_EVENTS)
