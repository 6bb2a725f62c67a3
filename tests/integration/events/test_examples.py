"""An example of an event has the shape of a real one."""

from typing import Any
from uuid import UUID

import pytest

from smsapp.db.sessions import reading
from smsapp.events import queries as feed
from smsapp.events.examples import example_of
from smsapp.events.payload import render_event
from smsapp.events.types import EventType
from smsapp.ids import new_id
from smsapp.keys.models import DEFAULT_APPLICATION
from smsapp.runtime import Runtime
from smsapp.submission.send import send_messages
from smsapp.webhooks.record import disable
from tests.support.callbacks import callback, raw_callback, receive
from tests.support.fakes import START
from tests.support.messages import Accept

STOP = "MessageSid=SM" + "5" * 32 + "&From=%2B14155550100&To=%2B15005550006&Body=STOP&OptOutType=STOP"
START_AGAIN = (
    "MessageSid=SM" + "6" * 32 + "&From=%2B14155550100&To=%2B15005550006&Body=START&OptOutType=START"
)


def shape(event: dict[str, Any]) -> dict[str, Any]:
    """Return the names in an event, two levels deep, but for what marks an example."""
    return {
        name: set(value) if name == "data" else None for name, value in event.items() if name != "example"
    }


def test_examples_are_rendered_as_real_events_are(rt: Runtime, accept: Accept) -> None:
    plan = {"steps": [{"on": ["any"], "do": "request_fallback"}]}
    failed, delivered = accept(on_failure=plan), accept("+14155552672")
    send_messages(rt)
    receive(rt, callback(rt, failed, "sent"), callback(rt, failed, "undelivered", ErrorCode="30003"))
    receive(rt, callback(rt, delivered, "delivered"))
    receive(rt, raw_callback(rt, None, STOP, kind="inbound"))
    receive(rt, raw_callback(rt, None, START_AGAIN, kind="inbound"))
    with rt.transaction() as tx:
        disable(tx, UUID(int=1), "https://example.com/", "failing", now=rt.clock())

    with reading(rt.sessions) as session:
        told = [
            render_event(each)
            for each in feed.between(session, DEFAULT_APPLICATION, after=0, until=10**9, limit=1000)
        ]
    events = {event["type"]: event for event in told}

    assert {str(kind) for kind in EventType} - set(events) <= {
        "message.canceled",
        "message.failed",
        "message.unconfirmed",
        "message.revised",
        "message.deadline_missed",
        "job.completed",  # compared where jobs are tested
        "recipient.opted_in",  # told as an opt-out is
    }
    for kind, event in events.items():
        assert shape(example_of(EventType(kind), id=new_id(), now=rt.clock())) == shape(event)


@pytest.mark.parametrize("kind", EventType)
def test_an_example_says_that_it_is_one(kind: EventType) -> None:
    example = example_of(kind, id=UUID(int=1), now=START)
    assert (example["type"], example["example"], example["seq"]) == (kind, True, 0)
