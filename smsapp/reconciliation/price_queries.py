"""Find the messages that have ended and have no price, in the order of their ends, and write prices.

Their order is that of the outbox, which is there already: an index of messages without a price would cost each message
two more writes, and would keep for ever those that never get one.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, Table, bindparam, func, select, update
from sqlalchemy.orm import Session

from smsapp.db import bulk_writes as bulk
from smsapp.events import queries as feed
from smsapp.events.models import OutboxEvent
from smsapp.events.types import EventType
from smsapp.messages.fold import MessageState
from smsapp.messages.models import Message
from smsapp.messages.queries import STATE_COLUMNS, state_of
from smsapp.messages.status import Status
from smsapp.twilio.gateway import TwilioMessage

_MESSAGES: Table = Message.__table__  # type: ignore[assignment]

_ENDS = (
    EventType.MESSAGE_DELIVERED,
    EventType.MESSAGE_UNDELIVERED,
    EventType.MESSAGE_UNCONFIRMED,
    EventType.MESSAGE_REVISED,
)
_BILLED = (
    Status.SENT,
    Status.PARTIALLY_DELIVERED,
    Status.UNDELIVERED,
    Status.DELIVERED,
    Status.READ,
)
"""What Twilio charges for. What failed or was canceled keeps a price of null and is never asked about:
https://support.twilio.com/hc/en-us/articles/223181728 (the fee for processing failed messages is another item)."""


class Ended(NamedTuple):
    """The end of a message in the outbox."""

    seq: int
    message_id: UUID
    at: datetime


def ended_after(session: Session, seq: int, *, limit: int) -> list[Ended]:
    """Return the next ends of messages that may have a price, in the order of the outbox."""
    query = (
        select(OutboxEvent.seq, OutboxEvent.message_id, OutboxEvent.occurred_at)
        .where(OutboxEvent.seq > seq, OutboxEvent.type.in_(_ENDS), OutboxEvent.message_id.is_not(None))
        .order_by(OutboxEvent.seq)
        .limit(limit)
    )
    return [Ended(number, message_id, at) for number, message_id, at in session.execute(query) if message_id]


def last_before(session: Session, at: datetime) -> int:
    """Return about the number of the last event before a time, by halving: there is no index of times."""
    low, high = (feed.oldest(session) or 1) - 1, feed.latest(session)
    while low < high:
        middle = (low + high) // 2
        occurred_at = session.scalar(_first_after(middle))
        if occurred_at is None or occurred_at >= at:
            high = middle
        else:
            low = middle + 1
    return low


def _first_after(seq: int) -> Select[Any]:
    return select(OutboxEvent.occurred_at).where(OutboxEvent.seq > seq).order_by(OutboxEvent.seq).limit(1)


def without_price(session: Session, ids: Sequence[UUID]) -> list[MessageState]:
    """Return those of the messages that Twilio bills and that have no price yet."""
    query = select(*STATE_COLUMNS).where(
        bulk.among(session, _MESSAGES.c.id, ids),
        _MESSAGES.c.price.is_(None),
        _MESSAGES.c.twilio_sid.is_not(None),
        _MESSAGES.c.outcome.is_not(None),
        _MESSAGES.c.status.in_(_BILLED),
    )
    return [state_of(row) for row in session.execute(query)]


def fill_in(session: Session, found: Sequence[tuple[MessageState, TwilioMessage]], *, now: datetime) -> int:
    """Write prices, and what else is not known of these messages; return how many messages got a price.

    A price is no evidence of a status, so it needs no entry in the history. The version stays, too: whoever changes a
    message locks its row before reading it, and so either reads this or is waited for. Rows are locked in the order of
    their ids, as everywhere.
    """
    statement = (
        update(_MESSAGES)
        .where(
            _MESSAGES.c.id == bindparam("b_id"),
            _MESSAGES.c.twilio_sid == bindparam("b_sid"),  # still the attempt that was looked up
            _MESSAGES.c.price.is_(None),
        )
        .values(
            price=bindparam("b_price"),
            price_unit=bindparam("b_unit"),
            num_segments=func.coalesce(_MESSAGES.c.num_segments, bindparam("b_segments")),
            actual_sender=func.coalesce(_MESSAGES.c.actual_sender, bindparam("b_sender")),
            updated_at=bindparam("b_now"),
        )
    )
    rows = [
        {
            "b_id": message.id,
            "b_sid": twilio.sid,
            "b_price": twilio.price,
            "b_unit": twilio.price_unit,
            "b_segments": twilio.num_segments,
            "b_sender": twilio.sender,
            "b_now": now,
        }
        for message, twilio in sorted(found, key=lambda item: item[0].id)
    ]
    return session.connection().execute(statement, rows).rowcount if rows else 0
