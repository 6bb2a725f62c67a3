"""Jobs: their states and counts. Every change locks the job's row first, so that changes are serialized."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Table, and_, func, insert, or_, select, update
from sqlalchemy.orm import Session

from smsapp.bulk.draft import JobDraft
from smsapp.bulk.models import BulkJob
from smsapp.bulk.rows import RowState, RowTotals
from smsapp.content.rules import without_variables
from smsapp.db.pages import Page, page_before
from smsapp.keys.ownership import belongs_to
from smsapp.messages.models import Message
from smsapp.messages.status import Status

_JOBS: Table = BulkJob.__table__  # type: ignore[assignment]


class JobState(StrEnum):
    """What a job is doing."""

    UPLOADING = "uploading"  # not visible to callers
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELED = "canceled"
    COMPLETED = "completed"


@dataclass(slots=True)
class Progress:
    """How many of a job's messages have each status, and how many each outcome."""

    statuses: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)

    @property
    def in_flight(self) -> int:
        """Return how many messages have no outcome yet."""
        return sum(self.statuses.values()) - sum(self.outcomes.values())


def add(session: Session, job_id: UUID, draft: JobDraft, *, now: datetime) -> None:
    """Add a job without rows, not visible to callers yet."""
    values = {
        "id": job_id,
        "api_key_id": draft.api_key_id,
        "name": draft.name,
        "state": JobState.UPLOADING.value,
        # Its rows hold the text, for as long as they need it; nothing else needs it.
        "body": "" if draft.sensitive else draft.body,
        "media_urls": draft.pattern.media_urls,
        "options": without_variables(draft.pattern.options) if draft.sensitive else draft.pattern.options,
        "template": draft.template_name,
        "template_version": draft.template_version,
        "sender": draft.sender,
        "messaging_service_sid": draft.messaging_service_sid,
        "tags": draft.tags,
        "on_unconfirmed": draft.on_unconfirmed,
        "resend_after_failure": draft.resend_after_failure,
        "callback_url": draft.callback_url,
        "on_failure": draft.on_failure,
        "sensitive": draft.sensitive,
        "send_at": draft.send_at,
        "deliver_by": draft.deliver_by,
        "quiet_hours": draft.quiet_hours,
        "ignored_columns": None if draft.ignored_columns is None else list(draft.ignored_columns),
        "request_id": draft.request_id,
        "created_at": now,
        "updated_at": now,
        "segments_by_country": {},
        **dict.fromkeys(("rows", "segments", *(state.value for state in RowState)), 0),
    }
    session.execute(insert(_JOBS).values(values))


def publish(session: Session, job_id: UUID, totals: RowTotals, *, start: bool, now: datetime) -> None:
    """Show a job, all of whose rows are stored, and let it run if it shall start at once."""
    values = {
        "state": (JobState.RUNNING if start else JobState.READY).value,
        "started_at": now if start else None,
        "updated_at": now,
        "rows": totals.states.total(),
        "segments": totals.segments.total(),
        "segments_by_country": dict(+totals.segments),
        **{state.value: totals.states[state] for state in RowState},
    }
    change(session, job_id, values)


def change(session: Session, job_id: UUID, values: dict[str, Any]) -> None:
    """Update some columns of a job."""
    session.execute(update(_JOBS).where(_JOBS.c.id == job_id).values(values))


def count(session: Session, job_id: UUID, *, now: datetime, **added: int) -> None:
    """Add to counts of a job."""
    raised = {name: _JOBS.c[name] + amount for name, amount in added.items()}
    session.execute(update(_JOBS).where(_JOBS.c.id == job_id).values(updated_at=now, **raised))


def get(session: Session, job_id: UUID) -> BulkJob | None:
    """Return the job, whoever made it, or None when there is none or it is still being uploaded."""
    query = select(BulkJob).where(BulkJob.id == job_id, BulkJob.state != JobState.UPLOADING)
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def get_owned(session: Session, job_id: UUID, application_id: UUID) -> BulkJob | None:
    """Return the job, or None when there is none, it is still being uploaded, or another application made it."""
    query = select(BulkJob).where(
        BulkJob.id == job_id,
        BulkJob.state != JobState.UPLOADING,
        belongs_to(application_id, BulkJob.api_key_id),
    )
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def lock(session: Session, job_id: UUID) -> BulkJob | None:
    """Return the job, locked until the transaction ends, or None when there is none."""
    query = select(BulkJob).where(BulkJob.id == job_id, BulkJob.state != JobState.UPLOADING).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def find(
    session: Session, application_id: UUID, *, limit: int, before: UUID | None, state: str | None
) -> Page[BulkJob]:
    """Return jobs of an application, newest first; `before` is the last id of the previous page."""
    query = select(BulkJob).where(
        BulkJob.state != JobState.UPLOADING, belongs_to(application_id, BulkJob.api_key_id)
    )
    if state is not None:
        query = query.where(BulkJob.state == state)
    return page_before(session, query, BulkJob.id, before=before, limit=limit)


def unfinished(session: Session, *, now: datetime) -> Sequence[BulkJob]:
    """Return jobs that the feeder has work for now, oldest first."""
    in_time = or_(BulkJob.send_at.is_(None), BulkJob.send_at <= now)
    going = or_(BulkJob.state == JobState.CANCELED, and_(BulkJob.state == JobState.RUNNING, in_time))
    all_stored = and_(BulkJob.state.in_((JobState.RUNNING, JobState.PAUSED)), BulkJob.waiting == 0)
    query = select(BulkJob).where(BulkJob.finished_at.is_(None), or_(going, all_stored)).order_by(BulkJob.id)
    return session.scalars(query).all()


def abandoned(session: Session, *, before: datetime) -> Sequence[UUID]:
    """Return uploads that began before that time and never finished."""
    query = select(BulkJob.id).where(
        BulkJob.finished_at.is_(None), BulkJob.state == JobState.UPLOADING, BulkJob.created_at < before
    )
    return session.scalars(query).all()


def with_text(session: Session, *, before: datetime, limit: int) -> Sequence[UUID]:
    """Return jobs that ended before that time and still have their text."""
    query = select(BulkJob.id).where(BulkJob.finished_at < before, BulkJob.body != "").limit(limit)
    return session.scalars(query).all()


def empty(session: Session, ids: Sequence[UUID]) -> None:
    """Remove the texts of these jobs, which have ended."""
    session.execute(update(_JOBS).where(_JOBS.c.id.in_(ids)).values(body=""))


def remove(session: Session, job_id: UUID) -> None:
    """Remove a job whose rows are gone already."""
    session.execute(_JOBS.delete().where(_JOBS.c.id == job_id))


def progress(session: Session, job_id: UUID) -> Progress:
    """Count the job's messages by status and outcome, in one index-only query."""
    query = (
        select(Message.outcome, Message.status, func.count())
        .where(Message.job_id == job_id)
        .group_by(Message.outcome, Message.status)
    )
    found = Progress()
    for outcome, status, amount in session.execute(query):
        found.statuses[status] = found.statuses.get(status, 0) + amount
        if outcome:
            found.outcomes[outcome] = found.outcomes.get(outcome, 0) + amount
    return found


def pending(session: Session, job_id: UUID, *, until: datetime) -> int:
    """Return how many of the job's messages wait to be submitted and may be by that time."""
    query = (
        select(func.count())
        .select_from(Message)
        .where(
            Message.job_id == job_id,
            Message.outcome.is_(None),
            Message.status == Status.PENDING,
            Message.due_at <= until,
        )
    )
    return session.scalar(query) or 0


def pending_ids(session: Session, job_id: UUID, *, limit: int) -> Sequence[UUID]:
    """Return messages of the job that no sender has claimed."""
    query = select(Message.id).where(
        Message.job_id == job_id, Message.outcome.is_(None), Message.status == Status.PENDING
    )
    return session.scalars(query.limit(limit)).all()


def has_open_messages(session: Session, job_id: UUID) -> bool:
    """Return whether any of the job's messages has no outcome yet."""
    query = select(Message.id).where(Message.job_id == job_id, Message.outcome.is_(None)).limit(1)
    return session.execute(query).first() is not None
