"""Push pending deliveries: each consumer is held by one worker at a time, with many requests in flight at once.

A worker holds a consumer by a lease on its row, so that the order, the breaker and the share of threads need no further
coordination. When a worker dies, another takes over after PUSH_LEASE and repeats the requests that were in flight.

A thread that has its answer takes the next delivery itself, from those fetched ahead. Meanwhile the drain's own thread
fans out, claims and fetches, and another one records the answers in batches.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from math import inf
from threading import Event
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from smsapp.consumers.crew import Crew
from smsapp.consumers.lane import Lane
from smsapp.db.sessions import reading
from smsapp.ids import new_id
from smsapp.ports import ConsumerReply
from smsapp.queue.drain import DATABASE_AWAY, drain_slot, hearing, idle_of, retry_while_db_down
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
from smsapp.webhooks.documents import EventBody, event_bodies
from smsapp.webhooks.fan_out import BATCH, FannedOut, fan_out_events, pass_over_events, recover_deliveries
from smsapp.webhooks.queries import Wanting
from smsapp.webhooks.record import AttemptResult, record_deliveries
from smsapp.webhooks.rules import EVENT_FORGOTTEN, Consumer, DueDelivery

log = structlog.get_logger(__name__)

PUSH_LEASE = timedelta(seconds=10)
"""How long a worker that no longer renews its lease keeps its consumers."""

_RENEW_AFTER_S = PUSH_LEASE.total_seconds() / 3
_START_WITHIN_S = PUSH_LEASE.total_seconds() * 2 / 3
"""How long after the last renewal requests may start: the drain's own thread may be waiting for the database."""

_MAX_SLOTS = 4
_MAX_CONSUMERS = 500
_PREFETCH = 256

_LOOK_EVERY_S = 0.5
_HELPER_LOOKS_EVERY_S = 0.025
"""How often a drain looks for work without being woken: a consumer may have been disabled, a retry become due. Only the
first drain is woken."""

_REST = 1.0
"""How many times as long as a look took until the next one, unless it found more than it could take: so a stream of
single events costs half a core at most, and a lonely one waits for nothing."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A delivery and what to send; `event` is None when it has been purged."""

    delivery: DueDelivery
    event: EventBody | None


