"""Record what consumers answered: each attempt, its delivery's new state, and the consumer's health."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from smsapp.events.types import EventType
from smsapp.ids import new_id, prefixed_id
from smsapp.ports import ConsumerReply, PendingEvent
from smsapp.runtime import Runtime, Transaction
from smsapp.times import rfc3339
from smsapp.webhooks import queries as deliveries
from smsapp.webhooks import subscription_queries as subscriptions
from smsapp.webhooks.rules import (
    EVENT_FORGOTTEN,
    Consumer,
    ConsumerHealth,
    DueDelivery,
    SubscriptionKind,
    after_reply,
    next_try,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """One request to a consumer and its result."""

    consumer: Consumer
    delivery: DueDelivery
    reply: ConsumerReply
    began_at: datetime


def record_deliveries(
    rt: Runtime, results: Sequence[AttemptResult], present: Mapping[UUID, ConsumerHealth]
) -> dict[UUID, ConsumerHealth]:
    """Store the results in one transaction; return each consumer's health after them, `present` being that before."""
    now = rt.clock()
    health = dict(present)
    with rt.transaction() as tx:
        made = [result for result in results if result.reply.error != EVENT_FORGOTTEN]
        deliveries.write_attempts(tx.session, [_attempt(result) for result in made])
        _finish(tx.session, [result for result in results if result.reply.delivered], now)
        for result in results:
            if not result.reply.delivered:
                _postpone(rt, tx.session, result, now)
        of_consumer = sorted(made, key=lambda result: result.consumer.id)
        for consumer_id, own in groupby(of_consumer, key=lambda result: result.consumer.id):
            health[consumer_id] = _judge(rt, tx, list(own), present[consumer_id], now)
    return health


def _attempt(result: AttemptResult) -> dict[str, object]:
    return {
        "delivery_id": result.delivery.id,
        "number": result.delivery.attempts + 1,
        "began_at": result.began_at,
        "duration_ms": round(result.reply.duration / timedelta(milliseconds=1)),
        "status_code": result.reply.status,
        "error": result.reply.error,
        "response": result.reply.response,
    }


def _finish(session: Session, delivered: Sequence[AttemptResult], now: datetime) -> None:
    by_code: dict[int | None, list[UUID]] = {}
    for result in delivered:
        by_code.setdefault(result.reply.status, []).append(result.delivery.id)
    for code, ids in by_code.items():
        deliveries.finish(session, sorted(ids), status_code=code, now=now)


def _postpone(rt: Runtime, session: Session, result: AttemptResult, now: datetime) -> None:
    reply = result.reply
    final = reply.gone or reply.error == EVENT_FORGOTTEN
    due_at = (
        None if final else next_try(result.delivery.step, now=now, retry_after=reply.retry_after, rng=rt.rng)
    )
    deliveries.postpone(
        session, result.delivery, due_at=due_at, status_code=reply.status, error=reply.error, now=now
    )


def _judge(
    rt: Runtime, tx: Transaction, results: Sequence[AttemptResult], before: ConsumerHealth, now: datetime
) -> ConsumerHealth:
    """Store and return the consumer's health; disable one that is gone or has failed for days."""
    consumer = results[0].consumer
    health = before
    for result in results:
        health = after_reply(health, result.reply, now=now, rng=rt.rng)
    if health != before:
        subscriptions.change(tx.session, consumer.id, _columns(health), now=now)
    if health.is_probed and not before.is_probed:
        log.warning("consumer_paused", subscription_id=consumer.id.hex, error=results[-1].reply.error)
    if before.is_probed and not health.failures:
        log.info("consumer_resumed", subscription_id=consumer.id.hex)
    if consumer.kind is SubscriptionKind.SUBSCRIPTION:
        if any(result.reply.gone for result in results):
            disable(tx, consumer.id, consumer.url, "gone", now=now)
        elif health.is_given_up(now):
            disable(tx, consumer.id, consumer.url, "failing", now=now)
    return health


def disable(tx: Transaction, subscription_id: UUID, url: str, reason: str, *, now: datetime) -> None:
    """Disable this consumer, emit an event for the other consumers of its application, and log it."""
    values = {"enabled": False, "disabled_at": now, "disabled_reason": reason}
    subscriptions.change(tx.session, subscription_id, values, now=now)
    about = {"subscription_id": prefixed_id("sub", subscription_id), "url": url, "reason": reason}
    told = about | {"disabled_at": rfc3339(now)}
    owner = subscriptions.key_of(tx.session, subscription_id)
    tx.emit(PendingEvent(EventType.ENDPOINT_DISABLED, new_id(), now, api_key_id=owner, data=told))
    log.error("endpoint_disabled", subscription_id=subscription_id.hex, reason=reason)


def _columns(health: ConsumerHealth) -> dict[str, object]:
    return {
        "failures": health.failures,
        "failing_since": health.failing_since,
        "paused_until": health.paused_until,
    }
