"""Events on their way to consumers: real requests, both databases, a clock that does as it is told."""

import base64
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from smsapp.config import Settings
from smsapp.events.models import OutboxEvent
from smsapp.events.types import EventType
from smsapp.ids import new_id
from smsapp.keys.models import DEFAULT_APPLICATION, ApiKey
from smsapp.ports import PendingEvent
from smsapp.queue.tasks import Task
from smsapp.retention.purge import forget_deliveries
from smsapp.runtime import Runtime
from smsapp.submission.send import send_messages
from smsapp.webhooks import (
    fan_out_queries as fan_out,
)
from smsapp.webhooks import push as push_module
from smsapp.webhooks import (
    queries as deliveries,
)
from smsapp.webhooks import (
    subscription_queries as subscriptions,
)
from smsapp.webhooks.client import WebhookPoster
from smsapp.webhooks.fan_out import fan_out_events, pass_over_events
from smsapp.webhooks.models import Subscription, WebhookAttempt, WebhookDelivery
from smsapp.webhooks.push import push_events, wake_for_push
from smsapp.webhooks.redeliver import recover_events, resend_delivery, send_example
from smsapp.webhooks.rules import DISABLE_AFTER, DeliveryStatus, SubscriptionDraft
from smsapp.webhooks.subscribe import change_subscription, rotate_secret, subscribe, unsubscribe
from tests.support import consumer as behaviours
from tests.support.consumer import Consumer, hang, refuse
from tests.support.environment import make_settings
from tests.support.fakes import FakeClock, FakeTaskQueue
from tests.support.messages import Accept

OPEN = {
    "push_allow_http": True,
    "push_allowed_networks": ("127.0.0.1/32",),
    "push_timeout": timedelta(seconds=2),
}


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    """Settings that let consumers be on this machine."""
    return make_settings(database_url=database_url, redis_url=redis_url, **OPEN)


@pytest.fixture(autouse=True)
def _now(clock: FakeClock) -> None:
    """Signatures are refused when they are minutes old, so the clock begins with the real time."""
    clock.now = datetime.now(UTC)


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    """A well-behaved consumer, until it is told otherwise."""
    with Consumer(behaviours.accept) as consumer:
        yield consumer


Subscribe = Callable[..., tuple[UUID, str]]


@pytest.fixture
def listen(rt: Runtime, accept: Accept, sessions: sessionmaker[Session]) -> Subscribe:
    """Subscribe a consumer and return the subscription's id and secret."""
    with sessions() as session:
        key_id = session.scalars(select(ApiKey.id)).one()

    def subscribe_one(consumer: Consumer, **values: Any) -> tuple[UUID, str]:
        made = subscribe(
            rt,
            SubscriptionDraft(consumer.url, **values),
            api_key_id=key_id,
            render=lambda row: {"id": row.id, "secret": row.secret},
        )
        return made.answer["id"], made.answer["secret"]

    return subscribe_one


def row(rt: Runtime, subscription_id: UUID) -> Subscription:
    """Return the subscription as it is stored."""
    with rt.sessions() as session:
        return session.get_one(Subscription, subscription_id)


def owed(rt: Runtime) -> list[WebhookDelivery]:
    """Return all deliveries, oldest first."""
    with rt.sessions() as session:
        return list(
            session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.seq, WebhookDelivery.id))
        )


def tell(rt: Runtime, *types: EventType, message_id: UUID | None = None) -> None:
    """Write events, each with a transaction of its own."""
    for kind in types:
        with rt.transaction() as tx:
            tx.emit(PendingEvent(kind, new_id(), rt.clock(), message_id, data={"n": str(kind)}))


def test_a_message_is_told_from_its_acceptance_on(
    rt: Runtime, consumer: Consumer, listen: Subscribe, accept: Accept
) -> None:
    _, secret = listen(consumer, headers={"X-Mine": "yes"})
    accept(tags=["a"], client_reference="mine")

    assert push_events(rt) == 1

    [seen] = consumer.seen
    seen.verify(secret)
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["x-mine"] == "yes"
    assert seen.event["type"] == "message.accepted"
    assert seen.event["id"] == seen.id
    assert seen.event["data"]["client_reference"] == "mine"
    [delivery] = owed(rt)
    assert (delivery.status, delivery.attempts, delivery.status_code) == ("delivered", 1, 204)


