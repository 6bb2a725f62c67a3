"""One write for all who wait: concurrent requests share a round trip to Redis, and a lonely one waits for nobody."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Waiting(Generic[T]):
    """An item on its way, and the lock that its owner sleeps on, if it does."""

    __slots__ = ("error", "item", "leads", "woken")

    def __init__(self, item: T) -> None:
        self.item = item
        self.error: Exception | None = None
        self.leads = False
        self.woken: threading.Lock | None = None


class GroupCommit(Generic[T]):
    """Gathers items while a write is under way and writes them together in the next one.

    Whoever comes while nobody writes does the writing, for everybody who has come by then; afterwards the first of
    those who came meanwhile takes over. So there is no background thread, no delay to gather, and the size of a
    batch follows the load. Works in threads and, through gevent's patched locks, in greenlets.
    """

    def __init__(self, write: Callable[[list[T]], None], *, limit: int) -> None:
        self._write = write
        self._limit = limit
        self._mutex = threading.Lock()
        self._queue: list[_Waiting[T]] = []
        self._writing = False

    def add(self, item: T) -> None:
        """Return once the item is written.

        Raises:
            Exception: what the write raised, for each item that was part of it.
        """
        mine = _Waiting(item)
        with self._mutex:
            self._queue.append(mine)
            mine.leads = not self._writing
            self._writing = True
            if not mine.leads:
                mine.woken = threading.Lock()
                mine.woken.acquire()
        if mine.woken:
            mine.woken.acquire()
        if mine.leads:
            self._lead()
        if mine.error is not None:
            raise mine.error

    def _lead(self) -> None:
        time.sleep(0)  # whoever is ready by now comes along
        with self._mutex:
            batch, self._queue = self._queue[: self._limit], self._queue[self._limit :]
        error: Exception | None = None
        try:
            self._write([waiting.item for waiting in batch])
        except Exception as raised:  # noqa: BLE001 - it is raised again, by each who waits for it
            error = raised
        with self._mutex:
            successor = self._queue[0] if self._queue else None
            self._writing = successor is not None
        for waiting in batch:
            waiting.error = error
            if waiting.woken:
                waiting.woken.release()
        if successor and successor.woken:
            successor.leads = True
            successor.woken.release()
