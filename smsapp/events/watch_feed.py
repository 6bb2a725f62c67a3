"""Wait for new events: one database query serves all waiters of this process, and none runs while nobody waits."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from smsapp.db.sessions import reading
from smsapp.events import queries as feed
from smsapp.events.read_feed import STRETCH
from smsapp.queue.overload import OverloadedError
from smsapp.runtime import Runtime


class FeedWatch:
    """Wakes requests that wait for new events. Waiters hold neither a connection nor a transaction.

    Works in threads and, through gevent's patches, in greenlets.
    """

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self.stretch = STRETCH
        self.look_every_s = 0.2
        self.heartbeat_s = 15.0
        """How long a stream may be silent; also how soon one whose reader has gone is noticed."""
        self.longest_stream_s = 300.0
        """Then the reader connects again, with its key: a stream outlives no revoked key for longer."""
        self._grown = threading.Condition()
        self._latest = 0
        self._waiting = 0
        self._looks = False
        self._places = rt.settings.max_event_streams
        self.ending = False
        """Set when the process was asked to stop, which ends all waiting. A plain flag, since a signal handler sets
        it."""

    def take_place(self) -> None:
        """Reserve a place for one more waiter, who must give it back.

        Raises:
            OverloadedError: too many requests wait already.
        """
        with self._grown:
            if not self._places:
                raise OverloadedError("consumers of events")
            self._places -= 1

    def give_place_back(self) -> None:
        """Give back a place that `take_place` reserved."""
        with self._grown:
            self._places += 1

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place while the body runs."""
        self.take_place()
        try:
            yield
        finally:
            self.give_place_back()

    def wait(self, after: int, *, seconds: float) -> None:
        """Return once there is an event after this number, the time is over, or the process stops."""
        with self._grown:
            self._waiting += 1
            if not self._looks:
                self._looks = True
                threading.Thread(target=self._look_around, name="feed-watch", daemon=True).start()
            try:
                self._grown.wait_for(lambda: self.ending or self._latest > after, timeout=seconds)
            finally:
                self._waiting -= 1

    def _look_around(self) -> None:
        while True:
            latest = self._look()
            with self._grown:
                self._latest = latest
                self._grown.notify_all()
                if not self._waiting:
                    self._looks = False
                    return
            time.sleep(self.look_every_s)

    def _look(self) -> int:
        try:
            with reading(self._rt.sessions) as session:
                return feed.latest(session)
        except SQLAlchemyError:
            return 0  # each waiter queries the database itself in the end, and reports the outage
