"""The fan-out's cursor in the outbox, and the facts of each event that decide which consumers get it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from smsapp.db.models import Counter
from smsapp.events.audience import OWNER, hears
from smsapp.events.models import OutboxEvent, OutboxHead
from smsapp.keys.models import ApiKey
from smsapp.messages.models import Message
from smsapp.webhooks.models import Subscription

CURSOR = "events_fanned_out"


@dataclass(frozen=True, slots=True)
class RoutingInfo:
    """The facts that decide who is sent an event; all after `application_id`, its owner's, are its message's."""

    seq: int
    type: str
    message_id: UUID | None
    application_id: UUID | None
    tags: Sequence[str] | None
    callback_url: str | None
    api_key_id: UUID | None


def is_behind(session: Session) -> bool:
    """Return whether there are events that were not fanned out yet."""
    given_out = select(Counter.value).where(Counter.name == CURSOR).scalar_subquery()
    return session.execute(select(OutboxHead.seq).where(OutboxHead.seq > given_out)).first() is not None


def lock_cursor(session: Session) -> int | None:
    """Return the number of the last event that was fanned out, locked, or None when another worker holds it."""
    query = select(Counter.value).where(Counter.name == CURSOR).with_for_update(skip_locked=True)
    return session.scalar(query)


def cursor(session: Session) -> int:
    """Return the number of the last event that was fanned out."""
    return session.scalar(select(Counter.value).where(Counter.name == CURSOR)) or 0


def move_cursor(session: Session, seq: int) -> None:
    """Record that events up to this one were fanned out."""
    session.execute(update(Counter).where(Counter.name == CURSOR).values(value=seq))


def routing_info(session: Session, first: int, last: int, *, only_callbacks: bool) -> list[RoutingInfo]:
    """Return the events with these numbers, or only those whose message has a `callback_url`."""
    query = (
        select(
            OutboxEvent.seq,
            OutboxEvent.type,
            OutboxEvent.message_id,
            ApiKey.application_id,
            Message.tags,
            Message.callback_url,
            Message.api_key_id,
        )
        .outerjoin(Message, Message.id == OutboxEvent.message_id)
        .outerjoin(ApiKey, ApiKey.id == OWNER)
        .where(OutboxEvent.seq.between(first, last))
        .order_by(OutboxEvent.seq)
    )
    if only_callbacks:
        query = query.where(Message.callback_url.is_not(None))
    return [RoutingInfo(*row) for row in session.execute(query)]


def concerns(subscription: Subscription, event: RoutingInfo) -> bool:
    """Return whether the event is for the subscription's application, and the subscription asks for it."""
    if not hears(subscription.application_id, event.type, event.application_id):
        return False
    if subscription.event_types is not None and event.type not in subscription.event_types:
        return False
    return subscription.tags is None or not set(subscription.tags).isdisjoint(event.tags or ())
