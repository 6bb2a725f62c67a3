"""Rows of subscriptions and deliveries as the documents that callers see, and events as consumers get them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy.orm import Session

from smsapp.events import queries as feed
from smsapp.events.payload import render_event
from smsapp.events.types import EventType
from smsapp.ids import inbound_id, prefixed_id, public_id
from smsapp.times import optional_rfc3339, rfc3339
from smsapp.webhooks.models import Subscription, WebhookAttempt, WebhookDelivery
from smsapp.webhooks.rules import DeliveryStatus

HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class EventBody:
    """An event's id and the body of the request that pushes it."""

    event_id: str
    body: bytes

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "EventBody":
        """Return a rendered event as it is sent."""
        return cls(str(document["id"]), orjson.dumps(document))


def event_bodies(session: Session, seqs: Iterable[int]) -> dict[int, EventBody]:
    """Return those of these events that are still stored, by number."""
    return {each.seq: EventBody.of(render_event(each)) for each in feed.numbered(session, sorted(seqs))}


def subscription_view(row: Subscription) -> dict[str, Any]:
    """Return a subscription without its secrets."""
    return {
        "id": prefixed_id("sub", row.id),
        "kind": row.kind,
        "url": row.url,
        "description": row.description,
        "event_types": row.event_types,
        "tags": row.tags,
        "headers": dict.fromkeys(row.headers or {}, HIDDEN),
        "enabled": row.enabled,
        "disabled_at": optional_rfc3339(row.disabled_at),
        "disabled_reason": row.disabled_reason,
        "failures": row.failures,
        "failing_since": optional_rfc3339(row.failing_since),
        "paused_until": optional_rfc3339(row.paused_until),
        "recovering": row.recover_next is not None,
        "former_secret_until": optional_rfc3339(row.former_secret_until),
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


def view_with_secret(row: Subscription) -> dict[str, Any]:
    """Return a subscription that is new or has a new secret, including the secret."""
    return subscription_view(row) | {"secret": row.secret}


def delivery_view(row: WebhookDelivery) -> dict[str, Any]:
    """Return a delivery."""
    about = row.message_id and row.event_type.startswith("message.")
    return {
        "id": prefixed_id("dlv", row.id),
        "subscription_id": prefixed_id("sub", row.subscription_id),
        "event_type": row.event_type,
        "seq": row.seq,
        "message_id": _subject(row) if about else None,
        "url": row.url,
        "status": row.status,
        "attempts": row.attempts,
        "next_attempt_at": optional_rfc3339(row.due_at) if row.status == DeliveryStatus.PENDING else None,
        "status_code": row.status_code,
        "error": row.error,
        "created_at": rfc3339(row.created_at),
        "finished_at": optional_rfc3339(row.finished_at),
    }


def delivery_detail(row: WebhookDelivery, attempts: Sequence[WebhookAttempt]) -> dict[str, Any]:
    """Return a delivery with the requests that were made for it."""
    made = [
        {
            "number": each.number,
            "began_at": rfc3339(each.began_at),
            "duration_ms": each.duration_ms,
            "status_code": each.status_code,
            "error": each.error,
            "response": each.response,
        }
        for each in attempts
    ]
    return delivery_view(row) | {"attempt_list": made}


def _subject(row: WebhookDelivery) -> str | None:
    if row.message_id is None:
        return None
    received = row.event_type == EventType.MESSAGE_RECEIVED
    return inbound_id(row.message_id) if received else public_id(row.message_id)
