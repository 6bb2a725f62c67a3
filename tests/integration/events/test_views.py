"""GET /sms/events: pages, waiting and streams, and what is said when a cursor or a filter makes no sense."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from smsapp.config import Settings
from smsapp.events.feed_limits import FeedLimits
from smsapp.events.models import OutboxEvent
from smsapp.events.schemas import FeedPage
from smsapp.events.types import EventType
from smsapp.ids import new_id
from smsapp.keys import queries as api_keys
from smsapp.news.desk import NewsDesk
from smsapp.ports import PendingEvent
from smsapp.retention.purge import forget_events
from smsapp.web.wiring import provided
from tests.support.environment import make_settings
from tests.support.web import Api, faults, problem, serving

NOW = datetime.now(UTC)


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    limited = make_settings(
        database_url=settings.database_url, redis_url=settings.redis_url, max_event_streams=2
    )
    with serving(limited) as bare:
        with bare.rt.sessions.begin() as session:
            key = api_keys.issue(session, "test", mode="live", now=NOW)
        yield Api(bare.app, key)


def tell(api: Api, count: int, kind: EventType = EventType.JOB_COMPLETED) -> None:
    with api.rt.transaction() as tx:
        tx.emit_all([PendingEvent(kind, new_id(), NOW, data={"n": n}) for n in range(count)])


def page(api: Api, **query: Any) -> FeedPage:
    answer = api.get("/sms/events", **query)
    assert answer.status_code == 200, answer.text
    return FeedPage.model_validate_json(answer.data, strict=False)


def seqs(api: Api, **query: Any) -> list[int]:
    return [event.seq for event in page(api, **query).data]


def stream(api: Api, **headers: str) -> TestResponse:
    """Begin a stream; its chunks are read one by one."""
    given = {"Authorization": f"Bearer {api.key}", "Accept": "text/event-stream"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.client.get("/sms/events", headers=given | named)


def frames(answer: TestResponse, count: int) -> list[dict[str, str]]:
    """Return the next frames of a stream."""
    found: list[dict[str, str]] = []
    for chunk in answer.iter_encoded():
        for text in chunk.decode().split("\n\n")[:-1]:
            found.append(dict(line.split(": ", 1) for line in text.splitlines()))  # noqa: PERF401 - counts itself
        if len(found) >= count:
            break
    return found


# Pages.


def test_the_feed_is_read_page_by_page(api: Api) -> None:
    tell(api, 5)

    first = api.get("/sms/events", limit=2)
    second = page(api, limit=2, after=first.json["next_after"])
    third = page(api, limit=2, after=second.next_after)
    end = page(api, limit=2, after=third.next_after)

    assert [event["seq"] for event in first.json["data"]] == [1, 2]
    assert (first.json["has_more"], first.json["next_after"], first.json["latest"]) == (True, 2, 5)
    assert first.headers["Link"] == '</sms/events?limit=2&after=2>; rel="next"'
    assert ([e.seq for e in second.data], [e.seq for e in third.data]) == ([3, 4], [5])
    assert (third.has_more, third.next_after) == (False, 5)
    assert (end.data, end.has_more, end.next_after, end.latest) == ([], False, 5, 5)


def test_an_empty_feed_is_an_empty_page(api: Api) -> None:
    assert page(api).model_dump() == {"data": [], "has_more": False, "next_after": 0, "latest": 0}


def test_reading_again_gives_the_same_bytes(api: Api) -> None:
    api.send(client_reference="x", tags=["t"])
    tell(api, 3)

    assert api.get("/sms/events").data == api.get("/sms/events").data
    assert seqs(api) == [1, 2, 3, 4]


def test_a_filter_passes_over_the_rest(api: Api) -> None:
    tell(api, 2)
    sent = api.send(tags=["spring"])
    tell(api, 1, EventType.ENDPOINT_DISABLED)

    assert seqs(api, types="endpoint.disabled,message.accepted") == [3, 4]
    assert page(api, tags="autumn,spring").data[0].data["id"] == sent["id"]
    nothing = page(api, types="message.failed")
    assert (nothing.data, nothing.has_more, nothing.next_after) == ([], False, 4)


def test_a_filter_that_matches_nothing_reads_no_more_than_a_stretch(api: Api) -> None:
    provided(FeedLimits, api.app).stretch = 3
    tell(api, 7)
    tell(api, 1, EventType.ENDPOINT_DISABLED)

    pages = [page(api, types="endpoint.disabled")]
    while pages[-1].has_more:
        pages.append(page(api, types="endpoint.disabled", after=pages[-1].next_after))

    assert [(len(p.data), p.next_after, p.has_more) for p in pages] == [
        (0, 3, True),
        (0, 6, True),
        (1, 8, False),
    ]
    # Waiting searches on by itself.
    assert [e.seq for e in page(api, types="endpoint.disabled", wait=5).data] == [8]


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ({"types": "message.delivered,message.flown"}, "?types", "invalid"),
        ({"types": ""}, "?types", "invalid"),
        ({"tags": "a,,b"}, "?tags", "too_short"),
        ({"tags": ",".join("abcdefghijk")}, "?tags", "too_long"),
        ({"tags": "a\0"}, "?tags", "invalid"),
        ({"after": "-1"}, "?after", "out_of_range"),
        ({"after": "x"}, "?after", "wrong_type"),
        ({"after": str(2**63)}, "?after", "out_of_range"),
        ({"limit": "0"}, "?limit", "out_of_range"),
        ({"wait": "21"}, "?wait", "out_of_range"),
        ({"type": "message.delivered"}, "?type", "unknown_field"),
        ({"after": ["1", "2"]}, "?after", "repeated"),
    ],
)
def test_a_faulty_query_is_refused_with_a_pointer(
    api: Api, query: dict[str, Any], pointer: str, code: str
) -> None:
    assert faults(api.get("/sms/events", **query)) == {pointer: code}


# Cursors that make no sense.


def test_a_cursor_older_than_what_is_kept_is_gone(api: Api) -> None:
    tell(api, 3)
    with api.rt.sessions.begin() as session:
        assert outbox_forget(session, upto=2) == 2

    gone = problem(api.get("/sms/events", after=1), 410, "cursor_expired")

    assert [(fault.pointer, fault.code) for fault in gone.errors] == [("?after", "expired")]
    assert "after 2 are" in gone.detail
    assert seqs(api, after=2) == [3]
    assert seqs(api) == [3]
    problem(stream(api, Last_Event_ID="0"), 410, "cursor_expired")


def outbox_forget(session: Session, *, upto: int) -> int:
    return session.connection().execute(delete(OutboxEvent).where(OutboxEvent.seq <= upto)).rowcount


def test_when_everything_is_forgotten_the_numbers_go_on(api: Api) -> None:
    tell(api, 3)
    with api.rt.sessions.begin() as session:
        outbox_forget(session, upto=3)

    assert page(api).model_dump() == {"data": [], "has_more": False, "next_after": 3, "latest": 3}
    assert seqs(api, after=3) == []
    problem(api.get("/sms/events", after=2), 410, "cursor_expired")
    tell(api, 1)
    assert seqs(api) == [4]


def test_a_cursor_from_elsewhere_is_not_waited_for(api: Api) -> None:
    tell(api, 3)

    unknown = problem(api.get("/sms/events", after=4, wait=20), 404, "event_not_found")

    assert [fault.pointer for fault in unknown.errors] == ["?after"]
    problem(stream(api, Last_Event_ID="4"), 404, "event_not_found")


def test_the_sweep_forgets_what_is_older_than_the_setting(api: Api) -> None:
    tell(api, 10)
    month = timedelta(days=30)

    assert forget_events(replace(api.rt, clock=lambda: NOW + month - timedelta(hours=1))) == 0
    assert seqs(api) == list(range(1, 11))
    assert forget_events(replace(api.rt, clock=lambda: NOW + month + timedelta(hours=1)), batch=4) == 10
    assert seqs(api) == []


# Waiting.


def test_a_long_poll_is_answered_when_something_happens(api: Api) -> None:
    tell(api, 1)
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        waiting = pool.submit(page, api, after=1, wait=20)
        time.sleep(0.3)
        assert not waiting.done()
        assert idle_connections(api)
        tell(api, 2)

        assert [event.seq for event in waiting.result(10).data] == [2, 3]
        assert time.monotonic() - began < 5


def idle_connections(api: Api) -> bool:
    """Return whether no connection to the database is in use, within a moment: the shared look takes one briefly."""
    pool = api.rt.sessions.kw["bind"].pool
    return any(pool.checkedout() == 0 or time.sleep(0.01) for _ in range(100))


def test_a_long_poll_goes_on_while_what_happens_is_not_wanted(api: Api) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(page, api, types="endpoint.disabled", wait=20)
        time.sleep(0.3)
        tell(api, 3)
        time.sleep(0.5)
        assert not waiting.done()
        tell(api, 1, EventType.ENDPOINT_DISABLED)

        assert [event.seq for event in waiting.result(10).data] == [4]


def test_a_long_poll_ends_with_an_empty_page(api: Api) -> None:
    tell(api, 2)
    began = time.monotonic()

    empty = page(api, after=2, wait=1)

    assert (empty.data, empty.next_after) == ([], 2)
    assert 0.9 < time.monotonic() - began < 5


def test_only_so_many_may_wait(api: Api) -> None:
    one, two = stream(api), stream(api)

    refused = api.get("/sms/events", wait=5)

    assert problem(refused, 503, "overloaded")
    assert refused.headers["Retry-After"]
    problem(stream(api), 503, "overloaded")
    assert seqs(api) == []  # without waiting there is always an answer
    one.close()
    stream(api).close()
    two.close()


def test_waiting_ends_when_the_process_is_asked_to(api: Api) -> None:
    desk = provided(NewsDesk, api.app)
    with ThreadPoolExecutor(2) as pool:
        polling = pool.submit(page, api, wait=20)
        streaming = pool.submit(lambda: b"".join(stream(api).iter_encoded()))
        time.sleep(0.3)
        desk.ending = True

        assert polling.result(5).data == []
        assert streaming.result(5).endswith(b"id: 0\n\n")


# Streams.


def test_a_stream_tells_what_was_and_what_comes(api: Api) -> None:
    tell(api, 2)
    answer = stream(api)

    before = frames(answer, 3)
    tell(api, 1)
    after = frames(answer, 1)
    answer.close()

    assert answer.content_type == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    assert before[0] == {"retry": "1000"}
    assert [(frame["id"], frame["event"]) for frame in before[1:] + after if "event" in frame] == [
        (str(seq), "job.completed") for seq in (1, 2, 3)
    ]
    documents = [json.loads(frame["data"]) for frame in before[1:]]
    assert documents == api.get("/sms/events", limit=2).json["data"]


def test_a_stream_is_taken_up_where_it_ended(api: Api) -> None:
    tell(api, 4)
    answer = api.client.get(
        "/sms/events",
        query_string={"after": 1},
        headers={"Authorization": f"Bearer {api.key}", "Accept": "text/event-stream", "Last-Event-ID": "3"},
    )

    assert frames(answer, 2)[1]["id"] == "4"
    answer.close()
    assert faults(stream(api, Last_Event_ID="x")) == {"Last-Event-Id": "wrong_type"}


def test_a_silent_stream_beats_and_moves_the_cursor_on(api: Api) -> None:
    provided(FeedLimits, api.app).heartbeat_s = 0.05
    tell(api, 2)
    answer = api.client.get(
        "/sms/events",
        query_string={"types": "endpoint.disabled"},
        headers={"Authorization": f"Bearer {api.key}", "Accept": "text/event-stream"},
    )

    beats = frames(answer, 4)
    answer.close()

    assert beats[1:] == [{"id": "2"}] * 3


def test_a_stream_ends_after_a_while_so_that_the_key_is_looked_at_again(api: Api) -> None:
    limits = provided(FeedLimits, api.app)
    limits.heartbeat_s, limits.longest_stream_s = 0.05, 0.2
    tell(api, 1)

    whole = b"".join(stream(api).iter_encoded())

    assert whole.startswith(b"retry: 1000\n\nid: 1\nevent: job.completed\ndata: {")
    assert whole.endswith(b"\n\nid: 1\n\n")


def test_whoever_takes_anything_gets_json(api: Api) -> None:
    for accept in ("*/*", "application/json, text/event-stream;q=0.5", "text/html"):
        headers = {"Authorization": f"Bearer {api.key}", "Accept": accept}
        assert api.client.get("/sms/events", headers=headers).content_type == "application/json"
