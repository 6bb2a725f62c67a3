"""Where requests wait for news: one subscription per process wakes exactly those whom a bulletin concerns.

Whoever waits registers first, then looks at the database, then sleeps: what is committed before the look is seen by it,
and what is committed later wakes the sleeper. While bulletins come, waiting costs no query. When they may have been
lost, one look at the database a second serves all waiters of the process together (see
docs/decisions/0027-waiting-on-news.md).
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from smsapp.news.channel import Subscription
from smsapp.news.rules import Bulletin

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
"""How often one look serves all waiters while bulletins may be lost."""

_TICK_S = 0.2
"""How soon a stop of the process is noticed."""

_PING_EVERY_S = 0.5
_DEAF_AFTER_S = 1.25
"""A Redis that is silent for so long although it was pinged counts as away: it may be frozen, or unreachable."""

_RETRY_S = 0.25
_LEAVE_AFTER_S = 30.0
_READ_S = 0.002
"""What one reader of the feed costs when it is woken. Readers are woken together, so seldom that reading leaves the
process time for others: a single one at once, a hundred five times a second."""

_ANSWERING = 4
"""How many woken requests read and answer at a time: others come in between, however many are woken together."""

_TURN_S = 3.0
"""How long a request waits for its turn: when the database hangs, those before it must not hold up all others."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at the database found: how far the feed reaches, and which of the messages have an outcome."""

    position: int
    outcomes: Collection[UUID]


class Wait:
    """One request that waits. `abandoned` is set when its client has hung up."""

    __slots__ = ("_desk", "_woken", "abandoned")

    def __init__(self, desk: "NewsDesk") -> None:
        self._desk = desk
        self._woken = threading.Event()
        self.abandoned = False

    def sleep(self, seconds: float) -> None:
        """Return once there is news since the last sleep, the time is over, or waiting has no point any more."""
        if self.goes_on:
            self._desk.listen()
            self._woken.wait(seconds)
        self._woken.clear()  # before the caller looks: what comes after that wakes it again

    def wake(self) -> None:
        """End the sleep, or the next one if it has not begun."""
        self._woken.set()

    def abandon(self) -> None:
        """End waiting: the client has hung up."""
        self.abandoned = True
        self.wake()

    @property
    def goes_on(self) -> bool:
        """Whether there is somebody to wait for, in a process that is not about to stop."""
        return not (self.abandoned or self._desk.ending)