def test_only_what_was_asked_for_is_told(
    rt: Runtime, consumer: Consumer, listen: Subscribe, accept: Accept
) -> None:
    listen(consumer, event_types=["job.completed"])
    with Consumer(consumer.behave) as tagged, Consumer(consumer.behave) as everything:
        listen(tagged, tags=["wanted", "too"])
        listen(everything)
        accept(tags=["wanted"])
        accept(tags=["other"])
        accept()
        tell(rt, EventType.JOB_COMPLETED)
        push_events(rt)

        assert [event["type"] for event in consumer.events] == ["job.completed"]
        assert [event["data"]["tags"] for event in tagged.events] == [["wanted"]]
        assert len(everything.events) == 4


def test_what_happened_before_a_subscription_is_not_its_own(
    rt: Runtime, consumer: Consumer, listen: Subscribe, accept: Accept
) -> None:
    accept()
    listen(consumer)
    push_events(rt)

    assert consumer.seen == []
    assert owed(rt) == []


def test_a_failed_try_is_recorded_and_repeated_with_the_same_id(
    rt: Runtime, clock: FakeClock, consumer: Consumer, listen: Subscribe, accept: Accept
) -> None:
    _, secret = listen(consumer)
    consumer.behave = refuse(500, b"broken")
    accept()
    push_events(rt)
    push_events(rt)  # not due yet
    consumer.behave = accept_again = refuse(200, b"thanks")
    clock.advance(timedelta(seconds=5))
    push_events(rt)

    assert consumer.behave is accept_again
    assert len(consumer.seen) == 2
    assert len({seen.id for seen in consumer.seen}) == 1
    assert len({seen.body for seen in consumer.seen}) == 1
    consumer.seen[1].verify(secret)
    [delivery] = owed(rt)
    with rt.sessions() as session:
        made = deliveries.attempts(session, delivery.id, limit=9)
    assert [(each.number, each.status_code, each.response) for each in made] == [
        (1, 500, "broken"),
        (2, 200, "thanks"),
    ]


def test_the_schedule_ends_in_failure_after_eight_tries(
    rt: Runtime, clock: FakeClock, consumer: Consumer, listen: Subscribe
) -> None:
    listen(consumer)
    consumer.behave = refuse(500)
    tell(rt, EventType.JOB_COMPLETED)
    began = clock()
    push_events(rt)
    while (delivery := owed(rt)[0]).status == DeliveryStatus.PENDING:
        assert delivery.due_at is not None
        clock.now = max(delivery.due_at, clock()) + timedelta(minutes=5)
        push_events(rt)

    assert (delivery.status, delivery.attempts, delivery.due_at) == ("failed", 8, None)
    assert timedelta(hours=27) < clock() - began < timedelta(hours=29)


def test_of_one_message_a_later_event_waits_for_an_earlier_one(
    rt: Runtime, clock: FakeClock, consumer: Consumer, listen: Subscribe, accept: Accept
) -> None:
    listen(consumer)
    message_id = accept()
    other_id = accept()
    tell(rt, EventType.MESSAGE_SENT, EventType.MESSAGE_DELIVERED, message_id=message_id)

    def refuse_first(handler: Any) -> None:
        refuse(500)(handler) if consumer.events[-1]["type"] == "message.accepted" else handler.answer(204)

    consumer.behave = refuse_first
    push_events(rt)
    assert {event["type"] for event in consumer.events} == {"message.accepted"}

    consumer.behave = refuse(200)
    clock.advance(timedelta(seconds=6))
    push_events(rt)

    mine = [event["type"] for event in consumer.events if event["data"]["id"] == f"msg_{message_id.hex}"]
    assert mine == ["message.accepted", "message.accepted", "message.sent", "message.delivered"]
    assert {delivery.status for delivery in owed(rt)} == {"delivered"}
    assert other_id


