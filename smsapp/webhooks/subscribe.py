"""Create a subscription, once per Idempotency-Key, with a secret that is shown once."""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from smsapp.audit import queries as audit
from smsapp.audit.rules import Act
from smsapp.db.idempotency import Answered, IdempotentRequest, answer_once
from smsapp.ids import prefixed_id
from smsapp.runtime import Runtime
from smsapp.webhooks import subscription_queries as subscriptions
from smsapp.webhooks.models import Subscription
from smsapp.webhooks.rules import SubscriptionDraft, origin_of, written_secret

_KEY_BYTES = 32
"""Bytes, within the 24 to 64 that Standard Webhooks asks for."""

Render = Callable[[Subscription], dict[str, Any]]


class SubscriptionNotFoundError(Exception):
    """There is no such subscription, or it was deleted."""


def subscribe(
    rt: Runtime,
    draft: SubscriptionDraft,
    *,
    api_key_id: UUID,
    render: Render,
    request: IdempotentRequest | None = None,
) -> Answered:
    """Create a subscription to all events from now on.

    Raises:
        IdempotencyKeyReusedError: the key was used for another request.
    """
    now = rt.clock()

    def add(session: Session) -> dict[str, Any]:
        secret = new_secret()
        made = subscriptions.add(session, draft, secret=secret, api_key_id=api_key_id, now=now)
        _record(session, Act.SUBSCRIPTION_CREATED, made.id, now=now)
        return render(made)

    return answer_once(rt.sessions, request, add, now=now)


def rotate_secret(
    rt: Runtime, application_id: UUID, subscription_id: UUID, *, overlap: timedelta, render: Render
) -> dict[str, Any]:
    """Give a subscription a new secret; until the overlap ends, the former one signs as well.

    Raises:
        SubscriptionNotFoundError: the application has none of this id.
    """
    now = rt.clock()
    with rt.transaction() as tx:
        found = subscriptions.subscribed(tx.session, application_id, subscription_id)
        if found is None:
            raise SubscriptionNotFoundError
        found.former_secret, found.former_secret_until = found.secret, now + overlap
        found.secret = new_secret()
        found.updated_at = now
        _record(tx.session, Act.SECRET_ROTATED, found.id, now=now)
        return render(found)


def change_subscription(
    rt: Runtime, application_id: UUID, subscription_id: UUID, values: Mapping[str, Any], *, render: Render
) -> dict[str, Any]:
    """Change a subscription; re-enabling one resets its health, and another origin gets none of its stored headers.

    Headers and secrets can be written and never be read; whoever could send them to an address of its own would read
    them. So headers are kept only while the origin stays, unless the change brings its own.

    Raises:
        SubscriptionNotFoundError: the application has none of this id.
    """
    with rt.transaction() as tx:
        found = subscriptions.subscribed(tx.session, application_id, subscription_id)
        if found is None:
            raise SubscriptionNotFoundError
        changes = dict(values)
        if (
            "url" in changes
            and "headers" not in changes
            and origin_of(changes["url"]) != origin_of(found.url)
        ):
            changes["headers"] = None
        if changes.get("enabled") and not found.enabled:
            changes |= {**subscriptions.HEALTHY, "disabled_at": None, "disabled_reason": None}
        elif changes.get("enabled") is False and found.enabled:
            changes |= {"disabled_at": rt.clock(), "disabled_reason": "by_caller"}
        for name, value in changes.items():
            setattr(found, name, value)
        found.updated_at = rt.clock()
        # Names alone: an address and its headers may hold secrets.
        _record(tx.session, Act.SUBSCRIPTION_CHANGED, found.id, now=rt.clock(), changed=sorted(values))
        return render(found)


def unsubscribe(rt: Runtime, application_id: UUID, subscription_id: UUID) -> None:
    """Delete a subscription: its pending deliveries are dropped and its secrets erased.

    Raises:
        SubscriptionNotFoundError: the application has none of this id.
    """
    with rt.transaction() as tx:
        found = subscriptions.subscribed(tx.session, application_id, subscription_id)
        if found is None:
            raise SubscriptionNotFoundError
        found.enabled, found.deleted_at = False, rt.clock()
        found.secret, found.former_secret, found.headers = "", None, None
        _record(tx.session, Act.SUBSCRIPTION_DELETED, found.id, now=rt.clock())


def new_secret() -> str:
    """Return a secret in the form of Standard Webhooks."""
    return written_secret(secrets.token_bytes(_KEY_BYTES))


def _record(session: Session, act: Act, subscription_id: UUID, *, now: datetime, **details: Any) -> None:
    session.flush()
    audit.record(session, act, prefixed_id("sub", subscription_id), now=now, details=details or None)
