"""The outbox: events for consumers, written in the transaction of the change they tell of, numbered without gaps.

Events gather on the session and are written as the last statement before the commit, with numbers from one row that
stays locked until then. So numbers follow the order of commits, a rollback gives its numbers back, and a reader that
has seen a number has seen every smaller one (see docs/decisions/0018-events-numbered-at-commit.md).
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Table, event
from sqlalchemy.orm import Session, SessionTransaction

from smsapp.db import bulk_writes as bulk
from smsapp.events.models import OutboxEvent, OutboxHead
from smsapp.events.types import OF_OUTCOME, EventType, Outgoing

_OUTBOX: Table = OutboxEvent.__table__  # type: ignore[assignment]
_HEAD: Table = OutboxHead.__table__  # type: ignore[assignment]

_ENDS = frozenset({*OF_OUTCOME.values(), EventType.MESSAGE_REVISED})

_PENDING = "outbox"
_SAVEPOINTS = "outbox_savepoints"
_WRITTEN = "outbox_written"


def add(session: Session, *events: Outgoing) -> None:
    """Let consumers hear of these, in this order, if and when the transaction commits."""
    add_all(session, events)


def add_all(session: Session, events: Iterable[Outgoing]) -> None:
    """Do the same for many."""
    pending: list[Outgoing] = session.info.setdefault(_PENDING, [])
    reopened = []
    for each in events:
        if each.reopens:
            reopened.append(each)
        else:
            pending.append(each)
    if reopened:
        _reopen(pending, reopened)


def tells(session: Session) -> bool:
    """Return whether this transaction has something to tell."""
    return bool(session.info.get(_PENDING) or session.info.get(_WRITTEN))


def told(session: Session) -> bool:
    """Return, once, whether the transaction that was just committed told something."""
    return bool(session.info.pop(_WRITTEN, False))


def _reopen(pending: list[Outgoing], reopened: list[Outgoing]) -> None:
    """Take back ends that nobody has heard of yet, and tell of those that were told in an earlier transaction."""
    messages = {each.message_id for each in reopened}
    ends = [each for each in pending if each.type in _ENDS and each.message_id in messages]
    ended_now = {each.message_id for each in ends if each.type != EventType.MESSAGE_REVISED}
    taken = {each.id for each in ends}
    pending[:] = [each for each in pending if each.id not in taken]
    pending += [each for each in reopened if each.message_id not in ended_now]


def _rows(pending: list[Outgoing]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "seq": position,
            "id": each.id,
            "type": each.type,
            "message_id": each.message_id,
            "event_seq": each.event_seq,
            "occurred_at": each.occurred_at,
        }
        for position, each in enumerate(pending, start=1)
    ]
    if any(each.data is not None for each in pending):  # seldom, and a column less is a quarter less to do
        rows = [row | {"data": each.data} for row, each in zip(rows, pending, strict=True)]
    return rows


@event.listens_for(Session, "before_commit")
def _write(session: Session) -> None:
    """Number and write what gathered; nothing may be locked after this, or two transactions could wait in a circle."""
    if session.in_nested_transaction():
        return
    pending: list[Outgoing] | None = session.info.pop(_PENDING, None)
    if pending:
        session.flush()
        bulk.insert_numbered(session, _OUTBOX, _HEAD, _rows(pending))
        session.info[_WRITTEN] = True


@event.listens_for(Session, "after_transaction_create")
def _remember(session: Session, transaction: SessionTransaction) -> None:
    """Remember what there was before a savepoint."""
    if transaction.nested:
        session.info.setdefault(_SAVEPOINTS, {})[transaction] = list(session.info.get(_PENDING, ()))


@event.listens_for(Session, "after_soft_rollback")
def _roll_back(session: Session, transaction: SessionTransaction) -> None:
    """Forget what a rolled back transaction, or the part of it since a savepoint, wanted to tell."""
    if transaction.nested:
        session.info[_PENDING] = session.info[_SAVEPOINTS].pop(transaction)
    else:
        session.info.pop(_PENDING, None)


@event.listens_for(Session, "after_transaction_end")
def _forget(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_SAVEPOINTS, None)