def test_what_follows_a_waiting_event_is_not_looked_at_until_then(
    rt: Runtime, clock: FakeClock, consumer: Consumer, listen: Subscribe, accept: Accept
) -> None:
    listen(consumer)
    consumer.behave = refuse(500)
    message_id = accept()
    push_events(rt)
    consumer.behave = refuse(200)
    tell(rt, EventType.MESSAGE_SENT, message_id=message_id)
    push_events(rt)

    assert len(consumer.seen) == 1
    first, second = owed(rt)
    assert first.due_at == second.due_at
    assert not wake_for_push(rt)

    clock.advance(timedelta(seconds=6))
    push_events(rt)
    assert [event["type"] for event in consumer.events[1:]] == ["message.accepted", "message.sent"]


def test_many_events_arrive_each_once_and_in_order_of_their_message(
    rt: Runtime, consumer: Consumer, listen: Subscribe, accept: Accept
) -> None:
    listen(consumer)
    ids = [accept() for _ in range(40)]
    for kind in (EventType.MESSAGE_SENT, EventType.MESSAGE_DELIVERED):
        for message_id in ids:
            tell(rt, kind, message_id=message_id)

    push_events(rt)

    assert len(consumer.seen) == 120 == len({seen.id for seen in consumer.seen})
    for message_id in ids:
        mine = [event["type"] for event in consumer.events if event["data"]["id"] == f"msg_{message_id.hex}"]
        assert mine == ["message.accepted", "message.sent", "message.delivered"]


def test_a_consumer_that_fails_is_asked_once_in_a_while_and_others_go_on(
    rt: Runtime, clock: FakeClock, consumer: Consumer, listen: Subscribe
) -> None:
    broken_id, _ = listen(consumer)
    consumer.behave = refuse(500)
    with Consumer(behaviours.accept) as healthy:
        listen(healthy)
        tell(rt, *[EventType.JOB_COMPLETED] * 20)
        push_events(rt)

        assert len(healthy.seen) == 20
        first_volley = len(consumer.seen)
        assert first_volley <= rt.settings.push_concurrency * 2
        assert row(rt, broken_id).paused_until is not None

        clock.advance(timedelta(minutes=1))
        push_events(rt)
        assert len(consumer.seen) == first_volley + 1

        consumer.behave = behaviours.accept
        clock.advance(timedelta(minutes=6))
        push_events(rt)
        clock.advance(timedelta(minutes=6))
        push_events(rt)

    assert {delivery.status for delivery in owed(rt)} == {"delivered"}
    assert (row(rt, broken_id).failures, row(rt, broken_id).paused_until) == (0, None)


def test_a_hanging_consumer_holds_up_nobody(rt: Runtime, consumer: Consumer, listen: Subscribe) -> None:
    consumer.behave = hang
    listen(consumer)
    with Consumer(behaviours.accept) as healthy:
        listen(healthy)
        tell(rt, *[EventType.JOB_COMPLETED] * 30)
        push_events(rt)

        assert len(healthy.seen) == 30
        assert max(seen.at for seen in healthy.seen) < min(seen.at for seen in consumer.seen) + 1.5
    with rt.sessions() as session:
        errors = set(session.scalars(select(WebhookAttempt.error)))
    assert errors == {None, "timeout"}


def test_when_a_shift_ends_only_who_hangs_is_kept(rt: Runtime, consumer: Consumer, listen: Subscribe) -> None:
    consumer.behave = hang
    hanging_id, _ = listen(consumer)

    def slow(handler: Any) -> None:
        rt.stopping.set()  # the shift is over while this one is being told
        time.sleep(0.2)
        handler.answer(204)

    with Consumer(slow) as healthy:
        healthy_id, _ = listen(healthy)
        tell(rt, EventType.JOB_COMPLETED)
        drain = threading.Thread(target=push_events, args=(rt,))
        drain.start()
        deadline = time.monotonic() + 1.5  # what hangs is cut off after two seconds
        while row(rt, healthy_id).owner is None and time.monotonic() < deadline:
            time.sleep(0.01)
        while row(rt, healthy_id).owner is not None and time.monotonic() < deadline:
            time.sleep(0.01)

        assert (row(rt, healthy_id).owner, row(rt, hanging_id).owner is None) == (None, False)
        drain.join()
    assert row(rt, hanging_id).owner is None


