"""Messages and their histories: every query on them, each on a Session, none of them committing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Table,
    and_,
    any_,
    func,
    literal,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.orm import Session

from smsapp.domain.ids import new_id
from smsapp.domain.outbound import Outbound
from smsapp.domain.status import Outcome, Status
from smsapp.domain.tracking import Event, Source, Tracked
from smsapp.store import breakers, bulk
from smsapp.store.tables import FormerSid, Message, MessageEvent

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]
_EVENTS: Table = MessageEvent.__table__  # type: ignore[assignment]
_FORMER: Table = FormerSid.__table__  # type: ignore[assignment]

_TRACKED = tuple(field.name for field in fields(Tracked))
_TRACKED_COLUMNS = tuple(_MESSAGES.c[name] for name in _TRACKED)
_MUTABLE = tuple(name for name in _TRACKED if name not in {"id", "created_at", "deliver_by", "request_id"})


_SENDER_KEY: ColumnElement[str] = func.coalesce(_MESSAGES.c.sender, _MESSAGES.c.messaging_service_sid)


class StaleMessageError(Exception):
    """A message changed between reading and writing it; the transaction must be tried again."""


@dataclass(frozen=True, slots=True)
class Change:
    """What evidence or a step did to one message: its state before and after, and the events in order."""

    before: Tracked
    after: Tracked
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class Twin:
    """A message without a SID, as far as it matters for finding it in Twilio's records."""

    id: UUID
    status: Status
    to: str
    sender: str | None
    body: str
    on_unconfirmed: str
    claimed_at: datetime


