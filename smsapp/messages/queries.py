"""Insert, lock and change messages together with their histories; nothing here commits."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Table, bindparam, select, update
from sqlalchemy.orm import Session

from smsapp.db import bulk_writes as bulk
from smsapp.messages.fold import Event, MessageState, Source
from smsapp.messages.models import FormerSid, Message, MessageEvent
from smsapp.messages.new_message import NewMessage
from smsapp.messages.status import Outcome, Status

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]
_EVENTS: Table = MessageEvent.__table__  # type: ignore[assignment]
_FORMER: Table = FormerSid.__table__  # type: ignore[assignment]

_TRACKED = MessageState._fields
STATE_COLUMNS = tuple(_MESSAGES.c[name] for name in _TRACKED)
"""The columns that `state_of` takes, in this order."""

_MUTABLE = tuple(name for name in _TRACKED if name not in {"id", "created_at", "deliver_by", "request_id"})


class StaleMessageError(Exception):
    """A message changed between reading and writing it; the transaction must be retried."""


class Change(NamedTuple):
    """What evidence or a step did to one message: its state before and after, and the history entries in order."""

    before: MessageState
    after: MessageState
    events: Sequence[Event]


def state_of(row: Any) -> MessageState:
    """Return a row of STATE_COLUMNS as a `MessageState`."""
    message_id, status, attempt, version, created_at, deliver_by, resends_left, outcome, *rest = row
    return MessageState(
        message_id,
        Status(status),
        attempt,
        version,
        created_at,
        deliver_by,
        resends_left,
        outcome and Outcome(outcome),
        *rest,
    )


def insert(session: Session, new: Sequence[tuple[NewMessage, Event]]) -> None:
    """Add new messages, each with the first event of its history."""
    bulk.insert(session, _MESSAGES, [message.as_row() for message, _ in new])
    bulk.insert(session, _EVENTS, [event_values(message.id, 1, event) for message, event in new])


def addresses(session: Session, ids: Sequence[UUID]) -> Sequence[Any]:
    """Return the recipients and senders of these messages: rows of `id`, `to`, `sender`, `messaging_service_sid`."""
    columns = (_MESSAGES.c.id, _MESSAGES.c.to, _MESSAGES.c.sender, _MESSAGES.c.messaging_service_sid)
    return session.execute(select(*columns).where(_MESSAGES.c.id.in_(ids)).order_by(_MESSAGES.c.id)).all()


def save(session: Session, changes: Sequence[Change]) -> set[UUID] | None:
    """Write changed messages and append their events, skipping events whose receipt is already stored.

    Returns the receipts of the events that this call wrote, None for all of them. Only `lifecycle.apply` may call this:
    it does everything else that a status change requires.

    Raises:
        StaleMessageError: a message is no longer at the version it was read at; nothing may be committed.
    """
    if not changes:
        return None
    rows = [_cas_values(change) for change in changes]
    written = bulk.compare_and_set(session, _MESSAGES, _MUTABLE, rows)
    if written != len(rows):
        raise StaleMessageError(f"{len(rows) - written} of {len(rows)} messages changed meanwhile")
    events = [
        event_values(change.before.id, change.before.version + number, event)
        for change in changes
        for number, event in enumerate(change.events, start=1)
    ]
    recorded = bulk.insert_new(session, _EVENTS, ("receipt_id",), events)
    superseded = [
        {"twilio_sid": c.before.twilio_sid, "message_id": c.before.id, "attempt": c.before.attempt}
        for c in changes
        if c.before.twilio_sid and c.after.attempt != c.before.attempt
    ]
    if superseded:
        session.execute(_FORMER.insert(), superseded)
    return {row[0] for row in recorded} if len(recorded) < len(events) else None


def callbacks_of(session: Session, ids: Collection[UUID]) -> Sequence[Any]:
    """Return the callbacks in the histories of these messages: what a repeat of one can be told from."""
    columns = (
        "message_id",
        "seq",
        "receipt_id",
        "status",
        "reason",
        "attempt",
        "twilio_sid",
        "error_code",
        "payload",
    )
    query = select(*(_EVENTS.c[name] for name in columns)).where(
        bulk.among(session, _EVENTS.c.message_id, list(ids)), _EVENTS.c.source == Source.CALLBACK
    )
    return session.execute(query.order_by(_EVENTS.c.message_id, _EVENTS.c.seq)).all()


def add_repeats(session: Session, counts: Mapping[tuple[UUID, int], int]) -> None:
    """Raise the numbers of repeats of these entries, named by message and number."""
    statement = (
        update(_EVENTS)
        .where(_EVENTS.c.message_id == bindparam("b_id"), _EVENTS.c.seq == bindparam("b_seq"))
        .values(repeats=_EVENTS.c.repeats + bindparam("b_count"))
    )
    rows = [
        {"b_id": message_id, "b_seq": seq, "b_count": count} for (message_id, seq), count in counts.items()
    ]
    session.connection().execute(statement, rows)


def lock(session: Session, ids: Iterable[UUID]) -> dict[UUID, MessageState]:
    """Return the messages, locked in the order of their ids so that two batches cannot deadlock."""
    return _locked(session, _MESSAGES.c.id.in_(list(ids)))


def lock_for_reports(
    session: Session, ids: Sequence[UUID], sids: Sequence[str]
) -> tuple[dict[UUID, MessageState], dict[str, tuple[UUID, int | None]]]:
    """Lock and return the messages with these ids and SIDs, and map each known SID to its message.

    The second mapping gives the message and the attempt of each known SID; None stands for the current attempt.
    """
    of_sids = select(_MESSAGES.c.id).where(bulk.among(session, _MESSAGES.c.twilio_sid, sids))
    messages = _locked(session, bulk.looked_up(bulk.is_postgres(session), _MESSAGES.c.id, of_sids, ids))
    owners: dict[str, tuple[UUID, int | None]] = {
        message.twilio_sid: (message.id, None) for message in messages.values() if message.twilio_sid
    }
    if unresolved := [sid for sid in sids if sid not in owners]:
        query = select(_FORMER).where(bulk.among(session, _FORMER.c.twilio_sid, unresolved))
        former = {row.twilio_sid: (row.message_id, row.attempt) for row in session.execute(query)}
        owners |= former
        missing = {message_id for message_id, _ in former.values()} - messages.keys()
        messages |= _locked(session, _MESSAGES.c.id.in_(missing)) if missing else {}
    return messages, owners


def _locked(session: Session, condition: ColumnElement[bool]) -> dict[UUID, MessageState]:
    rows = session.execute(
        select(*STATE_COLUMNS).where(condition).order_by(_MESSAGES.c.id).with_for_update(key_share=True)
    ).all()
    return {row.id: state_of(row) for row in rows}


def _cas_values(change: Change) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(change.after, name) for name in _MUTABLE}
    return values | {"id": change.before.id, "old_version": change.before.version}


def event_values(message_id: UUID, seq: int, event: Event) -> dict[str, Any]:
    """Return the row of an event."""
    return {
        "message_id": message_id,
        "seq": seq,
        "receipt_id": event.receipt_id,
        "source": event.source,
        "status": event.raw_status[:32],
        "applied": event.applied,
        "reason": event.reason,
        "attempt": event.attempt,
        "error_code": event.error_code,
        "twilio_sid": event.twilio_sid,
        "payload": event.payload,
        "received_at": event.received_at,
        "carrier_at": event.carrier_at,
        "repeats": event.repeats,
    }