def test_410_disables_and_is_told_to_the_others(rt: Runtime, consumer: Consumer, listen: Subscribe) -> None:
    gone_id, _ = listen(consumer)
    consumer.behave = refuse(410)
    with Consumer(behaviours.accept) as other:
        listen(other, event_types=["endpoint.disabled"])
        tell(rt, EventType.JOB_COMPLETED)
        push_events(rt)
        push_events(rt)
        tell(rt, EventType.JOB_COMPLETED)
        push_events(rt)

        [event] = other.events
    assert event["data"]["subscription_id"] == f"sub_{gone_id.hex}"
    assert event["data"]["reason"] == "gone"
    assert len(consumer.seen) == 1
    assert (row(rt, gone_id).enabled, row(rt, gone_id).disabled_reason) == (False, "gone")


def test_five_days_of_failing_disable(
    rt: Runtime, clock: FakeClock, consumer: Consumer, listen: Subscribe
) -> None:
    listener_id, _ = listen(consumer)
    consumer.behave = refuse(500)
    tell(rt, EventType.JOB_COMPLETED)
    push_events(rt)
    clock.advance(DISABLE_AFTER)
    push_events(rt)

    assert (row(rt, listener_id).enabled, row(rt, listener_id).disabled_reason) == (False, "failing")


def test_recover_brings_what_was_missed_each_once(
    rt: Runtime, clock: FakeClock, consumer: Consumer, listen: Subscribe, accept: Accept
) -> None:
    before = clock()
    accept()  # before there was a subscription
    listener_id, _ = listen(consumer)
    tell(rt, EventType.JOB_COMPLETED)
    push_events(rt)
    assert len(consumer.seen) == 1
    change_subscription(rt, DEFAULT_APPLICATION, listener_id, {"enabled": False}, render=lambda _: {})
    tell(rt, *[EventType.JOB_COMPLETED] * 3)
    push_events(rt)
    change_subscription(rt, DEFAULT_APPLICATION, listener_id, {"enabled": True}, render=lambda _: {})
    push_events(rt)
    assert len(consumer.seen) == 1

    recover_events(rt, DEFAULT_APPLICATION, listener_id, since=before)
    push_events(rt)

    assert sorted(event["seq"] for event in consumer.events) == [1, 2, 3, 4, 5]
    assert row(rt, listener_id).recover_next is None


def test_recover_takes_up_failed_deliveries_at_once(
    rt: Runtime, clock: FakeClock, consumer: Consumer, listen: Subscribe
) -> None:
    listener_id, _ = listen(consumer)
    consumer.behave = refuse(500)
    tell(rt, *[EventType.JOB_COMPLETED] * 3)
    push_events(rt)
    with rt.sessions.begin() as session:
        session.execute(
            update(WebhookDelivery).where(WebhookDelivery.seq == 2).values(status="failed", due_at=None)
        )
    consumer.behave = behaviours.accept
    recover_events(rt, DEFAULT_APPLICATION, listener_id, since=clock() - timedelta(hours=1))
    push_events(rt)

    assert {delivery.status for delivery in owed(rt)} == {"delivered"}
    assert len(consumer.seen) == 6


def test_recover_begins_where_the_caller_says(
    rt: Runtime, clock: FakeClock, consumer: Consumer, listen: Subscribe
) -> None:
    tell(rt, *[EventType.JOB_COMPLETED] * 9)
    with rt.sessions.begin() as session:
        for seq in range(1, 10):
            at = clock() - timedelta(days=10 - seq)
            session.execute(update(OutboxEvent).where(OutboxEvent.seq == seq).values(written_at=at))
    listener_id, _ = listen(consumer)
    push_events(rt)
    recover_events(rt, DEFAULT_APPLICATION, listener_id, since=clock() - timedelta(days=4, hours=1))
    push_events(rt)

    assert sorted(event["seq"] for event in consumer.events) == [6, 7, 8, 9]


def test_one_delivery_can_be_made_again(rt: Runtime, consumer: Consumer, listen: Subscribe) -> None:
    listen(consumer)
    tell(rt, EventType.JOB_COMPLETED)
    push_events(rt)
    resend_delivery(rt, DEFAULT_APPLICATION, owed(rt)[0].id)
    push_events(rt)

    assert len(consumer.seen) == 2
    assert len({seen.id for seen in consumer.seen}) == 1
    assert owed(rt)[0].attempts == 2


