"""Group commit: concurrent requests share one round trip to Redis, and a single request does not wait for others."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Waiting(Generic[T]):
    """An item to be written, and the lock on which its owner sleeps, if it does."""

    __slots__ = ("error", "item", "leads", "woken")

    def __init__(self, item: T) -> None:
        self.item = item
        self.error: Exception | None = None
        self.leads = False
        self.woken: threading.Lock | None = None


class GroupCommit(Generic[T]):
    """Gathers items while a write is under way and writes them together in the next one.

    A thread that arrives while no write is under way leads: it writes every item that has arrived by then. Afterwards
    the first thread that arrived in the meantime leads the next write. So there is no background thread and no
    gathering delay, and the size of a batch follows the load. Works in threads and, through gevent's patched locks, in
    greenlets.
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
            Exception: the error that the write raised, to every caller whose item was in the batch.
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
        time.sleep(0)  # lets threads that are ready join this batch
        with self._mutex:
            batch, self._queue = self._queue[: self._limit], self._queue[self._limit :]
        error: Exception | None = None
        try:
            self._write([waiting.item for waiting in batch])
        except Exception as raised:  # noqa: BLE001 - each waiting caller raises it
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
