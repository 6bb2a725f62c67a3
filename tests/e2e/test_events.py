"""A consuming application pulls its events through the running processes: page by page, waiting, and as a stream."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import urllib3

from tests.support.environment import SENDER
from tests.support.stack import Stack

NUMBER = "+14155552671"
LIFE = ["message.accepted", "message.sent", "message.delivered"]


@pytest.fixture(autouse=True)
def _one_report_at_a_time(stack: Stack) -> Iterator[None]:
    """Leave a second between `sent` and the end: of two callbacks at the same moment, either may come first."""
    with stack.twilio_set_to(final_ms=1000):
        yield


def ask(stack: Stack, query: str) -> dict[str, Any]:
    answer = stack.request("GET", f"/sms/events?{query}")
    assert answer.status == 200, answer.data
    document: dict[str, Any] = answer.json()
    return document


def follow(stack: Stack, after: int, query: str, last: str) -> list[dict[str, Any]]:
    """Return the events after a number, by long polls, up to the first of a type."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] != last:
        page = ask(stack, f"after={after}&wait=10&limit=1&{query}")
        assert page["data"] or page["has_more"], f"only {events}"
        events += page["data"]
        after = page["next_after"]
    return events


def stream(stack: Stack, query: str, **headers: str) -> urllib3.BaseHTTPResponse:
    given = {"Authorization": f"Bearer {stack.api_key}", "Accept": "text/event-stream"}
    return urllib3.request(
        "GET",
        f"{stack.url()}/sms/events?{query}",
        headers=given | headers,
        preload_content=False,
        timeout=15,
        retries=False,
    )


def frames(answer: urllib3.BaseHTTPResponse) -> Iterator[dict[str, str]]:
    """Yield what a browser's EventSource would, one event at a time."""
    buffer = b""
    for chunk in answer.stream():
        *whole, buffer = (buffer + chunk).split(b"\n\n")
        for text in whole:
            frame = dict(line.split(": ", 1) for line in text.decode().splitlines())
            if "data" in frame:
                yield frame


def test_a_consumer_that_polls_hears_a_messages_whole_life(stack: Stack) -> None:
    tag = uuid4().hex
    begin = ask(stack, "limit=1")["latest"]

    sent = stack.post(NUMBER, "a message's whole life", tags=[tag], client_reference="order-7")
    events = follow(stack, begin, f"tags={tag}", "message.delivered")

    assert [event["type"] for event in events] == LIFE
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert {event["data"]["id"] for event in events} == {sent["id"]}
    assert events[-1]["data"]["outcome"] == "delivered"
    assert events[-1]["data"]["client_reference"] == "order-7"
    assert ask(stack, f"after={begin}&tags={tag}")["data"] == events


def test_a_consumer_that_was_away_catches_up_by_its_cursor(stack: Stack) -> None:
    begin = ask(stack, "limit=1")["latest"]
    accepted = stack.send(40)
    stack.wait_until_settled(accepted)
    stack.simulator.wait_until_idle()
    stack.wait_until_tracked()

    lives: dict[str, list[str]] = {message_id: [] for message_id in accepted}
    seqs = []
    after, more = begin, True
    while more:
        page = ask(stack, f"after={after}&limit=17")
        seqs += [event["seq"] for event in page["data"]]
        for event in page["data"]:
            lives.get(event["data"].get("id"), []).append(event["type"])
        after, more = page["next_after"], page["has_more"]

    assert seqs == list(range(begin + 1, after + 1))
    assert {message_id: life for message_id, life in lives.items() if life != LIFE} == {}


def test_a_stream_tells_as_it_happens_and_is_taken_up_again(stack: Stack) -> None:
    tag = uuid4().hex
    begin = ask(stack, "limit=1")["latest"]
    answer = stream(stack, f"after={begin}&tags={tag}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")

    sent = stack.post(NUMBER, "as it happens", tags=[tag])
    live = frames(answer)
    first = [next(live) for _ in range(2)]
    answer.close()
    again = stream(stack, f"after={begin}&tags={tag}", **{"Last-Event-ID": first[-1]["id"]})
    rest = next(frames(again))
    again.close()

    told = [*first, rest]
    assert [frame["event"] for frame in told] == LIFE
    assert [json.loads(frame["data"])["seq"] for frame in told] == [int(frame["id"]) for frame in told]
    assert {json.loads(frame["data"])["data"]["id"] for frame in told} == {sent["id"]}


def test_a_failure_is_told_with_what_to_do(stack: Stack) -> None:
    tag = uuid4().hex
    begin = ask(stack, "limit=1")["latest"]

    stack.post("+15555530003", "to a phone that is off", tags=[tag])
    [failed] = follow(
        stack, begin, f"tags={tag}&types=message.undelivered,message.failed", "message.undelivered"
    )

    assert failed["data"]["error"]["code"] == 30003
    assert failed["data"]["error"]["advice"]


def test_an_inbound_text_is_told(stack: Stack) -> None:
    begin = ask(stack, "limit=1")["latest"]
    body = f"hello {uuid4().hex}"

    stack.simulator.receive(
        {"from": "+15552700009", "to": SENDER, "body": body, "url": stack.url() + "/twilio/inbound"}
    )
    [received] = follow(stack, begin, "types=message.received", "message.received")

    assert (received["data"]["from"], received["data"]["body"]) == ("+15552700009", body)
