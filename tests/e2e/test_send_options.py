"""Options of a request to send, through the running service and the simulated Twilio."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import urllib3
from sqlalchemy import select

from smsapp.breakers import queries as breakers
from smsapp.db.base import Base
from smsapp.events.models import OutboxEvent
from smsapp.ids import parse_public_id
from tests.support.environment import ACCOUNT_SID, AUTH_TOKEN, SENDER
from tests.support.stack import Stack

NUMBER = "+14155552671"


def in_seconds(seconds: float) -> str:
    """Return that time as a caller writes it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def told(stack: Stack, message_id: str) -> list[str]:
    """Return the types of the events that consumers hear of a message, in order."""
    mine = select(OutboxEvent.type).where(OutboxEvent.message_id == parse_public_id(message_id))
    with stack.database() as session:
        return list(session.scalars(mine.order_by(OutboxEvent.seq)))


def at_twilio(stack: Stack, body: str) -> int:
    """Return how many texts with this body Twilio accepted."""
    return sum(entry["body"] == body for entry in stack.ledger())


def test_a_text_for_later_goes_out_then_and_not_before(stack: Stack) -> None:
    send_at = datetime.now(UTC) + timedelta(seconds=2)

    accepted = stack.post(NUMBER, "for later", send_at=send_at.isoformat())
    message = stack.message(accepted["id"], wait_s=20)

    assert message["status"] == "delivered"
    assert datetime.fromisoformat(message["submitted_at"]) >= send_at
    assert at_twilio(stack, "for later") == 1


def test_a_text_is_made_of_a_template_and_sent(stack: Stack) -> None:
    name = f"single-{stack.kind}"
    stack.request("POST", "/sms/templates", {"name": name, "body": "from a template: {{code}}"})
    key = {"Idempotency-Key": f"template-{stack.kind}"}
    document = {"to": NUMBER, "template": name, "values": {"code": 123}}

    first, again = (stack.request("POST", "/sms/send", document, headers=key) for _ in range(2))
    message = stack.message(first.json()["id"], wait_s=20)

    assert (first.status, again.status, again.json()) == (202, 202, first.json())
    assert (message["status"], message["body"]) == ("delivered", "from a template: 123")
    assert at_twilio(stack, "from a template: 123") == 1


def test_a_text_is_canceled_before_its_time_and_never_sent(stack: Stack) -> None:
    accepted = stack.post(NUMBER, "canceled in time", send_at=in_seconds(1))
    follower = stack.post(NUMBER, "its follower", send_at=in_seconds(1.5))

    answer = stack.request("POST", f"/sms/messages/{accepted['id']}/cancel")
    stack.message(follower["id"], wait_s=20)

    assert (answer.status, answer.json()["status"]) == (200, "canceled")
    assert stack.message(accepted["id"])["status"] == "canceled"
    assert at_twilio(stack, "canceled in time") == 0
    again = stack.request("POST", f"/sms/messages/{accepted['id']}/cancel")
    assert (again.status, again.json()["finished_at"]) == (200, answer.json()["finished_at"])


def test_a_text_that_twilio_has_queued_can_no_longer_be_canceled(stack: Stack) -> None:
    accepted = stack.post(NUMBER, "too late to cancel")
    stack.message(accepted["id"], wait_s=20)

    answer = stack.request("POST", f"/sms/messages/{accepted['id']}/cancel")

    assert (answer.status, answer.json()["code"]) == (409, "too_late_to_cancel")


def test_a_dry_run_says_what_would_be_and_sends_nothing(stack: Stack) -> None:
    document = {"to": NUMBER, "body": "only a dry run \u2013 really", "dry_run": True}

    answer = stack.request("POST", "/sms/send", document)
    stack.message(stack.post(NUMBER, "after the dry run")["id"], wait_s=20)

    said = answer.json()
    assert (answer.status, said["verdict"], said["country"], said["price"]) == (200, "pass", "US", None)
    assert (said["encoding"], said["segments"]) == ("UCS-2", 1)
    assert said["offending_characters"] == [
        {"character": "\u2013", "code_point": "U+2013", "positions": [15]}
    ]
    assert at_twilio(stack, document["body"]) == 0
    assert all(row.body != document["body"] for row in stack.rows().values())


