"""Submit due messages: claim them, call Twilio with no transaction open, record the outcomes."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from functools import partial
from queue import Empty, SimpleQueue

import structlog

from smsapp.db.sessions import reading
from smsapp.ids import public_id
from smsapp.pacing import due
from smsapp.queue.drain import drain_slot, retry_while_db_down
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
"""How long a drain waits for answers before it looks for other work."""

_GATHER_S = 0.05
"""How long an answer waits for others to be recorded with: a transaction costs as much as dozens of its rows."""

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


class _Drain:
    """Keeps up to `send_concurrency` submissions in flight until nothing is due."""

    def __init__(self, rt: Runtime, slot: int, lane: Lane) -> None:
        self._rt = rt
        self._slot = slot
        self._lane = lane
        self._claimer = Scheduler(rt, lane)
        self._capacity = rt.settings.send_concurrency
        self._idle_s = rt.drain_idle.total_seconds()
        self._enough = max(1, self._capacity // 3)
        self._in_flight = 0
        self._more_waits = False
        self._claimed_at = 0.0
        self._answers: SimpleQueue[SubmissionResult] = SimpleQueue()
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
        ):
            try:
                return self._work(keep_going, pool, recorder)
            finally:
                self._finish()

    def _work(self, keep_going: Callable[[], bool], pool: Executor, recorder: Executor) -> int:
        total = 0
        last_work = time.monotonic()
        while True:
            going = keep_going()
            claimed = self._claim() if going else []
            for message in claimed:
                self._in_flight += 1
                pool.submit(self._submit, message)
            total += len(claimed)
            if claimed or self._in_flight or self._answered:
                last_work = time.monotonic()
            elif not going or (not self._claimer.waits and time.monotonic() - last_work > self._idle_s):
                return total
            self._gather()
            self._record(recorder)

    def _finish(self) -> None:
        """Wait for the last answers and record them: without them we must look the messages up at Twilio."""
        while self._in_flight:
            self._gather()
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
        free = self._capacity - self._in_flight
        database_is_slower = len(self._answered) > self._capacity
        if database_is_slower:
            return []
        if free < self._enough:
            if self._more_waits and time.monotonic() - self._claimed_at > _SLOW_S:
                self._call_another()
            return []
        claimed = self._claimer.claim(free)
        self._claimed_at = time.monotonic()
        self._more_waits = len(claimed) == free
        if len(claimed) == self._capacity:
            self._call_another()
        return claimed

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
        """Wait for answers for one tick, or until enough calls have ended to make room for waiting messages."""
        until = time.monotonic() + _TICK_S[self._lane]
        gathered = 0
        while self._in_flight or not gathered:
            try:
                message, submission = self._answers.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                break
            self._answered.append((message, submission))
            self._refused = self._refused or submission.message is None
            self._in_flight -= 1
            gathered += 1
            if self._more_waits and self._capacity - self._in_flight >= self._enough:
                until = 0.0  # also collect the answers that are already there

    def _record(self, recorder: Executor) -> None:
        """Record answers in batches while other messages are claimed and submitted.

        A refusal is recorded at once, and nothing is claimed until it is: it may trip the sender's breaker.
        """
        refused, self._refused = self._refused, False
        if refused or self._recording.done():
            self._recording.result()  # raises the error of the recording, if any
            enough = refused or len(self._answered) >= self._capacity or not self._in_flight
            if self._answered and (enough or time.monotonic() >= self._record_at):
                results, self._answered = self._answered, []
                self._recording = recorder.submit(self._write_down, results)
                self._record_at = time.monotonic() + _GATHER_S
        if refused:
            self._recording.result()


def _anything_due(rt: Runtime, lane: Lane) -> bool:
    """Look once more after the flag was cleared: messages that came before that woke no drain."""
    with reading(rt.sessions) as session:
        return due.has_due(session, lane, now=rt.clock())
