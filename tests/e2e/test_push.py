"""Events pushed by the running service to real consumers."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, update

from smsapp.events.models import OutboxEvent
from smsapp.events.types import EventType
from smsapp.ids import new_id, parse_id, public_id
from smsapp.ports import PendingEvent
from smsapp.webhooks.models import Subscription, WebhookDelivery
from tests.support.certificates import OPENSSL, Authority
from tests.support.consumer import (
    Behaviour,
    Consumer,
    accept,
    babble,
    cut_off,
    drip,
    flood,
    hang,
    refuse,
)
from tests.support.stack import Stack
from tests.support.subscribers import (
    LIFE,
    deliveries,
    delivery,
    ended,
    send_example,
    subscription,
    tried,
)

MISSED_MESSAGES = 1_700
CONSUMERS = 20
AWAY = timedelta(days=3)
RARE = (EventType.MESSAGE_REVISED, EventType.MESSAGE_DEADLINE_MISSED, EventType.FALLBACK_REQUESTED)
"""What hardly any other test causes: it would all be recovered, too."""

MISDEEDS: dict[str, tuple[Behaviour, int | None, str | None]] = {
    "refuses": (refuse(503, b"later"), 503, None),
    "babbles": (babble, None, "unreadable_answer"),
    "is cut off": (cut_off, 200, "unreadable_answer"),
    "floods": (flood, 200, "answer_too_large"),
    "drips": (drip, None, "timeout"),
    "hangs": (hang, None, "timeout"),
}
"""What consumers do, and how that is recorded: status code and error."""


def test_whatever_a_consumer_answers_is_bounded_recorded_and_tried_again(stack: Stack) -> None:
    with ExitStack() as cleanup:
        owed, first = {}, {}
        consumers = {name: cleanup.enter_context(Consumer(behave)) for name, (behave, *_) in MISDEEDS.items()}
        for name, consumer in consumers.items():
            made = cleanup.enter_context(subscription(stack, consumer, tags=[uuid4().hex]))
            owed[name] = send_example(stack, made)
        for name, consumer in consumers.items():
            first[name] = tried(stack, owed[name])
            consumer.behave = accept
        for name in ("hangs", "drips"):
            stack.request("POST", f"/sms/deliveries/{owed[name]}/resend")
        stack.wait_until(
            lambda: all(delivery(stack, each)["status"] == "delivered" for each in owed.values())
        )

        for name, (_, status_code, error) in MISDEEDS.items():
            [attempt] = first[name]["attempt_list"]
            assert (attempt["status_code"], attempt["error"]) == (status_code, error), name
            assert attempt["duration_ms"] < 7_000
            assert (first[name]["status"], first[name]["next_attempt_at"] is None) == ("pending", False)
            last = delivery(stack, owed[name])
            assert [each["status_code"] for each in last["attempt_list"]] == [status_code, 204]
            assert len(consumers[name].seen) == 2
            assert len({(seen.id, seen.body) for seen in consumers[name].seen}) == 1
        assert first["refuses"]["attempt_list"][0]["response"] == "later"


def test_a_hanging_consumer_keeps_no_event_from_a_healthy_one(stack: Stack) -> None:
    tag = uuid4().hex
    with (
        Consumer(hang) as hanging,
        Consumer(accept) as healthy,
        subscription(stack, hanging, tags=[tag]) as made,
        subscription(stack, healthy, tags=[tag]),
    ):
        sent = stack.send(10, tags=[tag])
        stack.wait_until(lambda: set(sent) <= ended(healthy))

        assert hanging.seen
        assert {each["attempts"] for each in deliveries(stack, made["id"])} == {0}, "it still hangs"
        assert len({seen.id for seen in healthy.seen}) == len(healthy.seen)


def test_a_worker_killed_with_a_hundred_requests_under_way_loses_no_event(stack: Stack) -> None:
    tag, killed = uuid4().hex, Event()

    def wait_for_the_kill(handler: Any) -> None:
        killed.wait(30)
        accept(handler)

    with ExitStack() as cleanup:
        consumers = [cleanup.enter_context(Consumer(wait_for_the_kill)) for _ in range(CONSUMERS)]
        made = [cleanup.enter_context(subscription(stack, each, tags=[tag])) for each in consumers]
        sent = stack.send(10, tags=[tag])
        stack.wait_until(lambda: all(row.twilio_sid for row in stack.rows(sent).values()))
        stack.wait_until(lambda: sum(len(each.seen) for each in consumers) >= 100)
        stack.kill("worker-1")
        killed.set()
        stack.start("worker-1")
        stack.wait_until(lambda: all(set(sent) <= ended(each) for each in consumers), 60)

        for consumer, each in zip(consumers, made, strict=True):
            stack.wait_until(lambda each=each: statuses(stack, each) == {"delivered"})
            heard = dict.fromkeys((event["data"]["id"], event["type"]) for event in consumer.events)
            owed = {(one["message_id"], one["event_type"]) for one in deliveries(stack, each["id"])}
            assert heard.keys() == owed
            for message_id in sent:
                in_order = [LIFE.index(kind) for about, kind in heard if about == message_id]
                assert in_order == sorted(in_order)
        assert sum(len(each.seen) for each in consumers) > sum(
            len(deliveries(stack, each["id"])) for each in made
        ), "some were under way when it was killed"


def statuses(stack: Stack, made: dict[str, Any]) -> set[str]:
    return {each["status"] for each in deliveries(stack, made["id"])}


def test_a_certificate_counts_when_its_authority_is_trusted(
    stack: Stack, authority: Authority, tmp_path: Path
) -> None:
    if OPENSSL is None:
        pytest.skip("openssl is not on this machine, so there are no certificates")
    with (
        Consumer(accept, authority.server_context()) as trusted,
        Consumer(accept, Authority(tmp_path).server_context()) as stranger,
        subscription(stack, trusted, tags=[uuid4().hex]) as of_trusted,
        subscription(stack, stranger, tags=[uuid4().hex]) as of_stranger,
    ):
        owed = [send_example(stack, made) for made in (of_trusted, of_stranger)]
        told, refused = (tried(stack, each) for each in owed)

        assert (told["status"], refused["status"], refused["error"]) == ("delivered", "pending", "tls_failed")
        assert (len(trusted.seen), len(stranger.seen)) == (1, 0)
        trusted.seen[0].verify(of_trusted["secret"])


def test_a_consumer_that_was_away_for_three_days_recovers_every_event_once(stack: Stack) -> None:
    with Consumer(accept) as consumer, subscription(stack, consumer, event_types=RARE) as made:
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
        stack.wait_until(lambda: expected <= {seen.id for seen in consumer.seen}, 120)

        heard = [seen.id for seen in consumer.seen if seen.id in expected]
        assert len(heard) == len(expected) >= 5_000
        assert set(heard) == expected
        place = {event_id: number for number, event_id in enumerate(heard)}
        assert all(sorted(ids, key=place.__getitem__) == ids for ids in wanted.values())


def tell_of_many(stack: Stack) -> dict[str, list[str]]:
    """Write the events of many messages to the outbox, and return their ids by message, in order."""
    told: dict[str, list[str]] = {}
    messages = [new_id() for _ in range(MISSED_MESSAGES)]
    for kind in RARE:
        events = [
            PendingEvent(kind, new_id(), datetime.now(UTC), message_id, data={"step": str(kind)})
            for message_id in messages
        ]
        with stack.transaction() as tx:
            tx.emit_all(events)
        for event in events:
            assert event.message_id
            told.setdefault(public_id(event.message_id), []).append(f"evt_{event.id.hex}")
    return told


def let_time_pass(stack: Stack, subscription_id: UUID, owed: int) -> None:
    """Wait until everything is owed, then make it three days old, most of it given up."""

    def all_owed() -> bool:
        with stack.database() as session:
            mine = select(func.count()).where(WebhookDelivery.subscription_id == subscription_id)
            return (session.scalar(mine) or 0) >= owed

    stack.wait_until(all_owed, 60)
    then = datetime.now(UTC) - AWAY
    with stack.sessions.begin() as session:
        newest = select(func.max(OutboxEvent.seq) - owed).scalar_subquery()
        session.execute(update(OutboxEvent).where(OutboxEvent.seq > newest).values(written_at=then))
        mine = update(WebhookDelivery).where(WebhookDelivery.subscription_id == subscription_id)
        session.execute(
            mine.where(WebhookDelivery.seq % 10 != 0).values(status="failed", due_at=None, step=8)
        )
        failing = update(Subscription).where(Subscription.id == subscription_id)
        session.execute(failing.values(failing_since=then))