def test_a_parked_text_ends_at_its_deadline_and_that_is_told(stack: Stack) -> None:
    sender, now = "+15005550013", datetime.now(UTC)
    with stack.sessions.begin() as session:
        later = now + timedelta(hours=1)
        breakers.trip(session, sender, parked=True, error_code=21660, reason="x", now=now, probe_at=later)

    accepted = stack.post(NUMBER, "parked", deliver_by=in_seconds(1), **{"from": sender})
    message = stack.message(accepted["id"], wait_s=20)
    with stack.sessions.begin() as session:
        breakers.release(session, sender)

    assert (message["status"], message["error"]["code"]) == ("failed", 5)
    assert at_twilio(stack, "parked") == 0
    assert told(stack, accepted["id"]) == ["message.accepted", "message.failed", "message.deadline_missed"]


def test_a_text_that_is_not_there_in_time_is_told_and_goes_on(stack: Stack) -> None:
    accepted = stack.post("+15552490007", "not there in time", deliver_by=in_seconds(1.5))  # stuck in sent

    stack.wait_until(lambda: "message.deadline_missed" in told(stack, accepted["id"]))

    assert told(stack, accepted["id"]) == ["message.accepted", "message.sent", "message.deadline_missed"]
    assert stack.message(accepted["id"])["status"] == "sent"


def test_a_sensitive_text_is_gone_here_and_at_twilio(stack: Stack) -> None:
    secret = f"sensitive {uuid4().hex}"
    headers = {"Idempotency-Key": secret[-20:]}
    document = {"to": NUMBER, "body": secret, "sensitive": True}

    accepted = stack.request("POST", "/sms/send", document, headers=headers).json()
    message = stack.message(accepted["id"], wait_s=20)
    stack.wait_until(lambda: stack.message(accepted["id"])["redacted_at"] is not None)

    assert (message["status"], message["body"]) == ("delivered", None)
    assert at_twilio(stack, secret) == 1  # the ledger remembers what was sent
    path = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{message['twilio_sid']}.json"
    basic = urllib3.make_headers(basic_auth=f"{ACCOUNT_SID}:{AUTH_TOKEN}")
    shown = urllib3.request("GET", stack.url("simulator") + path, headers=basic).json()
    assert (shown["status"], shown["body"]) == ("delivered", "")
    with stack.database() as session:
        for table in Base.metadata.sorted_tables:
            assert all(secret not in str(tuple(row)) for row in session.execute(select(table)))
    assert all(secret not in text for text in stack.logs().values())


def test_a_plan_is_followed_to_another_sender_another_channel_and_the_fallback(stack: Stack) -> None:
    filtered = "+15552430007"
    plan = {
        "steps": [
            {"on": ["content"], "do": "resend", "from": "+15005550014"},
            {"on": ["30007"], "do": "resend", "channel": "whatsapp", "from": "+15005550015"},
            {"on": ["any"], "do": "request_fallback"},
        ]
    }

    accepted = stack.post(filtered, "by plan", on_failure=plan)
    stack.wait_until(lambda: "fallback.requested" in told(stack, accepted["id"]))

    message = stack.message(accepted["id"])
    sent = [entry for entry in stack.ledger() if entry["body"] == "by plan"]
    assert [(entry["to"], entry["from"]) for entry in sent] == [
        (filtered, SENDER),
        (filtered, "+15005550014"),
        (f"whatsapp:{filtered}", "whatsapp:+15005550015"),
    ]
    assert (message["status"], message["error"]["code"], message["attempt"]) == ("undelivered", 30007, 3)
    steps = [
        (event["reason"], event["payload"]["step"], event["payload"]["class"])
        for event in stack.events(accepted["id"])
        if event["reason"] in {"plan_resend", "plan_fallback"}
    ]
    assert steps == [
        ("plan_resend", 1, "content"),
        ("plan_resend", 2, "content"),
        ("plan_fallback", 3, "content"),
    ]
