"""A text that somebody sends to us is stored, and answered with TwiML that says nothing."""

import time

from sqlalchemy import select

from smsapp.inbound.models import InboundMessage
from tests.support.environment import SENDER
from tests.support.stack import Stack

PHONE = "+15552700001"


def stored(stack: Stack, twilio_sid: str) -> InboundMessage | None:
    """Return the stored text once it is there; it is written by a worker."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with stack.database() as session:
            query = select(InboundMessage).where(InboundMessage.twilio_sid == twilio_sid)
            if found := session.scalars(query).one_or_none():
                return found
        time.sleep(0.05)
    return None


def test_an_inbound_text_is_stored_and_answered_with_empty_twiml(stack: Stack) -> None:
    answer = stack.simulator.receive(
        {"from": PHONE, "to": SENDER, "body": "Hello\nthere 👋", "url": stack.url() + "/twilio/inbound"}
    )

    found = stored(stack, answer["message_sid"])

    assert (answer["status"], answer["content_type"].partition(";")[0]) == (200, "text/xml")
    assert answer["body"].endswith("<Response/>")
    assert found is not None
    assert (found.sender, found.to, found.body) == (PHONE, SENDER, "Hello\nthere 👋")


def test_an_inbound_text_that_twilio_repeats_is_stored_once(stack: Stack) -> None:
    text = {"from": PHONE, "to": SENDER, "body": "twice", "url": stack.url() + "/twilio/inbound"}
    first = stack.simulator.receive(text)

    second = stack.simulator.receive({**text, "message_sid": first["message_sid"]})

    assert (first["status"], second["status"]) == (200, 200)
    assert stored(stack, first["message_sid"]) is not None