def test_an_example_of_every_event_can_be_sent(rt: Runtime, consumer: Consumer, listen: Subscribe) -> None:
    listener_id, secret = listen(consumer, event_types=["job.completed"])
    for kind in EventType:
        send_example(rt, DEFAULT_APPLICATION, listener_id, kind)
    push_events(rt)

    for seen in consumer.seen:
        seen.verify(secret)
        assert seen.event["example"]
    assert sorted(event["type"] for event in consumer.events) == sorted(EventType)


def test_both_secrets_sign_until_the_overlap_is_over(
    rt: Runtime, clock: FakeClock, consumer: Consumer, listen: Subscribe
) -> None:
    listener_id, old = listen(consumer)
    new = rotate_secret(
        rt,
        DEFAULT_APPLICATION,
        listener_id,
        overlap=timedelta(seconds=30),
        render=lambda row: {"secret": row.secret},
    )["secret"]
    tell(rt, EventType.JOB_COMPLETED)
    push_events(rt)
    clock.advance(timedelta(seconds=31))
    tell(rt, EventType.JOB_COMPLETED)
    push_events(rt)

    during, after = consumer.seen
    during.verify(old)
    during.verify(new)
    after.verify(new)
    with pytest.raises(Exception, match="No matching signature"):
        after.verify(old)


def test_a_messages_own_address_is_told_of_it_alone(
    rt: Runtime, consumer: Consumer, listen: Subscribe, accept: Accept, api_key: str
) -> None:
    message_id = accept(callback_url=consumer.url + "?order=7")
    accept()
    push_events(rt)
    send_messages(rt)
    push_events(rt)

    assert {seen.path for seen in consumer.seen} == {"/events?order=7"}
    assert {event["data"]["id"] for event in consumer.events} == {f"msg_{message_id.hex}"}
    consumer.seen[0].verify(secret_of_key(api_key))
    [listener] = [row(rt, delivery.subscription_id) for delivery in owed(rt)[:1]]
    assert (listener.kind, listener.url) == ("callback", consumer.url.removesuffix("/events"))


def secret_of_key(api_key: str) -> str:
    """Return what signs for the owner of an API key, as the guide tells to compute it."""
    return "whsec_" + base64.b64encode(hashlib.sha256(api_key.encode()).digest()).decode()


def test_410_from_a_callback_ends_that_delivery_only(rt: Runtime, consumer: Consumer, accept: Accept) -> None:
    accept(callback_url=consumer.url)
    consumer.behave = refuse(410)
    push_events(rt)
    consumer.behave = refuse(204)
    accept(callback_url=consumer.url)
    push_events(rt)

    assert [delivery.status for delivery in owed(rt)] == ["failed", "delivered"]


def test_a_deleted_subscription_gets_nothing_more(
    rt: Runtime, clock: FakeClock, consumer: Consumer, listen: Subscribe
) -> None:
    listener_id, _ = listen(consumer)
    consumer.behave = refuse(500)
    tell(rt, EventType.JOB_COMPLETED)
    push_events(rt)
    unsubscribe(rt, DEFAULT_APPLICATION, listener_id)
    clock.advance(timedelta(hours=1))
    tell(rt, EventType.JOB_COMPLETED)
    push_events(rt)

    assert len(consumer.seen) == 1
    stored = row(rt, listener_id)
    assert (stored.secret, stored.headers) == ("", None)


def test_a_consumer_left_by_a_dead_worker_is_taken_over_when_its_lease_is_over(
    rt: Runtime, clock: FakeClock, consumer: Consumer, listen: Subscribe
) -> None:
    listener_id, _ = listen(consumer)
    tell(rt, EventType.JOB_COMPLETED)
    with rt.sessions.begin() as session:
        until = clock() + timedelta(seconds=10)
        assert subscriptions.claim(session, [listener_id], owner="dead", now=clock(), until=until)

    assert push_events(rt) == 0
    clock.advance(timedelta(seconds=10))
    assert wake_for_push(rt)
    assert push_events(rt) == 1


def test_two_workers_never_hold_one_consumer(
    rt: Runtime, clock: FakeClock, consumer: Consumer, listen: Subscribe
) -> None:
    listener_id, _ = listen(consumer)
    until = clock() + timedelta(seconds=10)
    taken = []
    for owner in ("a", "b", "a"):
        with rt.sessions.begin() as session:
            taken.append(subscriptions.claim(session, [listener_id], owner=owner, now=clock(), until=until))

    assert taken == [[listener_id], [], [listener_id]]


