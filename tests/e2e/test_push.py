"""Events pushed by the running service to real consumers."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from smsapp.domain.ids import new_id, parse_id, public_id
from smsapp.domain.outgoing import EventType, Outgoing
from smsapp.store import outbox
from smsapp.store.push_tables import Delivery, Subscription
from smsapp.store.tables import OutboxEvent
from tests.consumer import Consumer, accept, hang
from tests.stack import Stack

MISSED_MESSAGES = 1_700
LIFE = (EventType.MESSAGE_ACCEPTED, EventType.MESSAGE_SENT, EventType.MESSAGE_DELIVERED)
AWAY = timedelta(days=3)


@contextmanager
def subscription(stack: Stack, consumer: Consumer, **fields: Any) -> Iterator[dict[str, Any]]:
    """Subscribe a consumer as long as the test runs."""
    answer = stack.request("POST", "/sms/subscriptions", {"url": consumer.url, **fields})
    assert answer.status == 201, answer.data
    made = answer.json()
    try:
        yield made
    finally:
        stack.request("DELETE", f"/sms/subscriptions/{made['id']}")


def test_a_message_is_told_to_whoever_asked_and_to_its_own_address(stack: Stack) -> None:
    with Consumer(accept) as consumer, Consumer(accept) as own, subscription(stack, consumer) as made:
        message = stack.post("+14155552671", "told", callback_url=own.url)
        wanted = ["message.accepted", "message.sent", "message.delivered"]

        def told(by: Consumer) -> list[str]:
            return [event["type"] for event in by.events if event["data"].get("id") == message["id"]]

        stack.wait_until(lambda: len(told(consumer)) >= 3 and len(told(own)) >= 3)

        assert told(consumer) == told(own) == wanted
        for seen in consumer.seen:
            seen.verify(made["secret"])
        digest = hashlib.sha256(stack.api_key.encode()).digest()
        for seen in own.seen:
            seen.verify("whsec_" + base64.b64encode(digest).decode())
        listed = stack.request("GET", f"/sms/messages/{message['id']}/deliveries").json()["data"]
        assert len(listed) == 6


def test_a_hanging_consumer_keeps_no_event_from_a_healthy_one(stack: Stack) -> None:
    with (
        Consumer(hang) as hanging,
        Consumer(accept) as healthy,
        subscription(stack, hanging),
        subscription(stack, healthy),
    ):
        sent = stack.send(30)
        stack.wait_until(lambda: set(sent) <= ended(healthy))

        assert hanging.seen
        assert len({seen.id for seen in healthy.seen}) == len(healthy.seen)


def test_a_consumer_that_was_away_for_three_days_recovers_every_event_once(stack: Stack) -> None:
    with Consumer(accept) as consumer, subscription(stack, consumer) as made:
        consumer.stop()
        wanted = tell_of_many(stack)
        own_id = parse_id(made["id"], "sub")
        assert own_id
        let_time_pass(stack, own_id, sum(map(len, wanted.values())))
        consumer.start()
        since = (datetime.now(UTC) - AWAY - timedelta(hours=1)).isoformat()
        answer = stack.request("POST", f"/sms/subscriptions/{made['id']}/recover", {"since": since})
        assert answer.status == 202, answer.data

        expected = {event_id for ids in wanted.values() for event_id in ids}
        # Other tests' events of these days come, too.
        stack.wait_until(lambda: expected <= {seen.id for seen in consumer.seen}, 120)

        heard = [seen.id for seen in consumer.seen if seen.id in expected]
        assert len(heard) == len(expected) >= 5_000
        assert set(heard) == expected
        place = {event_id: number for number, event_id in enumerate(heard)}
        assert all(sorted(ids, key=place.__getitem__) == ids for ids in wanted.values())


def ended(consumer: Consumer) -> set[str]:
    """Return the messages whose end the consumer has heard of; a late `sent` is never told."""
    return {event["data"]["id"] for event in consumer.events if event["type"] == EventType.MESSAGE_DELIVERED}


def tell_of_many(stack: Stack) -> dict[str, list[str]]:
    """Write the events of many messages to the outbox, and return their ids by message, in order."""
    told: dict[str, list[str]] = {}
    messages = [new_id() for _ in range(MISSED_MESSAGES)]
    for kind in LIFE:
        events = [
            Outgoing(kind, new_id(), datetime.now(UTC), message_id, data={"step": str(kind)})
            for message_id in messages
        ]
        with stack.sessions.begin() as session:
            outbox.add_all(session, events)
        for event in events:
            assert event.message_id
            told.setdefault(public_id(event.message_id), []).append(f"evt_{event.id.hex}")
    return told


def let_time_pass(stack: Stack, subscription_id: UUID, owed: int) -> None:
    """Wait until everything is owed, then make it three days old, most of it given up."""

    def all_owed() -> bool:
        with stack.database() as session:
            mine = select(func.count()).where(Delivery.subscription_id == subscription_id)
            return (session.scalar(mine) or 0) >= owed

    stack.wait_until(all_owed, 60)
    then = datetime.now(UTC) - AWAY
    with stack.sessions.begin() as session:
        newest = select(func.max(OutboxEvent.seq) - owed).scalar_subquery()
        session.execute(update(OutboxEvent).where(OutboxEvent.seq > newest).values(written_at=then))
        mine = update(Delivery).where(Delivery.subscription_id == subscription_id)
        session.execute(mine.where(Delivery.seq % 10 != 0).values(status="failed", due_at=None, step=8))
        failing = update(Subscription).where(Subscription.id == subscription_id)
        session.execute(failing.values(failing_since=then))
