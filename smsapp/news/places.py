"""Bounds on open waits: each holds a connection and a greenlet, so neither all callers nor one may open any number."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from smsapp.metrics import OPEN_WAITS
from smsapp.queue.overload import OverloadedError

RETRY_AFTER = timedelta(seconds=5)


class Places:
    """Counts the open waits of one kind in this process.

    Args:
        kind: what they wait for, in the refusal and in the metrics.
        most: how many there may be.
        most_per_key: how many of them one API key may have.
    """

    def __init__(self, kind: str, *, most: int, most_per_key: int) -> None:
        self._kind = kind
        self._most = most
        self._most_per_key = most_per_key
        self._taken: Counter[UUID] = Counter()
        self._lock = threading.Lock()
        self._gauge = OPEN_WAITS.labels(kind)

    @contextmanager
    def taken(self, key_id: UUID) -> Iterator[None]:
        """Hold a place of an API key while the body runs.

        Raises:
            OverloadedError: there are too many open waits already.
        """
        with self._lock:
            if self._taken.total() >= self._most or self._taken[key_id] >= self._most_per_key:
                raise OverloadedError(f"requests for {self._kind}", RETRY_AFTER)
            self._taken[key_id] += 1
        self._gauge.inc()
        try:
            yield
        finally:
            self._gauge.dec()
            with self._lock:
                self._taken[key_id] -= 1
                if not self._taken[key_id]:
                    del self._taken[key_id]
