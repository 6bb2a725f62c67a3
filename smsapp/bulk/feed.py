"""Turn rows of running jobs into messages, a few ahead of the senders, and close jobs that are done."""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from smsapp.bulk import queries as sms_jobs
from smsapp.bulk import row_queries as job_rows
from smsapp.bulk.draft import row_content
from smsapp.bulk.models import BulkJob, BulkRow
from smsapp.bulk.queries import JobState
from smsapp.bulk.rows import RowState, SettledRow
from smsapp.content.rules import route_fault
from smsapp.db.sessions import reading
from smsapp.events.types import EventType
from smsapp.ids import new_id, public_job_id
from smsapp.messages.queries import StaleMessageError
from smsapp.ports import PendingEvent
from smsapp.queue.drain import drain_slot, retry_while_db_down
from smsapp.queue.lanes import Lane
from smsapp.queue.tasks import Task
from smsapp.recipients.phone import parse_recipient
from smsapp.runtime import Runtime
from smsapp.sending.accept import PendingInsert, prepare, store_together
from smsapp.sending.cancel import cancel_pending
from smsapp.sending.draft import Draft
from smsapp.sending.recipient_limit import RecipientLimitError
from smsapp.sending.sender_pool import sender_for
from smsapp.suppressions.check import RecipientOptedOutError

log = structlog.get_logger(__name__)

BATCH = 500
_SOON = timedelta(minutes=30)
"""Messages that wait longer than this, for quiet hours to end, must not hold up messages that can go out now."""

IDLE_S = 2.0
"""A feeder that has been idle for this long ends; the sweep wakes another while there are jobs."""


class _RowsTakenError(Exception):
    """The job was paused or canceled, or another feeder took the rows first; nothing may be committed."""


def feed_jobs(
    rt: Runtime, slot: int = 0, *, batch: int = BATCH, idle_s: float = IDLE_S, look_every_s: float = 0.1
) -> int:
    """Turn rows into messages and cancel those of canceled jobs until nothing is left to do; return how many changed.

    At most `job_window` messages of a job wait at a time, so that a large job does not flood the backlog.
    """
    total = 0
    with drain_slot(rt, Task.FEED_JOBS, slot) as keep_going:
        last_work = time.monotonic()
        while keep_going() and time.monotonic() - last_work < idle_s:
            moved, left = retry_while_db_down(rt, partial(_round, rt, batch))
            total += moved
            if not left:
                break
            if moved:
                last_work = time.monotonic()
            else:
                rt.stopping.wait(look_every_s)
    return total


def _round(rt: Runtime, batch: int) -> tuple[int, bool]:
    """Serve each job once; return how many rows or messages changed, and whether there is more to do."""
    with reading(rt.sessions) as session:
        jobs = sms_jobs.unfinished(session, now=rt.clock())
    moved = 0
    for job in jobs:
        if job.waiting and job.state == JobState.RUNNING:
            moved += _feed(rt, job, batch)
            continue
        if job.state == JobState.CANCELED:
            moved += _cancel(rt, job.id, batch)
        _finish(rt, job.id)
    return moved, moved > 0 or any(job.waiting for job in jobs)


