"""Everything a service needs from outside, as one value passed first to every function: no globals, no container."""

import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from smsapp.config import Settings
from smsapp.db.sessions import writing
from smsapp.ports import News, Outbox, Pacer, PendingEvent, Stream, Webhooks, Written
from smsapp.queue.tasks import Task, TaskQueue
from smsapp.twilio.gateway import Gateway

_NOTHING_WRITTEN = Written(None, has_consumers=False)


class Transaction:
    """One database transaction, its events, and the calls that follow its commit.

    Events are written with the change, by the last statement before the commit. Workers and waiting requests are woken
    after it: they must never look for a row that they cannot see yet. A rollback, even to a savepoint, discards both.
    """

    __slots__ = ("_afterwards", "_events", "_outcomes", "session", "written")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.written = _NOTHING_WRITTEN
        self._events: list[PendingEvent] = []
        self._outcomes: list[UUID] = []
        self._afterwards: list[Callable[[], object]] = []

    def emit(self, *events: PendingEvent) -> None:
        """Emit these events to consumers, in this order, if and when the transaction commits."""
        self._events.extend(events)

    def emit_all(self, events: Iterable[PendingEvent]) -> None:
        """Emit an iterable of events, as `emit` does."""
        self._events.extend(events)

    def publish_outcomes(self, ids: Iterable[UUID]) -> None:
        """Wake those who wait for the outcomes of these messages once the transaction has committed."""
        self._outcomes.extend(ids)

    def after_commit(self, call: Callable[[], object]) -> None:
        """Call this once the transaction has committed, and never if it rolls back."""
        self._afterwards.append(call)

    def write_events(self, outbox: Outbox) -> None:
        """Write the emitted events; nothing may be locked after this."""
        if self._events:
            self.written = outbox.write(self.session, self._events)

    def publish(self, publish: "Publish") -> None:
        """Publish what has been committed, if anybody can be waiting for it."""
        if self._outcomes or self.written.position is not None:
            publish(self._outcomes, self.written.position)

    def run_afterwards(self) -> None:
        """Make the calls that were deferred until after the commit."""
        for call in self._afterwards:
            call()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Roll back only the body and its events if it raises; the rest of the transaction can continue."""
        emitted, ended, afterwards = len(self._events), len(self._outcomes), len(self._afterwards)
        try:
            with self.session.begin_nested():
                yield
        except BaseException:
            del self._events[emitted:], self._outcomes[ended:], self._afterwards[afterwards:]
            raise


Publish = Callable[[Collection[UUID], int | None], object]
"""`News.publish`, or what stands in for it."""


@contextmanager
def transaction(
    sessions: sessionmaker[Session],
    outbox: Outbox,
    wake_pushers: Callable[[], object] = lambda: None,
    publish: Publish = lambda _outcomes, _position: None,
) -> Iterator[Transaction]:
    """Open a transaction that commits with its events when the body ends, then makes the deferred calls.

    Waiting requests and pushers are woken first: nobody must wait for a batch's log lines.
    """
    with writing(sessions) as session:
        tx = Transaction(session)
        yield tx
        tx.write_events(outbox)
    tx.publish(publish)
    if tx.written.has_consumers:
        wake_pushers()
    tx.run_afterwards()


class RecentAnswer:
    """A cached yes or no that is refreshed at most once per interval."""

    def __init__(self, *, every_s: float = 1.0) -> None:
        self.every_s = every_s
        self._any = False
        self._look_at = 0.0

    def exists(self, look: Callable[[], bool]) -> bool:
        """Return the cached answer, or call `look` when it is too old."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + self.every_s
            self._any = look()
        return self._any

    def expect(self) -> None:
        """Discard the cached answer, because this process has just changed what it depends on."""
        self._look_at = 0.0


@dataclass(frozen=True, slots=True)
class Runtime:
    """Ports of one process. `stopping` is set when it was asked to stop: loops then finish the work they hold.

    A drain that finds nothing for `drain_idle` ends. Until then a wake-up reaches it at once; a new one has to come
    through the task queue first.

    `any_suppression` caches whether anybody has opted out of anything, so an installation without opt-outs pays for one
    query a second. The first opt-out ever may go unnoticed for that second, but the claim of a message always checks.
    """

    settings: Settings
    sessions: sessionmaker[Session]
    outbox: Outbox
    tasks: TaskQueue
    stream: Stream
    gateway: Gateway
    pacer: Pacer
    webhooks: Webhooks
    news: News
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    rng: Callable[[], float] = random.random
    stopping: threading.Event = field(default_factory=threading.Event)
    drain_idle: timedelta = timedelta(seconds=5)
    any_suppression: RecentAnswer = field(default_factory=RecentAnswer)

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that commits with its events when the body ends, then wakes whom it concerns."""
        wake_pushers = partial(self.tasks.wake, Task.PUSH_EVENTS)
        return transaction(self.sessions, self.outbox, wake_pushers, self.news.publish)
