"""The feed: what consumers hear of a message's life, and that they hear the same when they ask again."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import delete

from smsapp.db.sessions import reading
from smsapp.events import queries as feed
from smsapp.events.payload import render_event
from smsapp.events.read_feed import FeedFilter, read_feed
from smsapp.events.types import EventType
from smsapp.ids import new_id, public_id
from smsapp.keys.models import DEFAULT_APPLICATION
from smsapp.messages.models import MessageEvent
from smsapp.ports import PendingEvent
from smsapp.runtime import Runtime
from smsapp.submission.send import send_messages
from tests.support.callbacks import callback, raw_callback, receive
from tests.support.fakes import START, FakeClock, FakeTwilio, refuse
from tests.support.messages import Accept


@pytest.fixture
def message_id(rt: Runtime, accept: Accept) -> UUID:
    """A message that Twilio has."""
    message_id = accept(client_reference="order-1", tags=["blue", "ünïcode"])
    send_messages(rt)
    return message_id


def told(rt: Runtime, **options: Any) -> list[dict[str, Any]]:
    """Return the feed as consumers get it."""
    asked = {"after": 0, "until": 10**9, "limit": 1000} | options
    with reading(rt.sessions) as session:
        return [render_event(each) for each in feed.between(session, DEFAULT_APPLICATION, **asked)]


def types(rt: Runtime, **options: Any) -> list[str]:
    return [event["type"].removeprefix("message.") for event in told(rt, **options)]


def test_a_messages_life_is_told_in_its_order(rt: Runtime, message_id: UUID) -> None:
    receipt = {"From": "+15005550011", "RawDlrDoneDate": "2611231200"}
    receive(rt, callback(rt, message_id, "sent"), callback(rt, message_id, "delivered", **receipt))

    events = told(rt)

    assert [(event["seq"], event["type"]) for event in events] == [
        (1, "message.accepted"),
        (2, "message.sent"),
        (3, "message.delivered"),
    ]
    assert len({event["id"] for event in events}) == 3
    delivered = events[2]
    assert delivered["id"].startswith("evt_")
    assert delivered["timestamp"] == "2026-11-23T12:00:00.000Z"
    assert delivered["data"] == {
        "id": public_id(message_id),
        "status": "delivered",
        "outcome": "delivered",
        "explanation": "The carrier confirms that the message reached the phone.",
        "error": None,
        "twilio_sid": delivered["data"]["twilio_sid"],
        "attempt": 1,
        "source": "callback",
        "from": "+15005550011",
        "carrier_at": "2026-11-23T12:00:00.000Z",
        "to": "+14155552671",
        "client_reference": "order-1",
        "tags": ["blue", "ünïcode"],
        "created_at": "2026-11-23T12:00:00.000Z",
    }
    assert delivered["data"]["twilio_sid"].startswith("SM")


def test_a_failure_is_told_with_its_reason(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    twilio.behaviours.append(refuse(21614, 400))
    accept()
    send_messages(rt)

    [_, failed] = told(rt)

    assert (failed["type"], failed["data"]["outcome"]) == ("message.failed", "failed")
    assert (failed["data"]["error"]["code"], failed["data"]["error"]["scope"]) == (21614, "recipient")


def test_what_was_told_is_told_the_same_after_all_that_came_later(
    rt: Runtime, message_id: UUID, clock: FakeClock
) -> None:
    receive(rt, callback(rt, message_id, "undelivered", ErrorCode="30003"))
    before = orjson.dumps(told(rt))

    clock.advance(timedelta(hours=1))
    receive(rt, callback(rt, message_id, "delivered"), callback(rt, message_id, "read"))
    after = told(rt)

    assert orjson.dumps(after[:2]) == before
    assert types(rt) == ["accepted", "undelivered", "revised"]
    assert (after[1]["data"]["error"]["code"], after[2]["data"]["error"]) == (30003, None)
    assert (after[2]["data"]["status"], after[2]["data"]["outcome"]) == ("delivered", "delivered")


def test_a_failure_that_is_tried_again_is_not_told_as_the_end(
    rt: Runtime, accept: Accept, clock: FakeClock
) -> None:
    message_id = accept(resend_after_failure=True)
    send_messages(rt)
    receive(rt, callback(rt, message_id, "undelivered", ErrorCode="30003"))
    clock.advance(timedelta(hours=1))
    send_messages(rt)
    receive(rt, callback(rt, message_id, "delivered", attempt=2))

    assert types(rt) == ["accepted", "delivered"]
    assert told(rt)[1]["data"]["attempt"] == 2


def test_a_callback_that_comes_twice_is_told_once(rt: Runtime, message_id: UUID) -> None:
    once = callback(rt, message_id, "delivered")
    receive(rt, once, once)
    receive(rt, once)

    assert types(rt) == ["accepted", "delivered"]


def test_a_text_of_somebodys_is_told_once(rt: Runtime) -> None:
    body = "MessageSid=SM" + "5" * 32 + "&From=%2B14155550100&To=%2B15005550006&Body=Hello+%F0%9F%91%8B"
    for _ in range(2):
        receive(rt, raw_callback(rt, None, body, kind="inbound"))

    [event] = told(rt)

    assert event["type"] == "message.received"
    assert event["data"] == {
        "id": event["data"]["id"],
        "from": "+14155550100",
        "to": "+15005550006",
        "body": "Hello 👋",
        "messaging_service_sid": None,
        "opt_out_type": None,
        "twilio_sid": "SM" + "5" * 32,
    }
    assert event["data"]["id"].startswith("in_")


def test_an_event_may_bring_its_payload_along(rt: Runtime, message_id: UUID) -> None:
    with rt.transaction() as tx:
        tx.emit(
            PendingEvent(EventType.JOB_COMPLETED, new_id(), START, data={"sent": 3}),
            PendingEvent(EventType.FALLBACK_REQUESTED, new_id(), START, message_id, 2, data={"step": 1}),
        )

    completed, fallback = told(rt)[1:]

    assert completed["data"] == {"sent": 3}
    assert (fallback["data"]["id"], fallback["data"]["status"]) == (public_id(message_id), "submitting")
    assert (fallback["data"]["client_reference"], fallback["data"]["step"]) == ("order-1", 1)


def test_an_event_outlives_its_message(rt: Runtime, message_id: UUID) -> None:
    with rt.transaction() as tx:
        tx.session.execute(delete(MessageEvent))
        tx.emit(PendingEvent(EventType.MESSAGE_SENT, new_id(), START, new_id(), 7))

    without_line, without_message = told(rt)

    assert (without_line["data"]["id"], "status" in without_line["data"]) == (public_id(message_id), False)
    assert without_message["data"]["to"] is None


def test_types_and_tags_choose(rt: Runtime, accept: Accept) -> None:
    for tags in (["a", "b"], ["b"], None, ["A", "a,b"]):
        message_id = accept(tags=tags)
        send_messages(rt)
        receive(rt, callback(rt, message_id, "sent"))
    with rt.transaction() as tx:
        tx.emit(PendingEvent(EventType.JOB_COMPLETED, new_id(), START, data={}))

    def seqs(**options: Any) -> list[int]:
        return [event["seq"] for event in told(rt, **options)]

    assert seqs() == list(range(1, 10))
    assert seqs(types=["message.sent"]) == [2, 4, 6, 8]
    assert seqs(tags=["a"]) == [1, 2]
    assert seqs(tags=["b"]) == [1, 2, 3, 4]
    assert seqs(tags=["a,b", "b"], types=["message.accepted"]) == [1, 3, 7]
    assert seqs(tags=["?", "'", "nobody's"]) == []
    assert seqs(after=3, until=6) == [4, 5, 6]
    assert seqs(after=3, until=6, limit=2) == [4, 5]
    with reading(rt.sessions) as session:
        assert [each.seq for each in feed.numbered(session, [5, 99, 2])] == [2, 5]


def test_what_is_forgotten_is_forgotten_from_the_beginning(rt: Runtime) -> None:
    with rt.transaction() as tx:
        tx.emit_all(some(10))
    now = datetime.now(UTC)

    def forget(before: datetime, limit: int = 100) -> tuple[int, int | None, int]:
        with rt.sessions.begin() as session:
            gone = feed.forget(session, before=before, limit=limit)
            return gone, feed.oldest(session), feed.latest(session)

    assert forget(now - timedelta(hours=1)) == (0, 1, 10)
    assert forget(now + timedelta(hours=1), limit=4) == (4, 5, 10)
    assert forget(now + timedelta(hours=1)) == (6, None, 10)
    assert forget(now + timedelta(hours=1)) == (0, None, 10)


def some(count: int) -> Iterator[PendingEvent]:
    return (PendingEvent(EventType.JOB_COMPLETED, new_id(), START, data={"n": n}) for n in range(count))


def test_after_three_days_a_consumer_misses_nothing_of_what_happened(
    rt: Runtime, accept: Accept, clock: FakeClock
) -> None:
    accept()
    page = read_feed(rt, None, FeedFilter(DEFAULT_APPLICATION, 1000))
    heard = list(page.events)
    ids = [accept() for _ in range(1699)]
    for word in ("sent", "delivered"):
        clock.advance(timedelta(hours=36))
        form = f"MessageSid={{}}&MessageStatus={word}"
        receive(rt, *(raw_callback(rt, public_id(each), form.format(f"SM{each.hex}")) for each in ids))

    while page.next_after < read_feed(rt, page.next_after, FeedFilter(DEFAULT_APPLICATION, 1)).latest:
        page = read_feed(rt, page.next_after, FeedFilter(DEFAULT_APPLICATION, 313))
        heard += page.events

    assert [event["seq"] for event in heard] == list(range(1, 1 + 3 * len(ids) + 1))
    assert len(heard) > 5000 - 1
    lives: dict[str, list[str]] = {}
    for event in heard[1:]:
        lives.setdefault(event["data"]["id"], []).append(event["type"])
    assert set(lives) == {public_id(each) for each in ids}
    assert {tuple(life) for life in lives.values()} == {
        ("message.accepted", "message.sent", "message.delivered")
    }
