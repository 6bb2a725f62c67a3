"""Rules of pushing: what a consumer's response means, when to retry, and when to back off or give up."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from smsapp.ports import ConsumerReply

SCHEDULE = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=10),
)
"""Delays between the tries of one delivery: the example of https://www.standardwebhooks.com, 27 hours in all."""

JITTER = 0.2
MAX_RETRY_AFTER = timedelta(hours=1)
"""The longest Retry-After that is obeyed: one absurd header would otherwise silence a consumer for good."""

DISABLE_AFTER = timedelta(days=5)
BREAKER_THRESHOLD = 5
"""After this many failures in a row, the consumer gets one request at a time, with pauses in between."""

EVENT_FORGOTTEN = "event_forgotten"
"""A delivery that is pending for longer than events are kept can no longer be sent."""

_FIRST_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class SubscriptionDraft:
    """A valid subscription request; None means every type, any tag, or no headers."""

    url: str
    event_types: Sequence[str] | None = None
    tags: Sequence[str] | None = None
    headers: Mapping[str, str] | None = None
    description: str | None = None


class DeliveryStatus(StrEnum):
    """The state of one event's delivery to one consumer."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class SubscriptionKind(StrEnum):
    """What a subscription stands for: one that a caller made, or the host of messages' `callback_url`s."""

    SUBSCRIPTION = "subscription"
    CALLBACK = "callback"


@dataclass(frozen=True, slots=True)
class ConsumerHealth:
    """A consumer's health: failures in a row, since when, and until when it gets no requests."""

    failures: int = 0
    failing_since: datetime | None = None
    paused_until: datetime | None = None

    @property
    def is_probed(self) -> bool:
        """Whether the consumer gets only one request at a time."""
        return self.failures >= BREAKER_THRESHOLD

    def is_given_up(self, now: datetime) -> bool:
        """Return whether the consumer has failed for so long that it is presumed gone."""
        return self.failing_since is not None and now - self.failing_since >= DISABLE_AFTER


@dataclass(frozen=True, slots=True)
class Consumer:
    """A destination of events. The first secret is the current one; during a rotation the former signs, too."""

    id: UUID
    kind: SubscriptionKind
    url: str
    secrets: tuple[str, ...] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    health: ConsumerHealth


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that is due. `url` is the message's own `callback_url`, `payload` that of an example."""

    id: UUID
    subscription_id: UUID
    seq: int | None
    message_id: UUID | None
    url: str | None
    step: int
    attempts: int
    due_at: datetime
    payload: dict[str, Any] | None = field(default=None, repr=False)


def written_secret(key: bytes) -> str:
    """Return a key in the form of Standard Webhooks.

    Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    return f"whsec_{base64.b64encode(key).decode()}"


def origin_of(url: str) -> str:
    """Return scheme, host and port of a valid URL, which identify one consumer."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def next_try(
    step: int, *, now: datetime, retry_after: timedelta | None, rng: Callable[[], float]
) -> datetime | None:
    """Return when to retry after `step` + 1 tries, or None when that was the last one.

    The consumer's Retry-After wins where it is longer, up to MAX_RETRY_AFTER. `rng` returns a number in [0, 1).
    """
    if step >= len(SCHEDULE):
        return None
    asked = min(retry_after or timedelta(), MAX_RETRY_AFTER)
    return now + max(_jittered(SCHEDULE[step], rng), asked)


def after_reply(
    health: ConsumerHealth, reply: ConsumerReply, *, now: datetime, rng: Callable[[], float]
) -> ConsumerHealth:
    """Return the consumer's health after this response.

    Responses during a pause belong to requests from before it: failures among them say nothing new.
    """
    if reply.delivered:
        return ConsumerHealth()
    paused = health.paused_until is not None and health.paused_until > now
    failures = health.failures if paused else health.failures + 1
    pause = _pause(failures, rng) if not paused else timedelta()
    if reply.retry_after:
        pause = max(pause, min(reply.retry_after, MAX_RETRY_AFTER))
    until = max(now + pause, health.paused_until or now)
    return ConsumerHealth(failures, health.failing_since or now, until if until > now else None)


def _pause(failures: int, rng: Callable[[], float]) -> timedelta:
    if failures < BREAKER_THRESHOLD:
        return timedelta()
    doublings = min(failures - BREAKER_THRESHOLD, 16)
    return _jittered(min(_FIRST_PAUSE * 2**doublings, _LONGEST_PAUSE), rng)


def _jittered(span: timedelta, rng: Callable[[], float]) -> timedelta:
    """Return the span with ±20 % jitter: consumers that failed together must not come back together."""
    return span * (1 - JITTER + 2 * JITTER * rng())
