"""Subscriptions of the running service: who is told what, how that is signed, and until when."""

import base64
import hashlib
from uuid import uuid4

from standardwebhooks.webhooks import WebhookVerificationError

from tests.support.consumer import Consumer, Seen, accept, refuse
from tests.support.stack import Stack
from tests.support.subscribers import (
    LIFE,
    NUMBER,
    deliveries,
    delivery,
    ended,
    send_example,
    subscription,
    tried,
)


def fits(seen: Seen, secret: str) -> bool:
    """Return whether the request is signed with this secret."""
    try:
        seen.verify(secret)
    except WebhookVerificationError:
        return False
    return True


def test_a_message_is_told_to_whoever_asked_and_to_its_own_address(stack: Stack) -> None:
    with Consumer(accept) as consumer, Consumer(accept) as own, subscription(stack, consumer) as made:
        message = stack.post(NUMBER, "told", callback_url=own.url)
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


def test_each_subscription_is_told_what_it_asked_for_and_nothing_else(stack: Stack) -> None:
    tag = uuid4().hex
    with (
        Consumer(accept) as tagged,
        Consumer(accept) as ends,
        Consumer(accept) as stranger,
        subscription(stack, tagged, tags=[tag]) as of_tagged,
        subscription(
            stack, ends, event_types=["message.delivered"], headers={"X-Gateway": "let me in"}
        ) as of_ends,
        subscription(stack, stranger, tags=[uuid4().hex]) as of_stranger,
    ):
        mine = stack.post(NUMBER, "tagged", tags=[tag, "spring"])["id"]
        plain = stack.post(NUMBER, "not tagged")["id"]
        stack.wait_until(lambda: ended(tagged) == {mine} and {mine, plain} <= ended(ends))

        owed = [
            {(each["message_id"], each["event_type"]) for each in deliveries(stack, made["id"])}
            for made in (of_tagged, of_ends, of_stranger)
        ]
        assert owed[0] == {(mine, kind) for kind in LIFE}
        assert {kind for _, kind in owed[1]} == {"message.delivered"}
        assert owed[2] == set()
        assert {seen.headers["x-gateway"] for seen in ends.seen} == {"let me in"}
        assert not any("x-gateway" in seen.headers for seen in tagged.seen)


def test_a_new_secret_signs_beside_the_former_until_the_overlap_is_over(stack: Stack) -> None:
    with Consumer(accept) as consumer, subscription(stack, consumer, tags=[uuid4().hex]) as made:
        path = f"/sms/subscriptions/{made['id']}"
        secrets = [made["secret"]]
        for overlap_s in (None, 3600, 0):
            if overlap_s is not None:
                rotated = stack.request("POST", f"{path}/rotate", {"overlap_s": overlap_s})
                secrets.append(rotated.json()["secret"])
            told = len(consumer.seen)
            send_example(stack, made)
            stack.wait_until(lambda told=told: len(consumer.seen) > told)  # type: ignore[misc] - a default

        assert [event["example"] for event in consumer.events] == [True] * 3
        assert [{secret for secret in secrets if fits(seen, secret)} for seen in consumer.seen] == [
            {secrets[0]},
            {secrets[0], secrets[1]},
            {secrets[2]},
        ]


def test_an_event_is_told_again_on_request(stack: Stack) -> None:
    with Consumer(accept) as consumer, subscription(stack, consumer, tags=[uuid4().hex]) as made:
        owed = send_example(stack, made)
        tried(stack, owed)

        again = stack.request("POST", f"/sms/deliveries/{owed}/resend")
        stack.wait_until(lambda: delivery(stack, owed)["attempts"] == 2)

        told = delivery(stack, owed)
        assert again.status == 202
        assert [each["status_code"] for each in told["attempt_list"]] == [204, 204]
        assert len({(seen.id, seen.body) for seen in consumer.seen}) == 1
        assert len(consumer.seen) == 2


def test_a_consumer_that_is_gone_is_told_nothing_more_and_others_hear_of_it(stack: Stack) -> None:
    tag = uuid4().hex
    with (
        Consumer(refuse(410)) as gone,
        Consumer(accept) as other,
        subscription(stack, gone, tags=[tag]) as made,
        subscription(stack, other, event_types=["endpoint.disabled"]),
    ):
        send_example(stack, made)
        stack.wait_until(lambda: made["id"] in {event["data"]["subscription_id"] for event in other.events})
        shown = stack.request("GET", f"/sms/subscriptions/{made['id']}").json()
        again = stack.request("POST", f"/sms/subscriptions/{made['id']}/test", {})
        stack.message(stack.post(NUMBER, "nobody is there to hear", tags=[tag])["id"], wait_s=20)

        assert (shown["enabled"], shown["disabled_reason"]) == (False, "gone")
        assert (again.status, again.json()["code"]) == (409, "subscription_disabled")
        assert [each["status_code"] for each in deliveries(stack, made["id"])] == [410]
        assert len(gone.seen) == 1
