"""What one consumer is to get next, what is in flight to it, and how much more it may get."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar
from uuid import UUID

from smsapp.consumers.concurrency import Concurrency

Consumer = TypeVar("Consumer")
Item = TypeVar("Item")


class Lane(Generic[Consumer, Item]):
    """One consumer's deliveries in a drain, by id; the crew's lock protects it.

    `unrecorded` are those that were answered and still look pending in the database; nothing more starts while a
    failure is among them, since it may trip the consumer's breaker. `is_probed` is whether the consumer keeps failing:
    it then gets one request at a time. `may_have_more` is whether the database may have due
    deliveries that are not here, `has_followers` whether some wait until one of these was recorded.
    """

    __slots__ = (
        "_waiting",
        "concurrency",
        "consumer",
        "failed",
        "has_followers",
        "in_flight",
        "is_closed",
        "is_probed",
        "may_have_more",
        "unrecorded",
    )

    def __init__(self, consumer: Consumer, most: int) -> None:
        """`most` is how many requests the consumer may have at once if it keeps up."""
        self.consumer = consumer
        self.is_probed = False
        self.is_closed = False
        self.concurrency = Concurrency(most)
        self.in_flight: set[UUID] = set()
        self.unrecorded: set[UUID] = set()
        self.failed: set[UUID] = set()
        self.may_have_more = True
        self.has_followers = False
        self._waiting: deque[tuple[UUID, Item]] = deque()

    def __len__(self) -> int:
        """Return how many deliveries wait for a request."""
        return len(self._waiting)

    def known(self) -> Iterator[UUID]:
        """Yield the ids of all deliveries that are here, as the database may still call them due."""
        yield from self.in_flight
        yield from self.unrecorded
        for delivery_id, _ in self._waiting:
            yield delivery_id

    def append(self, delivery_id: UUID, item: Item) -> None:
        """Let a delivery wait behind the others."""
        self._waiting.append((delivery_id, item))

    def clear(self) -> None:
        """Forget what waits, and let nothing come until `is_closed` is set to False: the database still has it."""
        self._waiting.clear()
        self.may_have_more = True
        self.is_closed = True

    def start(self, room: int) -> Item | None:
        """Return the next delivery, in flight from now on; None when none waits or none may start."""
        limit = 1 if self.is_probed else min(room, self.concurrency.limit)
        if self.failed or not self._waiting or len(self.in_flight) >= limit:
            return None
        delivery_id, item = self._waiting.popleft()
        self.in_flight.add(delivery_id)
        return item

    def succeed(self, delivery_id: UUID, took_s: float) -> None:
        """End a request that was acknowledged."""
        full = len(self.in_flight) >= self.concurrency.limit and bool(self._waiting)
        self.concurrency.answered(took_s, full=full)
        self.end(delivery_id)

    def fail(self, delivery_id: UUID) -> None:
        """End a request that was not acknowledged."""
        self.concurrency.failed()
        self.failed.add(delivery_id)
        self.end(delivery_id)

    def end(self, delivery_id: UUID) -> None:
        """End a request; its result is not recorded yet."""
        self.in_flight.discard(delivery_id)
        self.unrecorded.add(delivery_id)

    def settle(self, delivery_id: UUID) -> None:
        """Take note that a result was recorded, or never will be; what followed it may be due now."""
        self.unrecorded.discard(delivery_id)
        self.failed.discard(delivery_id)
        self.may_have_more = self.may_have_more or self.has_followers

    @property
    def is_quiet(self) -> bool:
        """Whether no request is in flight, and none could start."""
        return not self.in_flight and not self._waiting

    @property
    def is_low(self) -> bool:
        """Whether so little waits that more should be fetched before it runs out."""
        return not self.is_closed and self.may_have_more and len(self._waiting) < 2 * self.concurrency.limit

    @property
    def is_idle(self) -> bool:
        """Whether no request is in flight, and every answer was recorded."""
        return not self.in_flight and not self.unrecorded
