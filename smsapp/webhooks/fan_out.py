"""Fan events out: read the outbox in order, and create a pending delivery for each subscribed consumer."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from smsapp.runtime import Runtime
from smsapp.webhooks import (
    fan_out_queries as fan_out,
)
from smsapp.webhooks import (
    queries as deliveries,
)
from smsapp.webhooks import (
    subscription_queries as subscriptions,
)
from smsapp.webhooks.fan_out_queries import RoutingInfo, concerns
from smsapp.webhooks.models import Subscription
from smsapp.webhooks.rules import SubscriptionKind, origin_of

BATCH = 500
UNHEARD_BATCH = 20_000
"""With no subscriptions, events are skipped in larger batches, except those whose message has a `callback_url`."""


@dataclass(frozen=True, slots=True)
class FannedOut:
    """How many events were read, and the consumers for which there are new deliveries."""

    events: int = 0
    consumers: Set[UUID] = frozenset()


def fan_out_events(rt: Runtime, *, unheard_batch: int = UNHEARD_BATCH) -> FannedOut:
    """Fan out the next events; one worker at a time does, the others return nothing.

    The cursor moves in the same transaction, so each event is fanned out once, whichever process dies.
    """
    with rt.transaction() as tx:
        done = fan_out.lock_cursor(tx.session)
        if done is None:
            return FannedOut()
        wanting = subscriptions.wanting(tx.session)
        last = min(subscriptions.head(tx.session), done + (BATCH if wanting else unheard_batch))
        events = fan_out.routing_info(tx.session, done + 1, last, only_callbacks=not wanting)
        now = rt.clock()
        rows = [
            deliveries.pending_delivery(
                each.id, event.type, now=now, seq=event.seq, message_id=event.message_id
            )
            for event in events
            for each in wanting
            if event.seq > each.first_seq and concerns(each, event)
        ]
        rows += _to_callbacks(tx.session, events, now)
        deliveries.insert(tx.session, rows)
        fan_out.move_cursor(tx.session, last)
    return FannedOut(last - done, {row["subscription_id"] for row in rows})


def pass_over_events(rt: Runtime, keep_going: Callable[[], bool], *, batch: int = UNHEARD_BATCH) -> None:
    """Advance to about the latest event while nobody subscribes; `callback_url`s on the way are still served."""
    while keep_going() and fan_out_events(rt, unheard_batch=batch).events == batch:
        pass


def recover_deliveries(rt: Runtime) -> int:
    """Scan the next past events for consumers that asked to recover; return how many were scanned."""
    looked_at = 0
    with rt.transaction() as tx:
        for each in subscriptions.recovering(tx.session):
            assert each.recover_next is not None
            assert each.recover_last is not None
            last = min(each.recover_next + BATCH - 1, each.recover_last)
            _recover(tx.session, each, each.recover_next, last, rt.clock())
            looked_at += max(0, last - each.recover_next + 1)
            done = last >= each.recover_last
            each.recover_next, each.recover_last = (None, None) if done else (last + 1, each.recover_last)
    return looked_at


def _recover(session: Session, each: Subscription, first: int, last: int, now: datetime) -> None:
    is_callback = each.kind == SubscriptionKind.CALLBACK
    events = fan_out.routing_info(session, first, last, only_callbacks=is_callback)
    if is_callback:
        rows = [
            _to_callback(each.id, event, now)
            for event in events
            if event.api_key_id == each.api_key_id and origin_of(event.callback_url or "") == each.url
        ]
    else:
        rows = [
            deliveries.pending_delivery(
                each.id, event.type, now=now, seq=event.seq, message_id=event.message_id
            )
            for event in events
            if concerns(each, event)
        ]
    deliveries.revive_range(session, each.id, first, last, now=now)
    deliveries.insert_missing(session, rows)


def _to_callbacks(session: Session, events: Sequence[RoutingInfo], now: datetime) -> list[dict[str, Any]]:
    own = [
        (event, (event.api_key_id, origin_of(event.callback_url))) for event in events if event.callback_url
    ]
    wanted = [(key, origin) for _, (key, origin) in own if key]
    consumers = subscriptions.ensure_callbacks(session, wanted, now=now)
    return [_to_callback(consumers[key, origin], event, now) for event, (key, origin) in own if key]


def _to_callback(consumer_id: UUID, event: RoutingInfo, now: datetime) -> dict[str, Any]:
    return deliveries.pending_delivery(
        consumer_id, event.type, now=now, seq=event.seq, message_id=event.message_id, url=event.callback_url
    )
