"""Many requests that wait for outcomes at the same time, and what that costs the database."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from smsapp.config import Settings
from smsapp.connect import connect_redis
from smsapp.events.look_for_news import look_for_news
from smsapp.keys.models import DEFAULT_APPLICATION
from smsapp.keys.scopes import Scope
from smsapp.messages.wait_for_outcome import OutcomeWaits
from smsapp.news.channel import Subscription
from smsapp.news.desk import NewsDesk
from smsapp.runtime import Runtime
from smsapp.web.auth import Caller

_WAIT_S = 120.0
_STACK_BYTES = 256 * 1024


def somebody() -> Caller:
    """Return a caller of the application whose messages tests accept."""
    return Caller(uuid4(), DEFAULT_APPLICATION, "live", frozenset(Scope))


class Waiters:
    """Threads that each wait for the outcome of a message; as a context manager none is left in the end."""

    def __init__(self, rt: Runtime, desk: NewsDesk) -> None:
        self.answers: dict[UUID, list[float]] = {}
        """When the answers came, by message, in seconds of the monotonic clock."""
        self._desk = desk
        self._waits = OutcomeWaits(rt, desk)
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()

    def __enter__(self) -> "Waiters":
        return self

    def __exit__(self, *_: object) -> None:
        self._desk.close()
        for thread in self._threads:
            thread.join(_WAIT_S)

    def wait_for(self, ids: Sequence[UUID], *, each: int) -> None:
        """Start `each` waiters for each message, and return once all of them sleep."""
        usual = threading.stack_size(_STACK_BYTES)
        for message_id in [message_id for message_id in ids for _ in range(each)]:
            self._threads.append(threading.Thread(target=self._wait, args=(message_id,), daemon=True))
            self._threads[-1].start()
        threading.stack_size(usual)
        taken = self._waits._places._taken
        self._until(lambda: taken.total() == len(self._threads), 60)

    def all_answered(self, count: int, *, within_s: float = 30.0) -> float:
        """Return when the last of so many answers came; there must be no more of them."""
        self._until(lambda: self._count() >= count, within_s)
        assert self._count() == count
        return max(at for times in self.answers.values() for at in times)

    def _count(self) -> int:
        return sum(map(len, list(self.answers.values())))

    def _wait(self, message_id: UUID) -> None:
        message = self._waits.find(message_id, somebody(), seconds=_WAIT_S, client=None)
        with self._changed:
            if message and message.outcome:
                self.answers.setdefault(message_id, []).append(time.monotonic())
            self._changed.notify_all()

    def _until(self, seen: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not seen():
            assert time.monotonic() < deadline, f"{self._count()} answers of {len(self._threads)}"
            with self._changed:
                self._changed.wait(0.01)


@contextmanager
def open_desk(
    rt: Runtime, settings: Settings, *, quiet_after: timedelta = timedelta(minutes=1)
) -> Iterator[NewsDesk]:
    """Give the place where the requests of a process wait, and close it."""
    redis = connect_redis(settings, timeout_s=0.5)
    desk = NewsDesk(
        partial(Subscription, redis), partial(look_for_news, rt.sessions), quiet_after=quiet_after
    )
    yield desk
    desk.close()


@contextmanager
def counted_queries(sessions: sessionmaker[Session]) -> Iterator[list[str]]:
    """Collect the statements that reach the database while the body runs."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    engine = sessions.kw["bind"]
    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)
