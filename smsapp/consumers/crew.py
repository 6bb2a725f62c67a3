"""Threads that make requests to consumers, and the results that wait to be recorded.

A thread that has its answer takes the next delivery of the same consumer itself: a slot that has become free is used
again at once, and no thread has to be woken for it.
"""

import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from math import inf
from threading import Event, Lock
from typing import Generic, TypeVar

from smsapp.consumers.lane import Consumer, Item, Lane

Result = TypeVar("Result")

THREADS = 128

_GATHER_S = 0.02
"""How long an answer waits for others to be recorded with while its consumer has more to come."""

_ENOUGH_RESULTS = 256
_MAX_RESULTS = 512
"""Unrecorded results from which on nothing more is sent: the database is slower than the consumers."""


class Crew(Generic[Consumer, Item, Result]):
    """Makes requests with up to THREADS threads.

    `mutex` protects the lanes and everything here. `bell` is set when the drain has something to do: results are to be
    recorded, or a lane should be filled. `record_at` is when the results should be recorded, in seconds of the
    monotonic clock.
    """

    def __init__(
        self,
        post: Callable[[Consumer, Item], Result],
        end: Callable[[Lane[Consumer, Item], Result], None],
        bell: Event,
    ) -> None:
        """`post` makes one request and never raises; `end`, called with the lock held, ends it in its lane."""
        self.mutex = Lock()
        self.in_flight = 0
        self.total = 0
        self.record_at = inf
        self._post = post
        self._end = end
        self._bell = bell
        self._results: list[Result] = []
        self._open_until = -inf
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="push")

    @property
    def is_busy(self) -> bool:
        """Whether requests are in flight, or results wait."""
        return bool(self.in_flight or self._results)

    @property
    def is_crowded(self) -> bool:
        """Whether so few threads are free that another drain should help."""
        return self.in_flight > THREADS * 3 // 4

    def open(self, until: float) -> None:
        """Let requests start up to this time of the monotonic clock."""
        self._open_until = until

    def close(self) -> None:
        """Let no more requests start; those in flight go on."""
        with self.mutex:
            self._open_until = -inf

    def shut_down(self) -> None:
        """Wait for the requests in flight."""
        self._pool.shutdown()

    def dispatch(self, lanes: Collection[Lane[Consumer, Item]]) -> None:
        """Start as many requests as may be in flight; those who have the fewest go first."""
        with self.mutex:
            for lane in sorted(lanes, key=lambda lane: len(lane.in_flight)):
                while item := self._start(lane):
                    self._pool.submit(self._serve, lane, item)

    def take_results(self) -> list[Result]:
        """Return the results that wait."""
        with self.mutex:
            results, self._results = self._results, []
            self.record_at = inf
        return results

    def _start(self, lane: Lane[Consumer, Item]) -> Item | None:
        """Return the lane's next delivery, in flight from now on, if it may get one.

        None gets more than half of the free threads, so that some are left for others.
        """
        free = THREADS - self.in_flight
        if free <= 0 or len(self._results) >= _MAX_RESULTS or time.monotonic() > self._open_until:
            return None
        item = lane.start(max(1, free // 2))
        if item:
            self.in_flight += 1
            self.total += 1
        return item

    def _serve(self, lane: Lane[Consumer, Item], item: Item | None) -> None:
        """Make one request after the other as long as the consumer may get more."""
        while item:
            result = self._post(lane.consumer, item)
            with self.mutex:
                self._keep(lane, result)
                item = self._start(lane)
                if lane.is_quiet:
                    self.record_at = 0.0
                if not item or self.record_at == 0.0 or lane.is_low:
                    self._bell.set()

    def _keep(self, lane: Lane[Consumer, Item], result: Result) -> None:
        """Let a result wait for others, unless it is urgent."""
        self.in_flight -= 1
        self._end(lane, result)
        if not self._results:
            self.record_at = time.monotonic() + _GATHER_S
            self._bell.set()
        self._results.append(result)
        if lane.failed or len(self._results) >= _ENOUGH_RESULTS:
            self.record_at = 0.0
