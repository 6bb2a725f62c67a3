"""Submit what is due: claim, call Twilio with no transaction open, write down what became of it."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from queue import Empty, SimpleQueue

import structlog

from smsapp.domain.ids import public_id
from smsapp.domain.judgement import Judgement
from smsapp.domain.lanes import Lane
from smsapp.domain.outbound import Outbound
from smsapp.gateway.twilio import Submission
from smsapp.jobs import SENDING
from smsapp.runtime import Runtime
from smsapp.services.claim_next import Claimer
from smsapp.services.drain import draining, outlast
from smsapp.services.record_submissions import Result, record_submissions, submit
from smsapp.store import claims
from smsapp.store.sessions import reading

log = structlog.get_logger(__name__)

_MAX_SLOTS: Mapping[Lane, int] = {Lane.OTP: 2, Lane.NORMAL: 4, Lane.BULK: 2}
"""Drains of a lane at work at the same time, over all processes; together fewer than a worker has threads."""

_TICK_S = 0.025
"""How long answers gather before they are written down together; the last ones in flight do not wait."""

_IDLE_S = 0.2
"""A drain that finds nothing for so long ends: waking one costs more than looking a few times."""

_RECORD_PATIENCE = timedelta(seconds=60)
"""Twilio's answers are worth a longer wait for the database: without them the messages must be looked up."""


def send_messages(rt: Runtime, slot: int = 0, lane: Lane = Lane.NORMAL) -> int:
    """Submit every message of a lane that is due and return how many that was.

    The row decides: a message is submitted by whoever changes it from pending to submitting, once. A job that is
    delivered twice, or two jobs at once, find nothing left to claim.
    """
    total = 0
    while True:
        drain = _Drain(rt, slot, lane)
        with draining(rt, SENDING[lane], slot) as again:
            done = drain.run(again)
        total += done
        if rt.stopping.is_set() or drain.stuck or not _anything_due(rt, lane):
            return total


class _Drain:
    """Keeps up to `send_concurrency` submissions in flight until nothing is due."""

    def __init__(self, rt: Runtime, slot: int, lane: Lane) -> None:
        self._rt = rt
        self._slot = slot
        self._lane = lane
        self._claimer = Claimer(rt, lane)
        self._capacity = rt.settings.send_concurrency
        self._in_flight = 0
        self._answers: SimpleQueue[Result] = SimpleQueue()

    @property
    def stuck(self) -> bool:
        """Whether what is due cannot be taken now: the sweep wakes another drain for it."""
        return self._claimer.stuck

    def run(self, again: Callable[[], bool]) -> int:
        """Return how many messages were submitted."""
        total = 0
        last_work = time.monotonic()
        with ThreadPoolExecutor(self._capacity, thread_name_prefix="twilio") as pool:
            while True:
                going = again()
                claimed = self._claim() if going else []
                for message in claimed:
                    self._in_flight += 1
                    pool.submit(self._submit, message)
                total += len(claimed)
                if claimed or self._in_flight:
                    last_work = time.monotonic()
                elif not going or (not self._claimer.waits and time.monotonic() - last_work > _IDLE_S):
                    return total
                self._record()

    def _claim(self) -> list[Outbound]:
        free = self._capacity - self._in_flight
        if not free:
            return []
        claimed = self._claimer.claim(free)
        if len(claimed) == self._capacity and self._slot + 1 < _MAX_SLOTS[self._lane]:
            self._rt.jobs.wake(SENDING[self._lane], self._slot + 1)
        return claimed

    def _submit(self, message: Outbound) -> None:
        """Call Twilio, in a thread of the pool; whatever happens, the drain hears of it."""
        result = Submission(judgement=Judgement.unknown(), cause="internal_error")
        try:
            result = submit(self._rt, message)
        except Exception:
            log.exception("submission_broke", message_id=public_id(message.id), request_id=message.request_id)
        finally:
            self._answers.put((message, result))

    def _record(self) -> None:
        """Write down the answers of one tick together."""
        until = time.monotonic() + _TICK_S
        results: list[Result] = []
        while self._in_flight or not results:
            try:
                results.append(self._answers.get(timeout=max(0.0, until - time.monotonic())))
            except Empty:
                break
            self._in_flight -= 1
        if results:
            outlast(self._rt, partial(record_submissions, self._rt, results), patience=_RECORD_PATIENCE)


def _anything_due(rt: Runtime, lane: Lane) -> bool:
    """Look once more after the flag fell: what came before that woke nobody."""
    with reading(rt.sessions) as session:
        return claims.has_due(session, lane, now=rt.clock())
