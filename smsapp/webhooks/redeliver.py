"""Send a consumer what it has missed (one event, or everything since a time), or an example event."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from smsapp.audit import queries as audit
from smsapp.audit.rules import Act
from smsapp.events.examples import example_of
from smsapp.events.types import EventType
from smsapp.ids import new_id, prefixed_id
from smsapp.queue.tasks import Task
from smsapp.runtime import Runtime
from smsapp.times import rfc3339
from smsapp.webhooks import (
    fan_out_queries as fan_out,
)
from smsapp.webhooks import (
    queries as deliveries,
)
from smsapp.webhooks import (
    subscription_queries as subscriptions,
)
from smsapp.webhooks.models import Subscription, WebhookDelivery
from smsapp.webhooks.subscribe import SubscriptionNotFoundError


class SubscriptionDisabledError(Exception):
    """The subscription is disabled."""


class DeliveryNotFoundError(Exception):
    """There is no such delivery."""


def resend_delivery(rt: Runtime, application_id: UUID, delivery_id: UUID) -> WebhookDelivery:
    """Make a delivery pending again, from the start of the retry schedule, even if it was acknowledged.

    Raises:
        DeliveryNotFoundError: the application has none of this id.
        SubscriptionDisabledError: its subscription is disabled.
    """
    with rt.transaction() as tx:
        found = deliveries.get(tx.session, application_id, delivery_id)
        if found is None:
            raise DeliveryNotFoundError
        _active(tx.session, application_id, found.subscription_id)
        deliveries.requeue(tx.session, found, now=rt.clock())
        tx.session.refresh(found)
        audit.record(tx.session, Act.DELIVERY_RESENT, prefixed_id("dlv", delivery_id), now=rt.clock())
    rt.tasks.wake(Task.PUSH_EVENTS)
    return found


def recover_events(
    rt: Runtime, application_id: UUID, subscription_id: UUID, *, since: datetime
) -> Subscription:
    """Redeliver every subscribed event since then that the consumer does not have; workers do it in the background.

    Raises:
        SubscriptionNotFoundError: the application has none of this id.
        SubscriptionDisabledError: it is disabled.
    """
    with rt.transaction() as tx:
        found = _active(tx.session, application_id, subscription_id)
        first, last = subscriptions.first_since(tx.session, since), fan_out.cursor(tx.session)
        if found.recover_next is not None:
            first = min(first, found.recover_next)
        values: dict[str, Any] = {"recover_next": first, "recover_last": last, **subscriptions.HEALTHY}
        for name, value in values.items():
            setattr(found, name, value)
        found.updated_at = rt.clock()
        tx.session.flush()
        audit.record(
            tx.session,
            Act.EVENTS_RECOVERED,
            prefixed_id("sub", subscription_id),
            now=rt.clock(),
            details={"since": rfc3339(since)},
        )
    rt.tasks.wake(Task.PUSH_EVENTS)
    return found


def send_example(
    rt: Runtime, application_id: UUID, subscription_id: UUID, event_type: EventType
) -> WebhookDelivery:
    """Queue an example event for a consumer; it is signed and retried like any other, but is in no feed.

    Raises:
        SubscriptionNotFoundError: the application has none of this id.
        SubscriptionDisabledError: it is disabled.
    """
    now = rt.clock()
    document = example_of(event_type, id=new_id(), now=now)
    with rt.transaction() as tx:
        _active(tx.session, application_id, subscription_id)
        row = deliveries.pending_delivery(subscription_id, event_type, now=now, payload=document)
        deliveries.insert(tx.session, [row])
        found = deliveries.get(tx.session, application_id, row["id"])
        assert found is not None
    rt.tasks.wake(Task.PUSH_EVENTS)
    return found


def _active(session: Session, application_id: UUID, subscription_id: UUID) -> Subscription:
    found = subscriptions.get(session, application_id, subscription_id, lock=True)
    if found is None:
        raise SubscriptionNotFoundError
    if not found.enabled:
        raise SubscriptionDisabledError
    return found
