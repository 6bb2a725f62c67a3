"""Submit due messages: claim them, call Twilio with no transaction open, record the outcomes."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from enum import Enum, auto
from functools import partial
from math import inf
from queue import Empty, SimpleQueue

import structlog

from smsapp.db.sessions import reading
from smsapp.ids import public_id
from smsapp.pacing import due
from smsapp.queue.drain import drain_slot, hearing, idle_of, retry_while_db_down
from smsapp.queue.lanes import Lane
from smsapp.queue.pin_to_cpu import pin_to_cpu
from smsapp.queue.tasks import SENDING
from smsapp.runtime import Runtime
from smsapp.submission.outbound import Outbound
from smsapp.submission.record import SubmissionResult, record_submissions, submit
from smsapp.submission.scheduler import Scheduler
from smsapp.twilio.gateway import Submission
from smsapp.twilio.judgement import Judgement

log = structlog.get_logger(__name__)

_MAX_SLOTS: Mapping[Lane, int] = {Lane.OTP: 2, Lane.NORMAL: 4, Lane.BULK: 2}
"""Concurrent drains of a lane over all processes; in total fewer than a worker has threads."""

_TICK_S: Mapping[Lane, float] = {Lane.OTP: 0.01, Lane.NORMAL: 0.025, Lane.BULK: 0.025}
"""How often a drain asks whether a paced sender may send again, and looks for queues that its last look left out."""

LOOK_EVERY_S = 0.5
"""How often a drain looks for due messages without being woken: a wake-up may be lost, or a retry become due."""

_KEEP_EVERY_S = 0.5
"""How often an idle drain renews its flag and asks whether to go on."""

_REST = 2.0
"""How many times as long as its last claim took a drain rests before it claims again, unless that found more than it
could take: so a stream of single messages costs a third of a core at most, and a lonely one waits for nothing."""

_GATHER_S = 0.025
_RECORD_EVERY_S = 0.05
"""How long an answer waits for others to be recorded with while calls are in flight, and the least time between two
such records: a transaction costs as much as dozens of its rows."""

_SLOW_S = 0.05
"""If a third of the calls take longer than this while other messages wait, the drain wakes another one."""

_RECORD_PATIENCE = timedelta(seconds=60)
_PATIENCE_AFTER_STOP = timedelta(seconds=45)  # within the 60 s that docker-compose.yml gives a worker to end
"""Twilio's answers are worth a longer wait for the database: without them we must look the messages up at Twilio."""


def send_messages(rt: Runtime, slot: int = 0, lane: Lane = Lane.NORMAL) -> int:
    """Submit every due message of a lane and return how many were submitted.

    The row decides: the worker that changes a message from pending to submitting submits it, once. A task that is
    delivered twice, or a second concurrent task, finds nothing left to claim.
    """
    total = 0
    while True:
        drain = _Drain(rt, slot, lane)
        with drain_slot(rt, SENDING[lane], slot) as keep_going:
            done = drain.run(keep_going)
        total += done
        if rt.stopping.is_set() or drain.stuck or not _anything_due(rt, lane):
            return total


class _News(Enum):
    """What a drain is told besides answers."""

    WOKEN = auto()
    RECORDED = auto()


