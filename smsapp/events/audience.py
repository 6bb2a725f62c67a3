"""Whom an event is for: the application of the key behind it, or all of them."""

from uuid import UUID

from sqlalchemy import ColumnElement, func, or_

from smsapp.events.models import OutboxEvent
from smsapp.events.types import EventType
from smsapp.keys.models import DEFAULT_APPLICATION
from smsapp.keys.ownership import belongs_to
from smsapp.messages.models import Message

SHARED = frozenset({EventType.MESSAGE_RECEIVED, EventType.RECIPIENT_OPTED_OUT, EventType.RECIPIENT_OPTED_IN})
"""Events for every application: they are about senders, which all share, and not about what one of them did."""

OWNER: ColumnElement[UUID | None] = func.coalesce(Message.api_key_id, OutboxEvent.api_key_id)
"""The key whose application an event is for, in a query that joins the event's message; NULL without an owner."""


def is_for(application_id: UUID) -> ColumnElement[bool]:
    """Return the condition that an event is for this application, in a query that joins the event's message.

    An event without an owner that is none of the shared is of a version that knew no applications: for `default`.
    """
    heard = [belongs_to(application_id, OWNER), OutboxEvent.type.in_(sorted(SHARED))]
    if application_id == DEFAULT_APPLICATION:
        heard.append(OWNER.is_(None))
    return or_(*heard)


def hears(application_id: UUID, event_type: str, of_application: UUID | None) -> bool:
    """Return whether an event is for this application; `of_application` is the one of its owner.

    The same rule as `is_for`, for events that were read already.
    """
    return event_type in SHARED or application_id == (of_application or DEFAULT_APPLICATION)
