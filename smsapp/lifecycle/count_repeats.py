"""Count callbacks that say nothing new: Twilio may repeat one, and whoever has seen one can repeat it for ever.

The second copy of a callback is an entry of the history like any other, with the reason `duplicate`. Later ones only
raise its number of repeats, so a history stays short however often a callback comes.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from smsapp.messages import queries as messages
from smsapp.messages.fold import Event, Reason
from smsapp.twilio.callback import IDEMPOTENCY_TOKEN

_Key = tuple[Any, ...]


class RepeatCounter:
    """Counts repeats within one transaction; `suspects` are messages of which a callback may be a repeat."""

    def __init__(self, session: Session, suspects: Collection[UUID]) -> None:
        self._session = session
        self._receipts: set[UUID] = set()
        self._copies: dict[_Key, tuple[UUID, int]] = {}
        self._counts: Counter[tuple[UUID, int]] = Counter()
        for row in messages.callbacks_of(session, suspects) if suspects else ():
            self._receipts.add(row.receipt_id)
            if row.reason == Reason.DUPLICATE:
                head = (row.message_id, row.status, row.attempt, row.twilio_sid, row.error_code)
                self._copies.setdefault((*head, _said(row.payload)), (row.message_id, row.seq))

    def count(self, message_id: UUID, event: Event, entries: list[Event]) -> bool:
        """Count a callback on the entry of its second copy, stored or among `entries`; return False if there is none.

        One that is stored itself, and comes again because a worker died, is not counted.
        """
        if event.receipt_id in self._receipts or any(each.receipt_id == event.receipt_id for each in entries):
            return False
        key = _key_of(message_id, event)
        if key in self._copies:
            self._counts[self._copies[key]] += 1
            return True
        for place, each in enumerate(entries):
            if each.reason == Reason.DUPLICATE and _key_of(message_id, each) == key:
                entries[place] = each._replace(repeats=each.repeats + 1)
                return True
        return False

    def write(self) -> None:
        """Raise the numbers of stored entries; the messages' rows must be locked."""
        if self._counts:
            messages.add_repeats(self._session, self._counts)


def _key_of(message_id: UUID, event: Event) -> _Key:
    head = (message_id, event.raw_status[:32], event.attempt, event.twilio_sid, event.error_code)
    return (*head, _said(event.payload))


def _said(payload: Mapping[str, object] | None) -> frozenset[tuple[str, str]]:
    """Return the parameters that two copies have in common: all but Twilio's token of each request."""
    return frozenset(
        (name, str(value)) for name, value in (payload or {}).items() if name != IDEMPOTENCY_TOKEN
    )