def tracked(row: Any) -> Tracked:
    """Return a row of the tracked columns as a value."""
    message_id, status, attempt, version, created_at, deliver_by, resends_left, outcome, *rest = row
    return Tracked(
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


def insert(session: Session, new: Sequence[tuple[dict[str, Any], Event]]) -> None:
    """Add new messages, each with the first event of its history."""
    bulk.insert(session, _MESSAGES, [values for values, _ in new])
    bulk.insert(session, _EVENTS, [_event_values(values["id"], 1, event) for values, event in new])


def claim_due(
    session: Session,
    *,
    now: datetime,
    lease: timedelta,
    limit: int,
    probe: str | None = None,
) -> list[Outbound]:
    """Take up to `limit` pending messages that are due for one attempt each, oldest first.

    One conditional UPDATE: of two workers that want the same row, one gets it. The claim ends with the lease; what is
    then still submitting was left by a worker that died. Messages whose sender, or account, is closed at present stay;
    `probe` takes them from that sender alone.
    """
    due = (
        select(_MESSAGES.c.id)
        .where(_is_due(now), _SENDER_KEY == probe if probe else _is_open(now))
        .order_by(_MESSAGES.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        # Not a plain subquery: PostgreSQL may run that once per row, and each run takes `limit` rows more.
        .cte("due")
    )
    rows = session.execute(
        update(_MESSAGES)
        .where(_MESSAGES.c.id.in_(select(due.c.id)), _MESSAGES.c.status == Status.PENDING)
        .values(status=Status.SUBMITTING, version=_MESSAGES.c.version + 1, due_at=now + lease, updated_at=now)
        .returning(
            _MESSAGES.c.id,
            _MESSAGES.c.attempt,
            _MESSAGES.c.version,
            _MESSAGES.c.to,
            _MESSAGES.c.sender,
            _MESSAGES.c.messaging_service_sid,
            _MESSAGES.c.body,
            _MESSAGES.c.media_urls,
            _MESSAGES.c.deliver_by,
            _MESSAGES.c.created_at,
            _MESSAGES.c.request_id,
        )
    ).all()
    if rows:
        bulk.insert(session, _EVENTS, [_claim_event(row, now) for row in rows])
    return [
        Outbound(
            id=row.id,
            attempt=row.attempt,
            to=row.to,
            sender=row.sender,
            messaging_service_sid=row.messaging_service_sid,
            body=row.body,
            created_at=row.created_at,
            media_urls=row.media_urls,
            deliver_by=row.deliver_by,
            request_id=row.request_id,
        )
        for row in rows
    ]


def lock(session: Session, ids: Iterable[UUID]) -> dict[UUID, Tracked]:
    """Return the messages, locked in the order of their ids: two batches can never wait for each other."""
    return _locked(session, _MESSAGES.c.id.in_(list(ids)))


def lock_for_reports(
    session: Session, ids: Sequence[UUID], sids: Sequence[str]
) -> tuple[dict[UUID, Tracked], dict[str, tuple[UUID, int | None]]]:
    """Return the messages that reports with these ids and SIDs are about, locked, and whom each SID belongs to.

    The second mapping gives, for a SID that is known, the message and the attempt; None stands for the current one.
    """
    messages = _locked(
        session,
        or_(_among(session, _MESSAGES.c.id, ids), _among(session, _MESSAGES.c.twilio_sid, sids)),
    )
    owners: dict[str, tuple[UUID, int | None]] = {
        message.twilio_sid: (message.id, None) for message in messages.values() if message.twilio_sid
    }
    if unresolved := [sid for sid in sids if sid not in owners]:
        query = select(_FORMER).where(_among(session, _FORMER.c.twilio_sid, unresolved))
        former = {row.twilio_sid: (row.message_id, row.attempt) for row in session.execute(query)}
        owners |= former
        missing = {message_id for message_id, _ in former.values()} - messages.keys()
        messages |= _locked(session, _MESSAGES.c.id.in_(missing)) if missing else {}
    return messages, owners


def _among(session: Session, column: Column[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that a column has one of many values: on PostgreSQL one array, so one prepared statement."""
    if bulk.is_postgres(session):
        return column == any_(literal(list(values), ARRAY(column.type)))
    return column.in_(values)


def _locked(session: Session, condition: ColumnElement[bool]) -> dict[UUID, Tracked]:
    rows = session.execute(
        select(*_TRACKED_COLUMNS).where(condition).order_by(_MESSAGES.c.id).with_for_update(key_share=True)
    ).all()
    return {row.id: tracked(row) for row in rows}


def save(session: Session, changes: Sequence[Change]) -> None:
    """Write changed messages and append their events; an event whose receipt is there already is not written again.

    Raises:
        StaleMessageError: a message is no longer at the version it was read at; nothing may be committed.
    """
    if not changes:
        return
    rows = [_cas_values(change) for change in changes]
    written = bulk.compare_and_set(session, _MESSAGES, _MUTABLE, rows)
    if written != len(rows):
        raise StaleMessageError(f"{len(rows) - written} of {len(rows)} messages changed meanwhile")
    events = [
        _event_values(change.before.id, change.before.version + number, event)
        for change in changes
        for number, event in enumerate(change.events, start=1)
    ]
    bulk.insert_new(session, _EVENTS, ("receipt_id",), events)
    superseded = [
        {"twilio_sid": c.before.twilio_sid, "message_id": c.before.id, "attempt": c.before.attempt}
        for c in changes
        if c.before.twilio_sid and c.after.attempt != c.before.attempt
    ]
    if superseded:
        session.execute(_FORMER.insert(), superseded)


def has_due(session: Session, *, now: datetime) -> bool:
    """Return whether any pending message is due that may be submitted now."""
    query = select(_MESSAGES.c.id).where(_is_due(now), _is_open(now)).limit(1)
    return session.execute(query).first() is not None


def has_pending(session: Session, *, sender: str) -> bool:
    """Return whether any message of this sender waits, due or not."""
    query = select(_MESSAGES.c.id).where(_MESSAGES.c.status == Status.PENDING, _SENDER_KEY == sender).limit(1)
    return session.execute(query).first() is not None


def has_more_due_than(session: Session, limit: int, *, now: datetime) -> bool:
    """Return whether more than so many pending messages are due; looks at no more rows than that."""
    query = select(_MESSAGES.c.id).where(_is_due(now)).offset(limit).limit(1)
    return session.execute(query).first() is not None


def count_due(session: Session, *, now: datetime) -> int:
    """Return how many pending messages are due."""
    return session.scalar(select(func.count()).select_from(_MESSAGES).where(_is_due(now))) or 0


def oldest_due(session: Session, *, now: datetime) -> datetime | None:
    """Return since when the longest-waiting pending message has been due, or None."""
    oldest: datetime | None = session.scalar(select(func.min(_MESSAGES.c.due_at)).where(_is_due(now)))
    return oldest


def _is_due(now: datetime) -> ColumnElement[bool]:
    return and_(_MESSAGES.c.status == Status.PENDING, _MESSAGES.c.due_at <= now)


def _is_open(now: datetime) -> ColumnElement[bool]:
    """Return the condition that neither the account nor the message's sender is closed to sending."""
    closed = breakers.closed_scopes(now=now)
    return and_(literal(breakers.ACCOUNT).not_in(closed), _SENDER_KEY.not_in(closed))


def expired_claims(session: Session, *, now: datetime, limit: int) -> list[UUID]:
    """Return messages whose lease ended while they were being submitted, oldest first."""
    query = (
        select(_MESSAGES.c.id)
        .where(_MESSAGES.c.status == Status.SUBMITTING, _MESSAGES.c.due_at <= now)
        .order_by(_MESSAGES.c.due_at)
        .limit(limit)
    )
    return list(session.scalars(query))


def waiting_due(session: Session, *, now: datetime, limit: int) -> list[Tracked]:
    """Return messages that Twilio should be asked about now, the longest due first."""
    query = (
        select(*_TRACKED_COLUMNS)
        .where(
            _MESSAGES.c.due_at <= now,
            _MESSAGES.c.status != Status.PENDING,
            _MESSAGES.c.status != Status.SUBMITTING,
        )
        .order_by(_MESSAGES.c.due_at)
        .limit(limit)
    )
    return [tracked(row) for row in session.execute(query)]


def twins(session: Session, message_id: UUID) -> list[Twin]:
    """Return the message and those like it, same text to the same number, whose SID is not known."""
    me = _MESSAGES.alias("me")
    claimed_at = (
        select(func.max(_EVENTS.c.received_at))
        .where(_EVENTS.c.message_id == _MESSAGES.c.id, _EVENTS.c.status == Status.SUBMITTING)
        .scalar_subquery()
    )
    query = (
        select(
            _MESSAGES.c.id,
            _MESSAGES.c.status,
            _MESSAGES.c.to,
            _MESSAGES.c.sender,
            _MESSAGES.c.body,
            _MESSAGES.c.on_unconfirmed,
            func.coalesce(claimed_at, _MESSAGES.c.created_at, type_=_MESSAGES.c.created_at.type).label(
                "claimed_at"
            ),
        )
        .join(me, and_(me.c.id == message_id, _MESSAGES.c.to == me.c.to, _MESSAGES.c.body == me.c.body))
        .where(
            _MESSAGES.c.status.in_([Status.SUBMITTING, Status.UNCONFIRMED]), _MESSAGES.c.twilio_sid.is_(None)
        )
    )
    return [
        Twin(row.id, Status(row.status), row.to, row.sender, row.body, row.on_unconfirmed, row.claimed_at)
        for row in session.execute(query)
    ]


def bound_sids(session: Session, sids: Sequence[str]) -> set[str]:
    """Return those of the SIDs that belong to some message of ours."""
    query = union_all(
        select(_MESSAGES.c.twilio_sid).where(_MESSAGES.c.twilio_sid.in_(sids)),
        select(_FORMER.c.twilio_sid).where(_FORMER.c.twilio_sid.in_(sids)),
    )
    return {row[0] for row in session.execute(query)}


def get(session: Session, message_id: UUID) -> Message | None:
    """Return the message, or None."""
    return session.get(Message, message_id, populate_existing=True)


def find(
    session: Session,
    *,
    limit: int,
    before: UUID | None = None,
    status: str | None = None,
    to: str | None = None,
    client_reference: str | None = None,
    created_from: datetime | None = None,
    created_until: datetime | None = None,
) -> Sequence[Message]:
    """Return messages that match, newest first; `before` is the id after which the last page ended."""
    query = select(Message).order_by(Message.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Message.id < before)
    if created_from is not None:
        query = query.where(Message.created_at >= created_from)
    if created_until is not None:
        query = query.where(Message.created_at < created_until)
    exact = {Message.status: status, Message.to: to, Message.client_reference: client_reference}
    query = query.where(*(column == value for column, value in exact.items() if value is not None))
    return session.scalars(query).all()


def history(
    session: Session, message_id: UUID, *, after: int = 0, limit: int = 1000
) -> Sequence[MessageEvent]:
    """Return the message's events in the order in which they were recorded, after the given number."""
    query = (
        select(MessageEvent)
        .where(MessageEvent.message_id == message_id, MessageEvent.seq > after)
        .order_by(MessageEvent.seq)
        .limit(limit)
    )
    return session.scalars(query).all()


def page_by_id(session: Session, *, after: UUID | None, limit: int) -> list[Tracked]:
    """Return messages in the order of their ids, after the given one."""
    query = select(*_TRACKED_COLUMNS).order_by(_MESSAGES.c.id).limit(limit)
    if after is not None:
        query = query.where(_MESSAGES.c.id > after)
    return [tracked(row) for row in session.execute(query)]


def histories(session: Session, ids: Sequence[UUID]) -> dict[UUID, list[MessageEvent]]:
    """Return the events of several messages, each history in the order of recording."""
    query = select(MessageEvent).where(MessageEvent.message_id.in_(ids)).order_by(MessageEvent.seq)
    grouped: dict[UUID, list[MessageEvent]] = {}
    for event in session.scalars(query):
        grouped.setdefault(event.message_id, []).append(event)
    return grouped


def _cas_values(change: Change) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(change.after, name) for name in _MUTABLE}
    return values | {"id": change.before.id, "old_version": change.before.version}


def _claim_event(row: Any, now: datetime) -> dict[str, Any]:
    event = Event(
        source=Source.SYSTEM,
        word=Status.SUBMITTING,
        applied=True,
        reason="claimed",
        attempt=row.attempt,
        error_code=None,
        twilio_sid=None,
        received_at=now,
        receipt_id=new_id(),
    )
    return _event_values(row.id, row.version, event)


def _event_values(message_id: UUID, seq: int, event: Event) -> dict[str, Any]:
    return {
        "message_id": message_id,
        "seq": seq,
        "receipt_id": event.receipt_id,
        "source": event.source,
        "status": event.word[:32],
        "applied": event.applied,
        "reason": event.reason,
        "attempt": event.attempt,
        "error_code": event.error_code,
        "twilio_sid": event.twilio_sid,
        "payload": event.payload,
        "received_at": event.received_at,
    }