def test_the_sweep_wakes_for_what_is_owed_and_for_nothing_else(
    rt: Runtime, tasks: FakeTaskQueue, consumer: Consumer, listen: Subscribe
) -> None:
    listen(consumer)
    assert not wake_for_push(rt)

    tell(rt, EventType.JOB_COMPLETED)
    assert wake_for_push(rt)
    assert tasks.woken[-1] == (Task.PUSH_EVENTS, 0)

    push_events(rt)
    assert not wake_for_push(rt)


def test_old_deliveries_are_forgotten_and_owed_ones_are_not(
    rt: Runtime, clock: FakeClock, consumer: Consumer, listen: Subscribe
) -> None:
    consumer.behave = refuse(500)
    listen(consumer)
    with Consumer(behaviours.accept) as other:
        listen(other)
        tell(rt, EventType.JOB_COMPLETED)
        push_events(rt)
    clock.advance(timedelta(days=31))

    assert forget_deliveries(rt) == 1
    assert [delivery.status for delivery in owed(rt)] == ["pending"]


def test_events_that_nobody_wants_leave_nothing_behind(rt: Runtime, accept: Accept) -> None:
    for _ in range(5):
        accept()
    push_events(rt)

    with rt.sessions() as session:
        assert session.scalar(select(func.count()).select_from(WebhookDelivery)) == 0
    assert not wake_for_push(rt)


def test_while_nobody_listens_events_are_passed_over_and_nobody_waits_for_more(
    rt: Runtime, accept: Accept
) -> None:
    patient = replace(rt, drain_idle=timedelta(hours=1))
    for number in range(5):
        accept(body=str(number))

    assert push_events(patient) == 0

    with rt.sessions() as session:
        assert fan_out.cursor(session) == subscriptions.head(session) == 5


def test_while_nobody_listens_batch_after_batch_is_passed_over(rt: Runtime, accept: Accept) -> None:
    for number in range(5):
        accept(body=str(number))

    pass_over_events(rt, lambda: True, batch=2)

    with rt.sessions() as session:
        assert fan_out.cursor(session) == subscriptions.head(session) == 5


def test_an_event_that_is_not_kept_any_more_is_given_up(
    rt: Runtime, consumer: Consumer, listen: Subscribe
) -> None:
    listener_id, _ = listen(consumer)
    tell(rt, EventType.JOB_COMPLETED)
    fan_out_events(rt)
    with rt.sessions.begin() as session:
        session.execute(delete(OutboxEvent))
    push_events(rt)

    assert (owed(rt)[0].status, owed(rt)[0].error) == ("failed", "event_forgotten")
    assert row(rt, listener_id).failures == 0


def test_the_guard_holds_for_events_too(
    rt: Runtime, consumer: Consumer, listen: Subscribe, database_url: str
) -> None:
    strict = replace(rt, webhooks=WebhookPoster(make_settings(database_url=database_url)))
    listen(consumer)
    tell(rt, EventType.JOB_COMPLETED)
    push_events(strict)

    assert consumer.seen == []
    assert owed(rt)[0].error == "address_not_allowed"


def test_an_answer_that_could_not_be_written_down_while_stopping_ends_the_drain(
    rt: Runtime,
    consumer: Consumer,
    listen: Subscribe,
    accept: Accept,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would wait for ever for requests that have ended, and keep their consumers from any other worker."""
    subscription_id, _ = listen(consumer)
    accept()

    def database_away(*_: Any) -> Any:
        rt.stopping.set()
        raise OperationalError("UPDATE", {}, Exception("the database is away"))

    def drain() -> None:
        with suppress(OperationalError):
            push_events(rt)

    with monkeypatch.context() as patched:
        patched.setattr(push_module, "record_deliveries", database_away)
        worker = threading.Thread(target=drain, daemon=True)
        worker.start()
        worker.join(5)
        assert not worker.is_alive()

    rt.stopping.clear()
    assert row(rt, subscription_id).owner is None
    assert push_events(rt) == 1  # what nobody wrote down is told again, with the same id
    assert len({seen.id for seen in consumer.seen}) == 1
    assert [delivery.status for delivery in owed(rt)] == [DeliveryStatus.DELIVERED]