class NewsDesk:
    """The waiting requests of this process. Works in threads and, through gevent's patches, in greenlets.

    The subscription begins with the first request that sleeps and ends half a minute after the last one.

    Args:
        subscribe: returns a subscription that is not open yet.
        look: looks which of these messages have an outcome, and how far the feed reaches; one query.
        quiet_after: bulletins may be lost when none has come for so long, not even the sweep's.
    """

    def __init__(
        self,
        subscribe: Callable[[], Subscription],
        look: Callable[[Collection[UUID]], Seen],
        *,
        quiet_after: timedelta,
    ) -> None:
        self._subscribe = subscribe
        self._ask = look
        self._quiet_after_s = quiet_after.total_seconds()
        self._lock = threading.Lock()
        self._for_outcomes: dict[str, set[Wait]] = {}
        self._for_events: set[Wait] = set()
        self._running: threading.Thread | None = None
        self._left_at = 0.0
        self._look_from: float | None = None  # None: nothing may have been missed
        self._looked_at = 0.0
        self._heard_news_at = 0.0
        self._position = 0
        self._reached = 0
        self._feed_woken_at = 0.0
        self._feed_has_grown = False
        self._is_down = False
        self._answering = threading.BoundedSemaphore(_ANSWERING)
        self.ending = False
        """Set when the process was asked to stop, which ends all waiting. A plain flag, since a signal handler sets
        it."""

    @contextmanager
    def for_outcome(self, message_id: UUID) -> Iterator[Wait]:
        """Register for the outcome of a message while the body runs."""
        wait, name = Wait(self), message_id.hex
        with self._lock:
            self._for_outcomes.setdefault(name, set()).add(wait)
        try:
            yield wait
        finally:
            with self._lock:
                others = self._for_outcomes[name]
                others.discard(wait)
                if not others:
                    del self._for_outcomes[name]
                self._left_at = time.monotonic()

    @contextmanager
    def for_events(self) -> Iterator[Wait]:
        """Register for events of the feed while the body runs."""
        wait = Wait(self)
        with self._lock:
            self._for_events.add(wait)
        try:
            yield wait
        finally:
            with self._lock:
                self._for_events.discard(wait)
                self._left_at = time.monotonic()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Hold one of the few turns in which woken requests read the database; without a free one, go on in the end."""
        mine = self._answering.acquire(timeout=_TURN_S)
        try:
            yield
        finally:
            if mine:
                self._answering.release()

    def close(self) -> None:
        """End all waiting, and return once the subscription has ended."""
        self.ending = True
        if thread := self._running:
            thread.join()

    def listen(self) -> None:
        """Start to listen, unless that goes on already. It begins with a look, for whoever has registered by now."""
        with self._lock:
            if self._running or self.ending:
                return
            self._running = threading.Thread(target=self._run, name="news-desk", daemon=True)
        self._running.start()

    def _is_wanted(self) -> bool:
        """Return whether anybody waits, or did a moment ago; otherwise forget the thread, which then ends."""
        with self._lock:
            waiting = self._for_outcomes or self._for_events
            if not self.ending and (waiting or time.monotonic() - self._left_at < _LEAVE_AFTER_S):
                return True
            everybody = [
                *self._for_events,
                *(wait for waits in self._for_outcomes.values() for wait in waits),
            ]
            self._running = None
        for wait in everybody:
            wait.wake()
        return False

    def _run(self) -> None:
        try:
            while self._is_wanted():
                self._listen_or_look()
        finally:
            self._running = None  # after a fault of ours, too: the next waiter starts another thread

    def _listen_or_look(self) -> None:
        try:
            with self._subscribe() as subscription:
                self._listen(subscription)
        except (RedisError, OSError) as error:
            self._be_without_redis(error)

    def _be_without_redis(self, error: Exception) -> None:
        if not self._is_down:
            log.warning("news_not_heard", error=type(error).__name__)
        self._is_down = True
        self._owe_look()
        self._look_if_due()
        time.sleep(_RETRY_S)

    def _listen(self, subscription: Subscription) -> None:
        """Take what is published until nobody waits any more.

        Raises:
            RedisError: Redis is away.
        """
        if self._is_down:
            log.info("news_heard_again")
        self._is_down = False
        self._owe_look()  # at what was committed before the subscription began
        heard_at = pinged_at = self._heard_news_at = time.monotonic()
        while self._is_wanted():
            self._look_if_due()
            bulletin = subscription.hear(self._pause_s())
            now = time.monotonic()
            if bulletin is not None:
                heard_at = now
                self._take(bulletin)
            elif now - heard_at > _DEAF_AFTER_S:
                raise TimeoutError("Redis is silent")
            if now - pinged_at > _PING_EVERY_S:
                pinged_at = now
                subscription.ping()
            self._wake_readers()

    def _take(self, bulletin: Bulletin) -> None:
        """Wake those whom a bulletin concerns."""
        if bulletin == Bulletin():
            return  # the answer to a ping
        self._heard_news_at = time.monotonic()
        self._wake_for_outcomes(bulletin.outcomes)
        self._grow_to(bulletin.position)
        if bulletin.missed or (bulletin.reached is not None and bulletin.reached != self._reached):
            # Events were committed since the sweep looked last, each with a bulletin: one may have been lost.
            self._owe_look()
        self._reached = bulletin.reached if bulletin.reached is not None else self._reached

    def _wake_for_outcomes(self, names: Collection[str]) -> None:
        with self._lock:
            concerned = [wait for name in names for wait in self._for_outcomes.get(name, ())]
        for wait in concerned:
            wait.wake()

    def _grow_to(self, position: int | None) -> None:
        """Remember that the feed has grown. A smaller number means a late bulletin, or a restored backup."""
        if position is not None and position != self._position:
            self._feed_has_grown = True
            self._position = position

    def _wake_readers(self) -> None:
        """Wake the readers of the feed if it has grown, unless they were woken a moment ago."""
        now = time.monotonic()
        if self._feed_has_grown and now >= self._readers_due_at:
            self._feed_woken_at, self._feed_has_grown = now, False
            with self._lock:
                readers = list(self._for_events)
            for wait in readers:
                wait.wake()

    def _pause_s(self) -> float:
        """Return for how long to listen before something else is due."""
        if not self._feed_has_grown:
            return _TICK_S
        return min(_TICK_S, max(_READ_S, self._readers_due_at - time.monotonic()))

    @property
    def _readers_due_at(self) -> float:
        return self._feed_woken_at + _READ_S * len(self._for_events)

    def _owe_look(self) -> None:
        """Look as soon as a second has passed since the last look: something may have been missed."""
        if self._look_from is None:
            self._look_from = self._looked_at + LOOK_EVERY_S

    def _look_if_due(self) -> None:
        """Look for all waiters together, if bulletins may have been lost."""
        now = time.monotonic()
        if now - self._heard_news_at > self._quiet_after_s:
            self._owe_look()
        if self._look_from is None or now < self._look_from:
            return
        with self._lock:
            wanted = [UUID(hex=name) for name in self._for_outcomes]
            anybody = wanted or self._for_events
        self._look_from = None
        self._looked_at = now
        if not anybody:
            return
        try:
            seen = self._ask(wanted)
        except SQLAlchemyError:
            self._owe_look()  # whoever waits asks the database in the end, and reports the outage
            return
        self._wake_for_outcomes([each.hex for each in seen.outcomes])
        self._grow_to(seen.position)
        self._wake_readers()
