"""Everything that is stored about one phone, found by its number in every spelling."""

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID

import orjson
from sqlalchemy import Table, Text, cast, delete, or_, select, update
from sqlalchemy.orm import Session

from smsapp.bulk.models import BulkRow
from smsapp.bulk.rows import RowState
from smsapp.callbacks.models import DeadLetter, SpooledCallback
from smsapp.db.models import IdempotencyKey
from smsapp.events.models import OutboxEvent
from smsapp.inbound import queries as inbound
from smsapp.inbound.models import InboundMessage
from smsapp.messages.models import Message
from smsapp.recipients.identity import spellings
from smsapp.recipients.phone import RCS, WHATSAPP, InvalidPhoneNumber, parse_recipient, split_address
from smsapp.suppressions.models import Suppression, SuppressionEvent

_ROWS: Table = BulkRow.__table__  # type: ignore[assignment]
_OUTBOX: Table = OutboxEvent.__table__  # type: ignore[assignment]

_REMOVED = ""


class Phone:
    """One phone: every address under which it may be stored, on every channel, and how a text names it."""

    def __init__(self, number: str) -> None:
        """Take a number as a person may write it.

        Raises:
            InvalidPhoneNumber: no phone can have it.
        """
        _, plain = split_address(parse_recipient(number).e164)
        numbers = spellings(plain)
        self.digits = tuple(spelling[1:] for spelling in numbers)
        self.addresses = tuple(channel + each for channel in ("", WHATSAPP, RCS) for each in numbers)
        self._pattern = re.compile(rf"(?<!\d)(?:{'|'.join(self.digits)})(?!\d)")

    def is_named_in(self, text: str) -> bool:
        """Return whether a text, perhaps a form, has the number."""
        return bool(self._pattern.search(unquote_plus(text)))

    def without(self, value: Any) -> Any:
        """Return a JSON value in which texts that have the number are empty."""
        if isinstance(value, dict):
            return {name: self.without(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.without(each) for each in value]
        return _REMOVED if isinstance(value, str) and self.is_named_in(value) else value

    def is_written(self, cell: str) -> bool:
        """Return whether a cell of an upload, which nobody may have been able to parse, is this phone's number."""
        try:
            return parse_recipient(cell).e164 in self.addresses
        except InvalidPhoneNumber:
            return self.is_named_in(re.sub(r"\D", "", cell))


def messages_to(session: Session, phone: Phone, *, after: UUID, limit: int) -> Sequence[UUID]:
    """Return the ids of messages to this phone in the order of age, starting behind `after`."""
    query = select(Message.id).where(Message.to.in_(phone.addresses), Message.id > after)
    return session.scalars(query.order_by(Message.id).limit(limit)).all()


def inbound_from(session: Session, phone: Phone) -> Sequence[InboundMessage]:
    """Return the texts from this phone, oldest first."""
    query = select(InboundMessage).where(InboundMessage.sender.in_(phone.addresses))
    return session.scalars(query.order_by(InboundMessage.id)).all()


def suppressions_of(session: Session, phone: Phone) -> Sequence[Suppression]:
    """Return what is known of this phone's opt-outs."""
    query = select(Suppression).where(Suppression.recipient.in_(phone.addresses))
    return session.scalars(query.order_by(Suppression.id)).all()


def rows_to(session: Session, phone: Phone) -> list[BulkRow]:
    """Return the rows of jobs to this phone, those included that were faulty; looks at every row with such a number."""
    exact = BulkRow.to.in_(phone.addresses)
    unread = BulkRow.state.in_((RowState.FAULTY.value, RowState.DUPLICATE.value)) & BulkRow.to.is_not(None)
    found = session.scalars(select(BulkRow).where(or_(exact, unread)))
    return [row for row in found if row.to in phone.addresses or phone.is_written(row.to or "")]


def forget_inbound(session: Session, phone: Phone) -> int:
    """Remove the texts from this phone, but not their SIDs, without which a replay would bring them back.

    Returns how many.
    """
    return inbound.remove(session, InboundMessage.sender.in_(phone.addresses))


def forget_row(session: Session, row: BulkRow) -> None:
    """Remove what a row says, but not what became of it."""
    session.execute(
        update(_ROWS)
        .where(_ROWS.c.job_id == row.job_id, _ROWS.c.number == row.number)
        .values(to=None, client_reference=None)
    )


def forget_notes(session: Session, phone: Phone) -> int:
    """Remove notes from this phone's suppressions, which stay: only they keep it from being texted again."""
    ids = [row.id for row in suppressions_of(session, phone)]
    if ids:
        session.execute(update(Suppression).where(Suppression.id.in_(ids)).values(note=None))
        of_theirs = SuppressionEvent.suppression_id.in_(ids)
        session.execute(update(SuppressionEvent).where(of_theirs).values(note=None))
    return len(ids)


def forget_callbacks(session: Session, phone: Phone) -> int:
    """Remove callbacks that name this phone from the spool and the dead letters; return how many."""
    spooled = [
        row.receipt_id
        for row in _mentioning(session, SpooledCallback, SpooledCallback.body, phone)
        if phone.is_named_in(row.body)
    ]
    letters = [
        row.id
        for row in _mentioning(session, DeadLetter, DeadLetter.payload, phone)
        if phone.is_named_in(orjson.dumps(row.payload).decode())
    ]
    session.execute(delete(SpooledCallback).where(SpooledCallback.receipt_id.in_(spooled)))
    session.execute(delete(DeadLetter).where(DeadLetter.id.in_(letters)))
    return len(spooled) + len(letters)


def forget_in_events(session: Session, phone: Phone) -> int:
    """Remove number and note from events that say who opted out; the events stay, so that the feed has no gap."""
    found = list(_mentioning(session, OutboxEvent, OutboxEvent.data, phone))
    for event in found:
        emptied = phone.without(event.data)
        emptied |= {"note": None} if "note" in emptied else {}
        session.execute(update(_OUTBOX).where(_OUTBOX.c.seq == event.seq).values(data=emptied))
    return len(found)


def forget_answers(session: Session, phone: Phone) -> int:
    """Remove stored answers that name this phone; a repetition of their requests is refused."""
    found = list(_mentioning(session, IdempotencyKey, IdempotencyKey.answer, phone))
    for answer in found:
        session.delete(answer)
    return len(found)


def _mentioning(session: Session, table: type[Any], column: Any, phone: Phone) -> Iterator[Any]:
    """Yield rows whose column has the digits of the number, perhaps as a part of longer ones."""
    written = cast(column, Text)
    query = select(table).where(or_(*(written.contains(digits) for digits in phone.digits)))
    yield from session.scalars(query)
