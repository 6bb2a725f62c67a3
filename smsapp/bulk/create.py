"""Accept an upload of many texts: check every row, store them all, and send none until the job is started."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from smsapp.bulk import queries as sms_jobs
from smsapp.bulk import row_queries as job_rows
from smsapp.bulk.draft import JobDraft
from smsapp.bulk.models import BulkJob, BulkRow
from smsapp.bulk.rows import CheckedRow, RowState, RowTotals, check_rows
from smsapp.db.idempotency import Answered, IdempotentRequest, answer_once
from smsapp.ids import new_id
from smsapp.queue.tasks import Task
from smsapp.runtime import Runtime
from smsapp.sending.accept import UntimelyError
from smsapp.sending.draft import time_fault
from smsapp.sending.sender_pool import sender_for
from smsapp.suppressions.check import opted_out
from smsapp.suppressions.rules import Route
from smsapp.uploads.rows import RawRow

_BATCH = 500
"""Rows per transaction: a long transaction would block every other writer to SQLite."""

MAX_FAULTS = 100
"""Faulty rows listed in a response; the results list all of them."""


Render = Callable[[BulkJob, Sequence[BulkRow]], dict[str, Any]]


def create_job(
    rt: Runtime,
    draft: JobDraft,
    rows: Iterable[RawRow],
    *,
    render: Render,
    request: IdempotentRequest | None = None,
) -> Answered:
    """Store a job with all its rows, or nothing.

    Rows come as a stream and are stored in short transactions; the last one makes the job visible, stores the response
    under the Idempotency-Key, and starts the job if the request asks for it. A process that dies before that leaves
    rows that belong to no visible job; the sweep removes them.

    Raises:
        UnreadableUpload: the upload cannot be used; nothing is stored.
        IdempotencyKeyReusedError: the key was used for another request.
        UntimelyError: one of its times has passed or is out of range.
    """
    now = rt.clock()
    if fault := time_fault(draft.send_at, draft.deliver_by, now):
        raise UntimelyError(fault)
    job_id = new_id()
    with rt.transaction() as tx:
        sms_jobs.add(tx.session, job_id, draft, now=now)
    try:
        totals = _store_rows(rt, job_id, draft, rows)
        now = rt.clock()
        publish = partial(_publish, job_id=job_id, totals=totals, start=draft.start, render=render, now=now)
        answered = answer_once(rt.sessions, request, publish, now=now)
    except BaseException:
        _try_to_discard(rt, job_id)
        raise
    if answered.replayed:
        _try_to_discard(rt, job_id)
    elif draft.start:
        rt.tasks.wake(Task.FEED_JOBS)
    return answered


def _try_to_discard(rt: Runtime, job_id: UUID) -> None:
    """Remove an upload whose caller gets an error; if the database fails, the sweep removes it later."""
    with suppress(SQLAlchemyError):
        discard_upload(rt, job_id)


def discard_upload(rt: Runtime, job_id: UUID) -> None:
    """Remove a job that was never visible."""
    with rt.transaction() as tx:
        job_rows.remove(tx.session, job_id)
        sms_jobs.remove(tx.session, job_id)


def _store_rows(rt: Runtime, job_id: UUID, draft: JobDraft, rows: Iterable[RawRow]) -> RowTotals:
    """Store every row and count them."""
    totals = RowTotals()
    checked = check_rows(rows, draft.pattern, allow_duplicates=draft.allow_duplicates)
    for batch in _in_batches(checked):
        with rt.transaction() as tx:
            known = _without_opted_out(rt, tx.session, draft, batch)
            job_rows.insert(tx.session, job_id, known, first=totals.states.total() + 1)
        for row in known:
            totals.add(row)
    return totals


def _without_opted_out(
    rt: Runtime, session: Session, draft: JobDraft, rows: Sequence[CheckedRow]
) -> list[CheckedRow]:
    """Return the rows, with those to opted-out recipients marked; opt-outs are checked again before each send."""
    good = [row for row in rows if row.state is RowState.WAITING]
    refused = opted_out(rt, session, [_route(rt, draft, row.to or "") for row in good])
    lines = {row.line for row, is_refused in zip(good, refused, strict=True) if is_refused}
    return [row.refused(RowState.OPTED_OUT, "opted_out") if row.line in lines else row for row in rows]


def _route(rt: Runtime, draft: JobDraft, to: str) -> Route:
    return Route(to, *sender_for(rt.settings, to, draft.sender, draft.messaging_service_sid))


def _publish(
    session: Session, *, job_id: UUID, totals: RowTotals, start: bool, render: Render, now: datetime
) -> dict[str, Any]:
    """Make the job visible and return its document."""
    sms_jobs.publish(session, job_id, totals, start=start, now=now)
    job = sms_jobs.get(session, job_id)
    assert job is not None
    return render(job, job_rows.faulty(session, job_id, limit=MAX_FAULTS))


def _in_batches(rows: Iterator[CheckedRow]) -> Iterator[list[CheckedRow]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch
