"""Rows of jobs: written in batches, fed in order, read page by page."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Table, bindparam, delete, select, update
from sqlalchemy.orm import Session

from smsapp.bulk.models import BulkRow
from smsapp.bulk.rows import CheckedRow, RowState, SettledRow
from smsapp.db import bulk_writes as bulk
from smsapp.messages.models import Message

_ROWS: Table = BulkRow.__table__  # type: ignore[assignment]

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]
_RESULT = tuple(
    _MESSAGES.c[name]
    for name in (
        "id",
        "to",
        "status",
        "outcome",
        "error_code",
        "segments",
        "num_segments",
        "price",
        "price_unit",
        "submitted_at",
        "finished_at",
        "sender",
        "actual_sender",
        "carrier_at",
    )
)

_WAITING = _ROWS.c.state == RowState.WAITING.value


def insert(session: Session, job_id: UUID, rows: Sequence[CheckedRow], *, first: int) -> None:
    """Add rows of a job, numbered from `first`."""
    bulk.insert(
        session,
        _ROWS,
        [
            {
                "job_id": job_id,
                "number": number,
                "line": row.line,
                "state": row.state.value,
                "to": row.to,
                "body": row.body,
                "content_variables": row.content_variables,
                "client_reference": row.client_reference,
                "reason": row.reason,
                "column": row.column,
            }
            for number, row in enumerate(rows, start=first)
        ],
    )


def remove(session: Session, job_id: UUID) -> None:
    """Remove every row of a job."""
    session.execute(delete(BulkRow).where(BulkRow.job_id == job_id))


def oldest_job(session: Session) -> UUID | None:
    """Return the oldest job that has rows, None without any."""
    return session.scalar(select(BulkRow.job_id).order_by(BulkRow.job_id).limit(1))


def remove_some(session: Session, job_id: UUID, *, limit: int) -> int:
    """Remove the first rows of a job; return how many."""
    first = select(_ROWS.c.number).where(_ROWS.c.job_id == job_id).order_by(_ROWS.c.number).limit(limit)
    gone = delete(_ROWS).where(_ROWS.c.job_id == job_id, _ROWS.c.number.in_(first))
    return int(session.connection().execute(gone).rowcount)


def next_waiting(session: Session, job_id: UUID, *, limit: int) -> list[BulkRow]:
    """Return the first rows that are not messages yet."""
    query = (
        select(BulkRow)
        .where(BulkRow.job_id == job_id, BulkRow.state == RowState.WAITING.value)
        .order_by(BulkRow.number)
        .limit(limit)
    )
    return list(session.scalars(query))


def still_waiting(session: Session, job_id: UUID, numbers: Sequence[int]) -> set[int]:
    """Return those of the rows that are not messages yet; the caller must have locked the job."""
    query = select(_ROWS.c.number).where(
        _ROWS.c.job_id == job_id, _WAITING, _ROWS.c.number.between(min(numbers), max(numbers))
    )
    return set(session.scalars(query)) & set(numbers)


def settle(session: Session, job_id: UUID, settled: Sequence[SettledRow]) -> None:
    """Record what became of waiting rows.

    The row's text is cleared: the message has it, or it is no longer needed.
    """
    statement = (
        update(_ROWS)
        .where(_ROWS.c.job_id == job_id, _ROWS.c.number == bindparam("b_number"))
        .values(
            state=bindparam("b_state"),
            message_id=bindparam("b_message_id"),
            reason=bindparam("b_reason"),
            body=None,
            content_variables=None,
        )
    )
    session.connection().execute(
        statement,
        [
            {
                "b_number": row.number,
                "b_state": row.state.value,
                "b_message_id": row.message_id,
                "b_reason": row.reason,
            }
            for row in settled
        ],
    )


def cancel_waiting(session: Session, job_id: UUID) -> int:
    """Cancel every row that is not a message yet; return how many there were."""
    statement = update(_ROWS).where(_ROWS.c.job_id == job_id, _WAITING)
    canceled = session.connection().execute(
        statement.values(state=RowState.CANCELED.value, body=None, content_variables=None)
    )
    return int(canceled.rowcount)


def faulty(session: Session, job_id: UUID, *, limit: int) -> Sequence[BulkRow]:
    """Return the first faulty rows."""
    query = (
        select(BulkRow)
        .where(BulkRow.job_id == job_id, BulkRow.state == RowState.FAULTY.value)
        .order_by(BulkRow.number)
        .limit(limit)
    )
    return session.scalars(query).all()


def results(
    session: Session, job_id: UUID, *, after: int, limit: int
) -> list[tuple[Row[Any], Row[Any] | None]]:
    """Return rows in order, each with the state of its message.

    Two queries instead of a join: each is an index scan, whatever the planner would choose for two large tables.
    """
    rows = session.execute(
        select(_ROWS)
        .where(_ROWS.c.job_id == job_id, _ROWS.c.number > after)
        .order_by(_ROWS.c.number)
        .limit(limit)
    ).all()
    ids = [row.message_id for row in rows if row.message_id]
    found = session.execute(select(*_RESULT).where(_MESSAGES.c.id.in_(ids))).all() if ids else []
    by_id = {message.id: message for message in found}
    return [(row, by_id.get(row.message_id)) for row in rows]
