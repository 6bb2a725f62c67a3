"""Publish news from the background: whoever commits must not wait for Redis, least of all for one that is away."""

import atexit
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from uuid import UUID

import structlog
from redis import Redis
from redis.exceptions import RedisError

from smsapp.news.channel import Publication
from smsapp.news.rules import Bulletin, names_of

log = structlog.get_logger(__name__)

_GATHER_S = 0.005
"""A pause after each bulletin. The first one after a silence leaves at once; in a burst one says it for many."""

_NOBODY_WAITS_S = 0.05
"""The same when it reached nobody: whoever subscribes then looks at what came before."""

_RETRY_S = 0.25
_TRIES = 40
"""Then the thread ends, and the next news try again. Whoever waits has lost Redis too by now, and looks for himself."""

_IDLE_S = 10.0
_FLUSH_S = 0.5
_LOG_EVERY_S = 60.0


class RedisNews:
    """The real news. One thread (in the web a greenlet) publishes what the others leave for it, while there is any.

    What could not be published is not kept: the first bulletin that is, says that something was missed.
    """

    def __init__(self, redis: Redis) -> None:
        self._publication = Publication(redis)
        self._changed = threading.Condition()
        self._next: Bulletin | None = None
        self._busy = False
        self._running = False
        self._flushes = False
        self._failed = 0
        self._log_at = 0.0

    def publish(self, outcomes: Collection[UUID], position: int | None) -> None:
        """Publish soon that these messages have an outcome, and that the feed reaches up to `position`."""
        self._add(Bulletin(names_of(outcomes), position))

    def publish_position(self, position: int) -> None:
        """Publish soon how far the feed reaches, as the database says."""
        self._add(Bulletin(reached=position))

    def flush(self) -> None:
        """Return once everything has been published, or after half a second."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._next or self._busy), _FLUSH_S)

    def _add(self, bulletin: Bulletin) -> None:
        with self._changed:
            self._next = self._next.with_later(bulletin) if self._next else bulletin
            started, self._running = self._running, True
            if started:
                self._changed.notify_all()
        if not started:
            self._flush_at_exit()
            with suppress(RuntimeError):  # the interpreter is shutting down: the sweep makes up for it
                threading.Thread(target=self._run, name="news", daemon=True).start()

    def _flush_at_exit(self) -> None:
        if not self._flushes:
            self._flushes = True
            atexit.register(self.flush)  # a command ends right after its commit

    def _run(self) -> None:
        while True:
            try:
                return self._publish_all()
            except Exception:
                log.exception("news_broke")
                self._add(Bulletin(missed=True))
                time.sleep(_RETRY_S)

    def _publish_all(self) -> None:
        failures = 0
        while failures < _TRIES and (bulletin := self._take()):
            try:
                reached = self._publication.send(bulletin)
            except (RedisError, OSError) as error:
                self._count_failure(error)
                self._add(Bulletin(missed=True))
                failures += 1
                time.sleep(_RETRY_S)
            else:
                self._done()
                failures = 0
                time.sleep(_GATHER_S if reached else _NOBODY_WAITS_S)
        if failures:
            with self._changed:
                self._running = False

    def _take(self) -> Bulletin | None:
        """Return what is to be published next; None after a long silence."""
        with self._changed:
            self._busy = False
            if not self._changed.wait_for(lambda: self._next, _IDLE_S):
                self._running = False  # under the lock: what is added from now on starts another thread
                return None
            taken, self._next, self._busy = self._next, None, True
            return taken

    def _done(self) -> None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()

    def _count_failure(self, error: Exception) -> None:
        self._failed += 1
        if time.monotonic() >= self._log_at:
            self._log_at = time.monotonic() + _LOG_EVERY_S
            log.warning("news_not_published", error=type(error).__name__, failed=self._failed)