class _Drain:
    """Keeps up to `send_concurrency` submissions in flight until nothing is due."""

    def __init__(self, rt: Runtime, slot: int, lane: Lane) -> None:
        self._rt = rt
        self._slot = slot
        self._lane = lane
        self._claimer = Scheduler(rt, lane)
        self._capacity = rt.settings.send_concurrency
        self._idle_s = idle_of(slot, rt.drain_idle).total_seconds()
        self._enough = max(1, self._capacity // 3)
        self._in_flight = 0
        self._more_waits = False
        self._claimed_at = 0.0
        self._rested_at = 0.0
        self._going = True
        self._woken = False
        self._worked_at = time.monotonic()
        self._answers: SimpleQueue[SubmissionResult | _News] = SimpleQueue()
        self._answered: list[SubmissionResult] = []
        self._refused = False
        self._record_at = 0.0
        self._recording: Future[None] = Future()
        self._recording.set_result(None)

    @property
    def stuck(self) -> bool:
        """Whether due messages cannot be claimed now: the sweep wakes another drain for them."""
        return self._claimer.stuck

    def run(self, keep_going: Callable[[], bool]) -> int:
        """Return how many messages were submitted; however the run ends, Twilio's answers are recorded."""
        with (
            pin_to_cpu() as come_here,
            ThreadPoolExecutor(self._capacity, "twilio", initializer=come_here) as pool,
            ThreadPoolExecutor(1, "record", initializer=come_here) as recorder,
            self._hearing(),
        ):
            try:
                return self._work(keep_going, pool, recorder)
            finally:
                self._finish()

    def _hearing(self) -> AbstractContextManager[None]:
        """Be told when there is more; the helpers in other slots have enough to do."""
        if self._slot:
            return nullcontext()
        return hearing(self._rt, SENDING[self._lane], partial(self._answers.put, _News.WOKEN))

    def _work(self, keep_going: Callable[[], bool], pool: Executor, recorder: Executor) -> int:
        total = 0
        while True:
            self._going = keep_going()
            claimed = self._claim()
            for message in claimed:
                self._in_flight += 1
                pool.submit(self._submit, message)
            total += len(claimed)
            if claimed or self._in_flight or self._answered:
                self._worked_at = time.monotonic()
            elif time.monotonic() >= self._end_at():
                return total
            self._gather()
            self._record(recorder)

    def _finish(self) -> None:
        """Wait for the last answers and record them: without them we must look the messages up at Twilio."""
        while self._in_flight:
            self._take(self._answers.get())
        until = time.monotonic() + _PATIENCE_AFTER_STOP.total_seconds()  # for both records together
        wait([self._recording])
        if self._answered:
            left_s = max(0.0, until - time.monotonic())
            self._write_down(self._answered, after_stop=timedelta(seconds=left_s))
        self._recording.result()

    def _write_down(
        self, results: list[SubmissionResult], after_stop: timedelta = _PATIENCE_AFTER_STOP
    ) -> None:
        """Record answers, even while the process ends: a text that Twilio accepted must not become unconfirmed."""
        work = partial(record_submissions, self._rt, results)
        retry_while_db_down(self._rt, work, patience=_RECORD_PATIENCE, after_stop=after_stop)

    def _claim(self) -> list[Outbound]:
        began = time.monotonic()
        if self._is_full and (self._more_waits or self._woken) and began - self._claimed_at > _SLOW_S:
            self._call_another()
        if began < self._claim_at():
            return []
        free = self._capacity - self._in_flight
        self._woken = False
        claimed = self._claimer.claim(free)
        self._claimed_at = time.monotonic()
        self._rested_at = self._claimed_at + _REST * (self._claimed_at - began)
        self._more_waits = len(claimed) == free
        if len(claimed) == self._capacity:
            self._call_another()
        return claimed

    @property
    def _is_full(self) -> bool:
        """Whether too few calls could start to make a claim worth its while."""
        return self._capacity - self._in_flight < self._enough

    def _claim_at(self) -> float:
        """Return when to claim: 0 for at once, infinity for not before something changes."""
        database_is_slower = len(self._answered) > self._capacity
        if not self._going or self._is_full or database_is_slower:
            return inf
        if self._more_waits:
            return 0.0
        if self._woken:
            return self._rested_at
        soon = self._claimer.waits or self._claimer.is_crowded
        return self._claimed_at + (_TICK_S[self._lane] if soon else LOOK_EVERY_S)

    def _record_now_at(self) -> float:
        """Return when to record the answers that are there, as `_claim_at`."""
        if self._refused:
            return 0.0
        if not self._answered or not self._recording.done():
            return inf
        return 0.0 if self._in_flight == 0 or len(self._answered) >= self._capacity else self._record_at

    def _end_at(self) -> float:
        """Return when to end if nothing happens, as `_claim_at`."""
        if not self._going:
            return 0.0
        return inf if self._claimer.waits else self._worked_at + self._idle_s

    def _call_another(self) -> None:
        if self._slot + 1 < _MAX_SLOTS[self._lane]:
            self._rt.tasks.wake(SENDING[self._lane], self._slot + 1)

    def _submit(self, message: Outbound) -> None:
        """Call Twilio in a thread of the pool; the drain always gets a result, whatever happens."""
        result = Submission(judgement=Judgement.unknown(), cause="internal_error")
        try:
            result = submit(self._rt, message)
        except Exception:
            log.exception("submission_broke", message_id=public_id(message.id), request_id=message.request_id)
        finally:
            self._answers.put((message, result))

    def _gather(self) -> None:
        """Collect answers until there is something to do with them, or something else to do."""
        look_at = time.monotonic() + (_SLOW_S if self._more_waits else _KEEP_EVERY_S)
        while True:
            until = min(look_at, self._claim_at(), self._record_now_at())
            if not self._in_flight and not self._answered:
                until = min(until, self._end_at())
            try:
                self._take(self._answers.get(timeout=max(0.0, until - time.monotonic())))
            except Empty:
                return

    def _take(self, news: SubmissionResult | _News) -> None:
        if isinstance(news, _News):
            self._woken = self._woken or news is _News.WOKEN
            return
        if not self._answered:
            self._record_at = max(self._record_at, time.monotonic() + _GATHER_S)
        self._answered.append(news)
        self._refused = self._refused or news[1].message is None
        self._in_flight -= 1

    def _record(self, recorder: Executor) -> None:
        """Record answers in batches while other messages are claimed and submitted.

        A refusal is recorded at once, and nothing is claimed until it is: it may trip the sender's breaker.
        """
        if time.monotonic() < self._record_now_at():
            if self._recording.done():
                self._recording.result()  # raises the error of the recording, if any
            return
        self._recording.result()
        results, self._answered = self._answered, []
        refused, self._refused = self._refused, False
        self._recording = recorder.submit(self._write_down, results)
        self._recording.add_done_callback(lambda _: self._answers.put(_News.RECORDED))
        self._record_at = time.monotonic() + _RECORD_EVERY_S
        if refused:
            self._recording.result()


def _anything_due(rt: Runtime, lane: Lane) -> bool:
    """Look once more after the flag was cleared: messages that came before that woke no drain."""
    with reading(rt.sessions) as session:
        return due.has_due(session, lane, now=rt.clock())