_Lane = Lane[Consumer, _Ready]


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
    return drain.crew.total


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
    """Holds consumers and keeps as many requests in flight as each may have; its crew makes them."""

    def __init__(self, rt: Runtime, slot: int) -> None:
        self._rt = rt
        self._slot = slot
        self._owner = new_id().hex
        self._lanes: dict[UUID, _Lane] = {}
        self._renewed = time.monotonic()
        self._bell = Event()
        self.crew: Crew[Consumer, _Ready, AttemptResult] = Crew(self._post, _end, self._bell)
        self._woken = True
        self._looked_at = self._rested_at = self._asked_at = 0.0
        self._failed: set[UUID] = set()  # consumers whose failure was recorded since the last look began
        self._recording: Future[None] | None = None
        self._recorder = ThreadPoolExecutor(1, thread_name_prefix="record")

    def run(self, keep_going: Callable[[], bool]) -> None:
        """Work until nothing has been due for a while, or until the drain's time is up."""
        idle_s = idle_of(self._slot, self._rt.drain_idle).total_seconds()
        worked_at = time.monotonic()
        self._woken = True
        try:
            with self._hearing():
                while keep_going():
                    self._bell.clear()
                    self._record()
                    found = self._look()
                    self.crew.open(self._renewed + _START_WITHIN_S)
                    self.crew.dispatch(self._lanes.values())
                    now = time.monotonic()
                    if found or self.crew.is_busy or self._recording:
                        worked_at = now
                        self._wait(self._look_at())
                    elif now - worked_at > idle_s:
                        break
                    else:
                        self._wait(min(self._look_at(), worked_at + idle_s))
        finally:
            self.crew.close()
        self._leave_idle()

    def finish(self) -> None:
        """Wait for the requests in flight; each has a timeout, so this ends.

        A consumer without requests in flight is released at once: the successor has more for it, and others may hang. A
        response that cannot be recorded because the database is down is dropped: its delivery stays due and is sent
        again.
        """
        try:
            while True:
                self._bell.clear()
                with suppress(*DATABASE_AWAY):
                    self._record()
                self._leave_idle()
                if not self._lanes:
                    break
                self._renew()
                self._wait(time.monotonic() + _RENEW_AFTER_S)
        finally:
            self.crew.shut_down()
            self._recorder.shutdown()

    def _hearing(self) -> AbstractContextManager[None]:
        """Be told when events are committed; helpers in other slots are not."""
        return nullcontext() if self._slot else hearing(self._rt, Task.PUSH_EVENTS, self._ring)

    def _ring(self) -> None:
        self._woken = True
        self._bell.set()

    def _wait(self, until: float) -> None:
        """Wait until something happens, or until this time of the monotonic clock."""
        record_at = inf if self._recording else self.crew.record_at
        self._bell.wait(max(0.0, min(until, record_at) - time.monotonic()))

    def _look_at(self) -> float:
        if self._woken:
            return self._rested_at
        return self._looked_at + (_HELPER_LOOKS_EVERY_S if self._slot else _LOOK_EVERY_S)

    def _look(self) -> int:
        """Find work if it is time, and fetch where little waits; return how much was found."""
        found = 0
        began = time.monotonic()
        if began >= self._look_at():
            self._woken = False
            found = retry_while_db_down(self._rt, self._find)
            self._looked_at = time.monotonic()
            full = found >= BATCH
            self._woken = self._woken or full
            self._rested_at = self._looked_at + (0.0 if full else _REST * (self._looked_at - began))
        with self.crew.mutex:
            low = [lane for lane in self._lanes.values() if lane.is_low]
        if low:
            found += retry_while_db_down(self._rt, partial(self._fetch_for, low))
        return found

    def _find(self) -> int:
        """Fan events out and claim consumers; return how many events were fanned out."""
        self._failed.clear()
        with reading(self._rt.sessions) as session:
            is_behind, anyone_recovers = fan_out.is_behind(session), subscriptions.anyone_recovers(session)
        fanned_out = fan_out_events(self._rt) if is_behind else FannedOut()
        recovered = recover_deliveries(self._rt) if anyone_recovers else 0
        with reading(self._rt.sessions) as session:
            wanting = deliveries.wanting(session, now=self._rt.clock(), limit=_MAX_CONSUMERS)
        self._hold(wanting)
        new = set(fanned_out.consumers)
        if self._slot or time.monotonic() - self._asked_at >= _LOOK_EVERY_S:
            self._asked_at = time.monotonic()
            new |= {each.consumer.id for each in wanting if each.has_new}
        with self.crew.mutex:
            for consumer_id in new & self._lanes.keys():
                self._lanes[consumer_id].may_have_more = True
        return fanned_out.events + recovered

    def _hold(self, wanting: Sequence[Wanting]) -> None:
        """Claim consumers that no worker holds; those of ours that may get nothing now lose what waits for them."""
        now = self._rt.clock()
        free = [
            each.consumer.id
            for each in wanting
            if each.consumer.id not in self._lanes and (each.owned_until is None or each.owned_until <= now)
        ]
        crowded = self.crew.is_crowded and self._slot + 1 < _MAX_SLOTS
        if crowded:
            self._rt.tasks.wake(Task.PUSH_EVENTS, self._slot + 1)
            free = []
        taken = self._claim(free) if free else set()
        self._renew()
        current = {
            each.consumer.id: each.consumer
            for each in wanting
            if each.owner == self._owner or each.consumer.id in taken
        }
        with self.crew.mutex:
            for consumer_id in taken:
                self._lanes[consumer_id] = Lane(current[consumer_id], self._rt.settings.push_concurrency)
            for consumer_id, lane in self._lanes.items():
                lane.is_closed = consumer_id not in current or consumer_id in self._failed
                if lane.is_closed:
                    lane.clear()  # nothing is due, it was disabled or paused, or is another worker's now
                else:
                    _assign(lane, current[consumer_id])

    def _claim(self, ids: Sequence[UUID]) -> set[UUID]:
        now = self._rt.clock()
        until = now + PUSH_LEASE
        with self._rt.transaction() as tx:
            return set(subscriptions.claim(tx.session, ids, owner=self._owner, now=now, until=until))

    def _renew(self) -> None:
        """Renew the leases; a lane whose consumer now belongs to another worker gets nothing more from this one."""
        began = time.monotonic()
        if began - self._renewed < _RENEW_AFTER_S:
            return
        kept = self._claim(list(self._lanes)) if self._lanes else set()
        self._renewed = began
        with self.crew.mutex:
            for consumer_id in [key for key in self._lanes if key not in kept]:
                self._lanes[consumer_id].clear()
                if self._lanes[consumer_id].is_idle:
                    del self._lanes[consumer_id]

    def _fetch_for(self, low: Sequence[_Lane]) -> int:
        """Fetch for these lanes; an event that several consumers get is read and rendered once."""
        with reading(self._rt.sessions) as session:
            new = [(lane, delivery) for lane in low for delivery in self._fetch(session, lane)]
            seqs = {delivery.seq for _, delivery in new if delivery.seq is not None}
            events = event_bodies(session, seqs)
        with self.crew.mutex:
            for lane, delivery in new:
                example = EventBody.of(delivery.payload) if delivery.payload else None
                event = example if delivery.seq is None else events.get(delivery.seq)
                lane.append(delivery.id, _Ready(delivery, event))
        for lane in low:
            if lane.is_quiet and lane.is_idle:
                self._defer(lane.consumer.id)
        return len(new)

    def _fetch(self, session: Session, lane: _Lane) -> list[DueDelivery]:
        with self.crew.mutex:
            known = set(lane.known())
            lane.may_have_more = False
        limit = _PREFETCH + len(known)
        found = deliveries.due(session, lane.consumer.id, now=self._rt.clock(), limit=limit)
        new = [delivery for delivery in found.deliveries if delivery.id not in known]
        with self.crew.mutex:
            lane.has_followers = found.follow
            lane.may_have_more |= bool(new) and not found.is_all
        return new

    def _defer(self, consumer_id: UUID) -> None:
        """Postpone deliveries that follow a waiting one of their message: every query would find them due again."""
        with self._rt.transaction() as tx:
            deliveries.defer_followers(tx.session, consumer_id, now=self._rt.clock(), limit=_PREFETCH)

    def _leave_idle(self) -> None:
        with self.crew.mutex:
            ids = [consumer_id for consumer_id, lane in self._lanes.items() if lane.is_idle]
            for consumer_id in ids:
                del self._lanes[consumer_id]
        if ids:
            with self._rt.transaction() as tx:
                subscriptions.release(tx.session, ids, owner=self._owner)

    def _post(self, consumer: Consumer, ready: _Ready) -> AttemptResult:
        """Make one request and return its result, whatever happens."""
        began_at = self._rt.clock()
        reply = ConsumerReply(None, timedelta(), error=EVENT_FORGOTTEN)
        try:
            if event := ready.event:
                signed = signed_headers(event.event_id, event.body, consumer.secrets, now=began_at)
                headers = {**consumer.headers, **signed}
                reply = self._rt.webhooks.post(ready.delivery.url or consumer.url, event.body, headers)
        except Exception:
            log.exception("push_broke", delivery_id=ready.delivery.id.hex)
            reply = ConsumerReply(None, timedelta(), error="internal_error")
        return AttemptResult(consumer, ready.delivery, reply, began_at)

    def _record(self) -> None:
        """Finish a recording that has ended, and begin one if it is time."""
        if self._recording and self._recording.done():
            recording, self._recording = self._recording, None
            recording.result()
        if self._recording or time.monotonic() < self.crew.record_at:
            return
        self._recording = self._recorder.submit(self._write, self.crew.take_results())
        self._recording.add_done_callback(lambda _: self._bell.set())

    def _write(self, results: Sequence[AttemptResult]) -> None:
        """Record results; consumers that failed get nothing more until the drain has looked at their state."""
        with self.crew.mutex:
            present = {consumer_id: lane.consumer.health for consumer_id, lane in self._lanes.items()}
        health = present
        try:
            health = retry_while_db_down(self._rt, partial(record_deliveries, self._rt, results, present))
        finally:
            # These requests have ended, recorded or not; `finish` waits only for those that have not.
            with self.crew.mutex:
                for result in results:
                    lane = self._lanes[result.consumer.id]
                    _assign(lane, replace(lane.consumer, health=health[lane.consumer.id]))
                    self._settle(lane, result.delivery.id)

    def _settle(self, lane: _Lane, delivery_id: UUID) -> None:
        failed = delivery_id in lane.failed
        lane.settle(delivery_id)
        if failed:
            lane.clear()
            self._failed.add(lane.consumer.id)
            self._rested_at = 0.0
            self._woken = True


def _assign(lane: _Lane, consumer: Consumer) -> None:
    """Update what is known about a lane's consumer."""
    lane.consumer = consumer
    lane.is_probed = consumer.health.is_probed


def _end(lane: _Lane, result: AttemptResult) -> None:
    """End a request in its lane; one that could not be made says nothing about the consumer."""
    delivery_id = result.delivery.id
    if result.reply.delivered:
        lane.succeed(delivery_id, result.reply.duration.total_seconds())
    elif result.reply.error == EVENT_FORGOTTEN:
        lane.end(delivery_id)
    else:
        lane.fail(delivery_id)
