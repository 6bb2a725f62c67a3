"""Remove texts, numbers and histories that have been kept for their time, oldest first, in small transactions.

Ids are in the order of age, and each pass remembers the last one that it has looked at: a sweep that finds nothing old
costs one look into an index, however many messages are stored, and no writer ever waits for more than one batch.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from smsapp.bulk import queries as jobs
from smsapp.bulk import row_queries as job_rows
from smsapp.bulk.control import Command, control_job
from smsapp.callbacks import dead_letters
from smsapp.db.sessions import reading
from smsapp.ids import first_id_at
from smsapp.messages import queries as messages
from smsapp.retention import erasure_queries as erasures
from smsapp.retention import queries as redactions
from smsapp.retention.rules import is_erasable, is_spent
from smsapp.runtime import Runtime

log = structlog.get_logger(__name__)

_BATCH = 500
_BATCHES = 10
"""In one sweep: its other parts wait meanwhile, for a fraction of a second."""

Remove = Callable[[Session, Sequence[UUID], datetime], int]
"""Removes something of these messages, given in the order of their ids; returns of how many."""


def expire_texts(rt: Runtime, *, batch: int = _BATCH, batches: int = _BATCHES) -> int:
    """Remove texts older than `KEEP_TEXTS`; of a message that is still under way, as soon as no attempt needs it."""
    return _pass(rt, "texts", rt.settings.keep_texts, _remove_texts, batch=batch, batches=batches)


def expire_numbers(rt: Runtime) -> int:
    """Remove numbers and histories older than `KEEP_NUMBERS`; the messages stay, as counts."""
    return _pass(rt, "numbers", rt.settings.keep_numbers, _remove_numbers)


def expire_job_texts(rt: Runtime) -> int:
    """Remove the texts of jobs that ended longer ago than `KEEP_TEXTS`."""
    if rt.settings.keep_texts is None:
        return 0
    before = rt.clock() - rt.settings.keep_texts
    with reading(rt.sessions) as session:
        ids = jobs.with_text(session, before=before, limit=_BATCH)
    if ids:
        with rt.transaction() as tx:
            jobs.empty(tx.session, ids)
    return len(ids)


def expire_job_rows(rt: Runtime) -> int:
    """Remove the rows of jobs older than `KEEP_NUMBERS`; the counts stay. One that nobody started is canceled first."""
    if rt.settings.keep_numbers is None:
        return 0
    before = rt.clock() - rt.settings.keep_numbers
    total = 0
    for _ in range(_BATCHES):
        with reading(rt.sessions) as session:
            oldest = job_rows.oldest_job(session)
            job = jobs.get(session, oldest) if oldest else None
        if job is None or job.created_at >= before:
            break
        if job.finished_at is None:
            control_job(rt, job.id, Command.CANCEL)  # the feeder finishes it
            break
        with rt.transaction() as tx:
            total += job_rows.remove_some(tx.session, job.id, limit=_BATCH)
    return total


def expire_dead_letters(rt: Runtime) -> int:
    """Remove dead letters older than `KEEP_TEXTS`: they hold callbacks as received."""
    if rt.settings.keep_texts is None:
        return 0
    before = first_id_at(rt.clock() - rt.settings.keep_texts)
    with reading(rt.sessions) as session:
        if not dead_letters.any_before(session, before):
            return 0
    with rt.transaction() as tx:
        removed, unprocessed = dead_letters.forget(tx.session, before=before, limit=_BATCH)
    if unprocessed:
        log.error("dead_letters_expired", unprocessed=unprocessed)
    return removed


def _pass(
    rt: Runtime,
    name: str,
    age: timedelta | None,
    remove: Remove,
    *,
    batch: int = _BATCH,
    batches: int = _BATCHES,
) -> int:
    if age is None:
        return 0
    until = first_id_at(rt.clock() - age)
    total = 0
    for _ in range(batches):
        with reading(rt.sessions) as session:
            after = erasures.position(session, name)
            ids = erasures.next_messages(session, after=after, until=until, limit=batch)
        if not ids or rt.stopping.is_set():
            break
        with rt.transaction() as tx:
            total += remove(tx.session, ids, rt.clock())
            erasures.move(tx.session, name, ids[-1])
    return total


def _remove_texts(session: Session, ids: Sequence[UUID], now: datetime) -> int:
    found = messages.lock(session, ids).values()
    spent = [message.id for message in found if is_spent(message)]
    emptied = redactions.empty(session, spent)
    erasures.redact_later(session, [message.id for message in found if not is_spent(message)], now=now)
    return emptied


def _remove_numbers(session: Session, ids: Sequence[UUID], now: datetime) -> int:
    found = messages.lock(session, ids).values()
    ended = [message.id for message in found if is_erasable(message)]
    erasures.forget_people(session, ended)
    erasures.request(session, [message.id for message in found if not is_erasable(message)], now=now)
    return len(ended)
