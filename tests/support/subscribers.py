"""Consumers that subscribe to the running service, and their deliveries as the API shows them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from smsapp.events.types import EventType
from tests.support.consumer import Consumer
from tests.support.stack import Stack

NUMBER = "+14155552671"
LIFE = (EventType.MESSAGE_ACCEPTED, EventType.MESSAGE_SENT, EventType.MESSAGE_DELIVERED)


@contextmanager
def subscription(stack: Stack, consumer: Consumer, **fields: Any) -> Iterator[dict[str, Any]]:
    """Subscribe a consumer for the duration of the test."""
    answer = stack.request("POST", "/sms/subscriptions", {"url": consumer.url, **fields})
    assert answer.status == 201, answer.data
    made = answer.json()
    try:
        yield made
    finally:
        stack.request("DELETE", f"/sms/subscriptions/{made['id']}")


def send_example(stack: Stack, made: dict[str, Any]) -> str:
    """Queue an example event for a subscription, and return the delivery's id."""
    answer = stack.request("POST", f"/sms/subscriptions/{made['id']}/test", {})
    assert answer.status == 202, answer.data
    return str(answer.json()["id"])


def delivery(stack: Stack, delivery_id: str) -> dict[str, Any]:
    """Return a delivery with its attempts."""
    document: dict[str, Any] = stack.request("GET", f"/sms/deliveries/{delivery_id}").json()
    return document


def deliveries(stack: Stack, subscription_id: str) -> list[dict[str, Any]]:
    """Return a subscription's deliveries, newest first."""
    page = stack.request("GET", f"/sms/subscriptions/{subscription_id}/deliveries?limit=200").json()
    assert not page["has_more"]
    found: list[dict[str, Any]] = page["data"]
    return found


def tried(stack: Stack, delivery_id: str) -> dict[str, Any]:
    """Return a delivery as soon as its first attempt has ended."""
    stack.wait_until(lambda: bool(delivery(stack, delivery_id)["attempts"]))
    return delivery(stack, delivery_id)


def ended(consumer: Consumer) -> set[str]:
    """Return the messages whose final event the consumer has received; a late `sent` is never pushed."""
    return {event["data"]["id"] for event in consumer.events if event["type"] == EventType.MESSAGE_DELIVERED}
