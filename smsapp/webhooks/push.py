"""Push pending deliveries: each consumer is held by one worker at a time, with many requests in flight at once.

A worker holds a consumer by a lease on its row, so that the order, the breaker and the share of threads need no further
coordination. When a worker dies, another takes over after PUSH_LEASE and repeats the requests that were in flight.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from queue import Empty, SimpleQueue
from uuid import UUID

import orjson
import structlog
from sqlalchemy.orm import Session

from smsapp.db.sessions import reading
from smsapp.events import queries as feed
from smsapp.events.payload import render_event
from smsapp.ids import new_id
from smsapp.ports import ConsumerReply
from smsapp.queue.drain import drain_slot, retry_while_db_down
from smsapp.queue.tasks import Task
from smsapp.runtime import Runtime
from smsapp.webhooks import (
    fan_out_queries as fan_out,
)
from smsapp.webhooks import (
    queries as deliveries,
)
from smsapp.webhooks import (
    subscription_queries as subscriptions,
)
from smsapp.webhooks.client import signed_headers
from smsapp.webhooks.fan_out import fan_out_events, pass_over_events, recover_deliveries
from smsapp.webhooks.queries import Wanting
from smsapp.webhooks.record import AttemptResult, record_deliveries
from smsapp.webhooks.rules import EVENT_FORGOTTEN, Consumer, DueDelivery

log = structlog.get_logger(__name__)

PUSH_LEASE = timedelta(seconds=10)
"""How long a worker that no longer renews its lease keeps its consumers."""

THREADS = 128
_RENEW_AFTER_S = PUSH_LEASE.total_seconds() / 3
_MAX_SLOTS = 4
_MAX_CONSUMERS = 500
_PREFETCH = 128
_TICK_S = 0.025
_GATHER_S = 0.005


@dataclass(frozen=True, slots=True)
class _Ready:
    """A delivery with the document to send; `body` is None when the event has been purged."""

    delivery: DueDelivery
    event_id: str
    body: bytes | None


@dataclass(slots=True)
class _Lane:
    """One consumer that this drain holds: its next deliveries, and those in flight."""

    consumer: Consumer
    waiting: deque[_Ready] = field(default_factory=deque)
    in_flight: set[UUID] = field(default_factory=set)

    def room(self, most: int) -> int:
        """Return how many more requests the consumer may get now; one that keeps failing gets one at a time."""
        return (1 if self.consumer.health.is_probed else most) - len(self.in_flight)

    def knows(self, delivery_id: UUID) -> bool:
        """Return whether this delivery is queued or in flight here already."""
        return delivery_id in self.in_flight or any(
            ready.delivery.id == delivery_id for ready in self.waiting
        )


def push_events(rt: Runtime, slot: int = 0) -> int:
    """Push every delivery that is due and return how many requests that took.

    When this drain's time is up, its successor starts while this one still waits for its requests: a consumer that
    hangs delays only itself. With no subscriptions, events are skipped without waiting: the next sweep skips the next
    ones.
    """
    if _nobody_listens(rt):
        with drain_slot(rt, Task.PUSH_EVENTS, slot) as keep_going:
            pass_over_events(rt, keep_going)
        if _nobody_listens(rt):
            return 0
    drain = _Drain(rt, slot)
    try:
        while True:
            with drain_slot(rt, Task.PUSH_EVENTS, slot) as keep_going:
                drain.run(keep_going)
                ended = not keep_going()
            if ended or not _anything_due(rt):
                break
    finally:
        drain.finish()
    return drain.total


def wake_for_push(rt: Runtime) -> int:
    """Wake a drain when a delivery is due that no worker is handling."""
    return int(_anything_due(rt) and rt.tasks.wake(Task.PUSH_EVENTS))


def _nobody_listens(rt: Runtime) -> bool:
    with reading(rt.sessions) as session:
        return not subscriptions.anyone_listens(session)


def _anything_due(rt: Runtime) -> bool:
    with reading(rt.sessions) as session:
        return (
            fan_out.is_behind(session)
            or subscriptions.anyone_recovers(session)
            or deliveries.any_due(session, now=rt.clock())
        )


class _Drain:
    """Holds consumers and keeps as many requests in flight as each may have."""

    def __init__(self, rt: Runtime, slot: int) -> None:
        self._rt = rt
        self._slot = slot
        self._owner = new_id().hex
        self._lanes: dict[UUID, _Lane] = {}
        self._renewed = time.monotonic()
        self._answers: SimpleQueue[AttemptResult] = SimpleQueue()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="push")
        self.total = 0

    @property
    def _in_flight(self) -> int:
        return sum(len(lane.in_flight) for lane in self._lanes.values())

    def run(self, keep_going: Callable[[], bool]) -> None:
        """Work until nothing has been due for a while, or until the drain's time is up."""
        last_work = time.monotonic()
        idle_s = self._rt.drain_idle.total_seconds()
        while keep_going():
            moved = retry_while_db_down(self._rt, self._look)
            self._dispatch()
            if moved or self._in_flight:
                last_work = time.monotonic()
            elif time.monotonic() - last_work > idle_s:
                break
            self._gather(_TICK_S)
        self._leave_idle()

    def finish(self) -> None:
        """Wait for the requests in flight; each has a timeout, so this ends.

        A consumer without requests in flight is released at once: the successor has more for it, and others may hang. A
        response that cannot be recorded because the database is down is dropped: its delivery stays due and is sent
        again.
        """
        try:
            while True:
                self._leave_idle()
                if not self._lanes:
                    break
                self._renew()
                self._gather(_TICK_S)
        finally:
            self._pool.shutdown()

    # Finding work.

    def _look(self) -> int:
        """Fan events out, claim consumers, fetch their due deliveries; return how much work was found."""
        moved = fan_out_events(self._rt) + recover_deliveries(self._rt)
        with reading(self._rt.sessions) as session:
            wanting = deliveries.wanting(session, now=self._rt.clock(), limit=_MAX_CONSUMERS)
        lanes = self._hold(wanting)
        hungry = [lane for lane in lanes if len(lane.waiting) < lane.room(self._most)]
        if hungry:
            with reading(self._rt.sessions) as session:
                moved += sum(self._fetch(session, lane) for lane in hungry)
            self._defer([lane for lane in hungry if not lane.waiting and not lane.in_flight])
        return moved

    def _defer(self, lanes: Sequence[_Lane]) -> None:
        """Postpone deliveries that follow a waiting one of their message: every query would find them due again."""
        for lane in lanes:
            with self._rt.transaction() as tx:
                now = self._rt.clock()
                deliveries.defer_followers(tx.session, lane.consumer.id, now=now, limit=_PREFETCH)

    @property
    def _most(self) -> int:
        """How many requests one consumer may get: fewer when threads are scarce, so that some are left for others."""
        free = THREADS - self._in_flight
        return min(self._rt.settings.push_concurrency, max(1, free // 2))

    def _hold(self, wanting: Sequence[Wanting]) -> list[_Lane]:
        """Claim consumers that no worker holds, and return the lanes of those with something due."""
        now = self._rt.clock()
        free = [
            each.consumer.id
            for each in wanting
            if each.consumer.id not in self._lanes and (each.owned_until is None or each.owned_until <= now)
        ]
        crowded = self._in_flight > THREADS * 3 // 4 and self._slot + 1 < _MAX_SLOTS
        if crowded:
            self._rt.tasks.wake(Task.PUSH_EVENTS, self._slot + 1)
            free = []
        taken = self._claim(free) if free else set()
        self._renew()
        current = {each.consumer.id: each.consumer for each in wanting}
        for consumer_id in taken:
            self._lanes[consumer_id] = _Lane(current[consumer_id])
        for consumer_id, lane in self._lanes.items():
            if consumer_id in current:
                lane.consumer = current[consumer_id]
            else:
                lane.waiting.clear()  # disabled or paused in the meantime
        return [lane for consumer_id, lane in self._lanes.items() if consumer_id in current]

    def _claim(self, ids: Sequence[UUID]) -> set[UUID]:
        now = self._rt.clock()
        with self._rt.transaction() as tx:
            return set(
                subscriptions.claim(tx.session, ids, owner=self._owner, now=now, until=now + PUSH_LEASE)
            )

    def _renew(self) -> None:
        """Renew the leases; a lane whose consumer now belongs to another worker gets nothing more from this one."""
        if time.monotonic() - self._renewed < _RENEW_AFTER_S:
            return
        kept = self._claim(list(self._lanes)) if self._lanes else set()
        self._renewed = time.monotonic()
        for consumer_id in [key for key in self._lanes if key not in kept]:
            self._lanes[consumer_id].waiting.clear()
            if not self._lanes[consumer_id].in_flight:
                del self._lanes[consumer_id]

    def _fetch(self, session: Session, lane: _Lane) -> int:
        limit = _PREFETCH + len(lane.waiting) + len(lane.in_flight)
        found = deliveries.due(session, lane.consumer.id, now=self._rt.clock(), limit=limit)
        new = [delivery for delivery in found if not lane.knows(delivery.id)]
        told = feed.numbered(session, [delivery.seq for delivery in new if delivery.seq is not None])
        documents = {each.seq: render_event(each) for each in told}
        for delivery in new:
            document = delivery.payload if delivery.seq is None else documents.get(delivery.seq)
            body = orjson.dumps(document) if document else None
            lane.waiting.append(_Ready(delivery, str(document["id"]) if document else "", body))
        return len(new)

    def _leave_idle(self) -> None:
        ids = [consumer_id for consumer_id, lane in self._lanes.items() if not lane.in_flight]
        for consumer_id in ids:
            del self._lanes[consumer_id]
        if ids:
            with self._rt.transaction() as tx:
                subscriptions.release(tx.session, ids, owner=self._owner)

    # Doing the work.

    def _dispatch(self) -> None:
        for lane in sorted(self._lanes.values(), key=lambda lane: len(lane.in_flight)):
            while lane.waiting and lane.room(self._most) > 0 and self._in_flight < THREADS:
                ready = lane.waiting.popleft()
                lane.in_flight.add(ready.delivery.id)
                self._pool.submit(self._post, lane.consumer, ready)
                self.total += 1

    def _post(self, consumer: Consumer, ready: _Ready) -> None:
        """Make one request, in a thread of the pool, and report its result to the drain whatever happens."""
        began_at = self._rt.clock()
        reply = ConsumerReply(None, timedelta(), error=EVENT_FORGOTTEN)
        try:
            if ready.body is not None:
                signed = signed_headers(ready.event_id, ready.body, consumer.secrets, now=began_at)
                headers = {**consumer.headers, **signed}
                reply = self._rt.webhooks.post(ready.delivery.url or consumer.url, ready.body, headers)
        except Exception:
            log.exception("push_broke", delivery_id=ready.delivery.id.hex)
            reply = ConsumerReply(None, timedelta(), error="internal_error")
        finally:
            self._answers.put(AttemptResult(consumer, ready.delivery, reply, began_at))

    def _gather(self, patience_s: float) -> None:
        """Record the responses that have arrived; wait for the first one."""
        results: list[AttemptResult] = []
        until = time.monotonic() + patience_s
        while len(results) < THREADS:
            try:
                results.append(self._answers.get(timeout=max(0.0, until - time.monotonic())))
            except Empty:
                break
            until = min(until, time.monotonic() + _GATHER_S)
        if not results:
            return
        present = {key: lane.consumer.health for key, lane in self._lanes.items()}
        try:
            health = retry_while_db_down(self._rt, partial(record_deliveries, self._rt, results, present))
        finally:
            # These requests have ended, recorded or not; `finish` waits only for those that have not.
            for result in results:
                self._lanes[result.consumer.id].in_flight.discard(result.delivery.id)
        for result in results:
            lane = self._lanes[result.consumer.id]
            lane.consumer = replace(lane.consumer, health=health[lane.consumer.id])
