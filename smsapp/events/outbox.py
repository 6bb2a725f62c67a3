"""The outbox: events for consumers, written in the transaction of the change they describe, numbered without gaps.

Events are written by the last statement before the commit, with numbers from one row that stays locked until then. So
numbers follow the order of commits, a rollback returns its numbers, and a reader that has seen a number has seen every
smaller one (see docs/decisions/0018-events-numbered-at-commit.md).
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Session

from smsapp.db import bulk_writes
from smsapp.events.models import OutboxEvent, OutboxHead
from smsapp.events.types import OF_OUTCOME, EventType
from smsapp.ports import PendingEvent, Written

_OUTBOX: Table = OutboxEvent.__table__  # type: ignore[assignment]
_HEAD: Table = OutboxHead.__table__  # type: ignore[assignment]

_ENDS = frozenset({*OF_OUTCOME.values(), EventType.MESSAGE_REVISED})

_LOOK_AGAIN_S = {True: 5.0, False: 0.1}
"""For how long an answer counts. Who has just subscribed, perhaps with the very message, waits for its first events."""


class DatabaseOutbox:
    """The real outbox. `anyone_listens` returns whether there are consumers: without any, events wake no worker."""

    def __init__(self, anyone_listens: Callable[[Session], bool]) -> None:
        self._anyone_listens = anyone_listens
        self._look_at = 0.0
        self._wanted = False

    def write(self, session: Session, events: Sequence[PendingEvent]) -> Written:
        """Number and write events; return the last number, and whether there are consumers to wake a worker for.

        Nothing may be locked after this, or two transactions could deadlock.
        """
        told = without_taken_back(events)
        if not told:
            return Written(None, has_consumers=False)
        if time.monotonic() >= self._look_at:
            self._wanted = self._anyone_listens(session)
            self._look_at = time.monotonic() + _LOOK_AGAIN_S[self._wanted]
        session.flush()
        last = bulk_writes.insert_numbered(session, _OUTBOX, _HEAD, _rows(told))
        return Written(last, self._wanted)


def without_taken_back(events: Sequence[PendingEvent]) -> list[PendingEvent]:
    """Return the events to emit for a transaction in which messages ended and were reopened.

    If a message ended in this same transaction, neither the end nor its revision is emitted: no consumer has heard of
    it. An end that an earlier transaction emitted is followed by its revision.
    """
    kept: list[PendingEvent] = []
    for event in events:
        if not event.reopens:
            kept.append(event)
            continue
        ends = [each for each in kept if each.type in _ENDS and each.message_id == event.message_id]
        if ends:
            taken = {each.id for each in ends}
            kept = [each for each in kept if each.id not in taken]
        if all(each.type == EventType.MESSAGE_REVISED for each in ends):
            kept.append(event)
    return kept


def _rows(events: Sequence[PendingEvent]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "seq": position,
            "id": each.id,
            "type": each.type,
            "message_id": each.message_id,
            "event_seq": each.event_seq,
            "occurred_at": each.occurred_at,
        }
        for position, each in enumerate(events, start=1)
    ]
    if any(each.data is not None for each in events):  # rare: leaving the columns out saves a quarter
        rows = [
            row | {"data": each.data, "api_key_id": each.api_key_id}
            for row, each in zip(rows, events, strict=True)
        ]
    return rows
