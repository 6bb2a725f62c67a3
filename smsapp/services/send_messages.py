"""Submit what is due: claim, call Twilio with no transaction open, write down what became of it."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from functools import partial

import structlog

from smsapp.domain.outbound import Outbound
from smsapp.gateway.twilio import Submission
from smsapp.jobs import Job
from smsapp.runtime import Runtime
from smsapp.services.drain import draining, outlast
from smsapp.services.record_submissions import record_submissions
from smsapp.store import breakers, messages

log = structlog.get_logger(__name__)

_MAX_SLOTS = 4
_GLANCE_S = 0.05
"""How often the drain looks for new messages while others are at Twilio; new ones wake nobody while it runs."""

_RECORD_PATIENCE = timedelta(seconds=60)
"""Twilio's answers are worth a longer wait for the database: without them the messages must be looked up."""


def send_messages(rt: Runtime, slot: int = 0) -> int:
    """Submit every message that is due and return how many that was.

    The row decides: a message is submitted by whoever changes it from pending to submitting, once. A job that is
    delivered twice, or two jobs at once, find nothing left to claim.
    """
    total = 0
    while True:
        with draining(rt, Job.SEND_MESSAGES, slot) as again:
            total += _drain_due(rt, again, slot)
        if rt.stopping.is_set() or not _anything_due(rt):
            return total


def _drain_due(rt: Runtime, again: Callable[[], bool], slot: int) -> int:
    """Keep up to `send_concurrency` submissions in flight until nothing is due."""
    capacity = rt.settings.send_concurrency
    flying: dict[Future[Submission], Outbound] = {}
    total = 0
    glanced = 0.0
    with ThreadPoolExecutor(capacity, thread_name_prefix="twilio") as pool:
        while True:
            free = capacity - len(flying)
            now = time.monotonic()
            if free and (free * 4 >= capacity or now - glanced >= _GLANCE_S) and again():
                glanced = now
                claimed = outlast(rt, partial(_claim, rt, free))
                flying.update({pool.submit(rt.gateway.submit, message): message for message in claimed})
                total += len(claimed)
                if len(claimed) == capacity and slot + 1 < _MAX_SLOTS:
                    rt.jobs.wake(Job.SEND_MESSAGES, slot + 1)
            if not flying:
                return total
            done, _ = wait(flying, timeout=_GLANCE_S, return_when=FIRST_COMPLETED)
            results = [(flying.pop(future), future.result()) for future in done]
            if results:
                outlast(rt, partial(record_submissions, rt, results), patience=_RECORD_PATIENCE)


def _claim(rt: Runtime, limit: int) -> Sequence[Outbound]:
    """Take due messages, unless their sender or the whole account is closed at present."""
    now = rt.clock()
    with rt.sessions.begin() as session:
        closed = breakers.closed_scopes(session, now=now)
        if breakers.ACCOUNT in closed:
            return []
        return messages.claim_due(
            session, now=now, lease=rt.settings.send_lease, limit=limit, parked_senders=closed
        )


def _anything_due(rt: Runtime) -> bool:
    """Look once more after the flag fell: what came before that woke nobody."""
    now = rt.clock()
    with rt.sessions() as session:
        return not breakers.closed_scopes(session, now=now) and messages.has_due(session, now=now)