def _feed(rt: Runtime, job: BulkJob, batch: int) -> int:
    now = rt.clock()
    window = rt.settings.job_window
    with reading(rt.sessions) as session:
        room = window - sms_jobs.pending(session, job.id, until=now + _SOON)
        if room < max(1, min(batch, window) // 2) and room < job.waiting:
            return 0  # one larger batch a little later costs less than many small ones
        rows = job_rows.next_waiting(session, job.id, limit=min(room, batch))
    if not rows:
        return 0  # another feeder took the last ones
    try:
        if job.deliver_by and job.deliver_by <= now:
            _refuse(rt, job.id, rows, "deadline_passed")
        elif _has_lost_its_service(rt, job):
            _refuse(rt, job.id, rows, "no_messaging_service")
        else:
            _store(rt, job, rows, now)
    except _RowsTakenError:
        return 0
    return len(rows)


def _has_lost_its_service(rt: Runtime, job: BulkJob) -> bool:
    """Return whether the configured Messaging Service, which the job's options need, is configured no more."""
    _, service = sender_for(rt.settings, "", job.sender, job.messaging_service_sid)
    return route_fault(job.options, None, service, "") is not None


def _store(rt: Runtime, job: BulkJob, rows: Sequence[BulkRow], now: datetime) -> None:
    """Store rows as messages; message and row change in one transaction, so that no row is sent twice."""
    inserts = [prepare(_draft(rt, job, row), now) for row in rows]
    numbers = {pending.message.id: row.number for pending, row in zip(inserts, rows, strict=True)}

    def settle(session: Session, stored: list[PendingInsert]) -> None:
        _settle(session, job.id, [_settled(numbers[pending.message.id], pending) for pending in stored], now)

    store_together(rt, inserts, alongside=settle)
    # A message that the database cannot hold was rolled back, and its row with it.
    broken = [
        row
        for row, pending in zip(rows, inserts, strict=True)
        if isinstance(pending.error, DataError | IntegrityError)
    ]
    if broken:
        _refuse(rt, job.id, broken, "not_storable")


def _refuse(rt: Runtime, job_id: UUID, rows: Sequence[BulkRow], reason: str) -> None:
    refused = [SettledRow(row.number, RowState.REFUSED, reason=reason) for row in rows]
    with rt.transaction() as tx:
        _settle(tx.session, job_id, refused, rt.clock())


def _settle(session: Session, job_id: UUID, settled: Sequence[SettledRow], now: datetime) -> None:
    """Record what became of rows, while the job is locked and still running.

    Raises:
        _RowsTakenError: the job has stopped, or another feeder took some of the rows.
    """
    job = sms_jobs.lock(session, job_id)
    numbers = [row.number for row in settled]
    if job is None or job.state != JobState.RUNNING:
        raise _RowsTakenError
    if job_rows.still_waiting(session, job_id, numbers) != set(numbers):
        raise _RowsTakenError
    job_rows.settle(session, job_id, settled)
    counts = Counter(row.state.value for row in settled)
    sms_jobs.count(session, job_id, now=now, waiting=-len(settled), **counts)


def _settled(number: int, pending: PendingInsert) -> SettledRow:
    if isinstance(pending.error, RecipientOptedOutError):
        return SettledRow(number, RowState.OPTED_OUT, reason="opted_out")
    if isinstance(pending.error, RecipientLimitError):
        return SettledRow(number, RowState.REFUSED, reason="recipient_limit")
    if pending.error:
        return SettledRow(number, RowState.REFUSED, reason="not_storable")
    return SettledRow(number, RowState.STORED, message_id=pending.message.id)


def _draft(rt: Runtime, job: BulkJob, row: BulkRow) -> Draft:
    assert row.to is not None
    assert row.body is not None
    sender, service = sender_for(rt.settings, row.to, job.sender, job.messaging_service_sid)
    return Draft(
        recipient=parse_recipient(row.to),
        sender=sender,
        messaging_service_sid=service,
        content=row_content(row.body, row.content_variables, job.media_urls, job.options),
        api_key_id=job.api_key_id,
        client_reference=row.client_reference,
        tags=job.tags,
        request_id=job.request_id,
        on_unconfirmed=job.on_unconfirmed,
        resend_after_failure=job.resend_after_failure,
        callback_url=job.callback_url,
        on_failure=job.on_failure,
        sensitive=job.sensitive,
        deliver_by=job.deliver_by,
        quiet_hours=job.quiet_hours,
        job_id=job.id,
        lane=Lane.BULK,
    )


def _cancel(rt: Runtime, job_id: UUID, limit: int) -> int:
    """Cancel messages of a canceled job that no sender has claimed yet."""
    with reading(rt.sessions) as session:
        ids = sms_jobs.pending_ids(session, job_id, limit=limit)
    try:
        return cancel_pending(rt, ids) if ids else 0
    except StaleMessageError:
        return 0  # senders claimed some of them in between; the next round tries again


def _finish(rt: Runtime, job_id: UUID) -> None:
    """Close a job whose rows are all settled and whose messages all have an outcome."""
    with reading(rt.sessions) as session:
        if sms_jobs.has_open_messages(session, job_id):
            return
    now = rt.clock()
    with rt.transaction() as tx:
        job = sms_jobs.lock(tx.session, job_id)
        if job is None or job.finished_at or job.waiting or sms_jobs.has_open_messages(tx.session, job_id):
            return
        state = JobState.CANCELED if job.state == JobState.CANCELED else JobState.COMPLETED
        sms_jobs.change(tx.session, job_id, {"state": state.value, "finished_at": now, "updated_at": now})
        tx.emit(_completed(tx.session, job, state, now))
    log.info("job_finished", job_id=public_job_id(job_id), state=state)


def _completed(session: Session, job: BulkJob, state: JobState, now: datetime) -> PendingEvent:
    data = {
        "id": public_job_id(job.id),
        "name": job.name,
        "state": state.value,
        "rows": job.rows,
        "counts": {row_state.value: getattr(job, row_state) for row_state in RowState},
        "outcomes": sms_jobs.progress(session, job.id).outcomes,
    }
    return PendingEvent(EventType.JOB_COMPLETED, new_id(), now, api_key_id=job.api_key_id, data=data)
