"""When to try again, and when to stop: pure functions of the attempt, the clock and a random number.

Delays live in the message's row (`due_at`), never in the queue, so they survive a lost broker. Everything here applies
to requests that Twilio certainly did not process. A request that may have been processed is never retried on a timer,
but looked up first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from types import MappingProxyType

FLOOR = timedelta(milliseconds=100)  # full jitter may draw 0, and an instant retry meets the same fault
MAX_RETRY_AFTER = timedelta(hours=1)  # too early a retry is only refused; an absurd wait loses the message


class Wait(StrEnum):
    """Why a message waits for its next attempt."""

    THROTTLED = "throttled"
    SENDER_QUEUE_FULL = "sender_queue_full"
    NOT_SENT = "not_sent"
    PARKED = "parked"
    REFUSED_ALONE = "refused_alone"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patiently one kind of fault is retried."""

    base: timedelta  # the longest wait before the first retry; doubles with every further one
    cap: timedelta  # the longest wait ever drawn
    max_age: timedelta  # counted from the message's creation; after that we give up
    max_attempts: int | None = None  # None: as many as fit into that age


POLICIES: Mapping[Wait, RetryPolicy] = MappingProxyType(
    {
        # 20429, too many concurrent requests: over as soon as others finish.
        Wait.THROTTLED: RetryPolicy(timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)),
        # 21611: the sender's queue holds ten hours of traffic and drains slowly, at the sender's own rate.
        Wait.SENDER_QUEUE_FULL: RetryPolicy(timedelta(seconds=30), timedelta(minutes=15), timedelta(days=1)),
        # DNS, connect or TLS failure: a blip or an outage, on either side.
        Wait.NOT_SENT: RetryPolicy(timedelta(seconds=1), timedelta(minutes=5), timedelta(days=1)),
        # A parked scope: somebody must fix the account or sender first, perhaps not before the weekend is over.
        Wait.PARKED: RetryPolicy(timedelta(seconds=15), timedelta(minutes=10), timedelta(days=3)),
        # Twilio refuses the account for one message, but not when asked for the account itself. A token that was just
        # rotated looks so for seconds, until all of Twilio knows it; after that it is the message's own fault.
        Wait.REFUSED_ALONE: RetryPolicy(
            timedelta(seconds=10), timedelta(minutes=1), timedelta(days=1), max_attempts=3
        ),
    }
)


def backoff(attempt: int, *, base: timedelta, cap: timedelta, rng: Callable[[], float]) -> timedelta:
    """Return the wait after the given number of attempts (1 or more): exponential, with full jitter.

    A draw between FLOOR and min(cap, base * 2 ** (attempt - 1)), where `rng` returns a number in [0, 1). Jitter over
    the whole interval spreads requests that failed together, which costs the fewest calls in total. Source:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    # Floats with a bounded exponent: timedelta would overflow long before the attempts end.
    ceiling_s = min(cap.total_seconds(), base.total_seconds() * 2.0 ** min(attempt - 1, 64))
    return max(FLOOR, timedelta(seconds=rng() * ceiling_s))


def retry_after(value: str | None, *, now: datetime) -> timedelta | None:
    """Return the wait that a Retry-After header asks for, at least zero; None if it is missing or malformed.

    Source: RFC 9110 §10.2.3, which allows whole seconds or an HTTP date (§5.6.7, always UTC).
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=int(text)) if len(text) <= 9 else None  # ten digits are centuries
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(timedelta(), aware - now)


def next_due(
    policy: RetryPolicy,
    *,
    attempt: int,
    now: datetime,
    created_at: datetime,
    deliver_by: datetime | None,
    retry_after: timedelta | None,
    rng: Callable[[], float],
) -> datetime | None:
    """Return when to try again after `attempt` attempts, or None to give up.

    We give up after `max_attempts`, or when the next try would come after `created_at` + `max_age` or `deliver_by`. We
    wait for the server's Retry-After in full, up to MAX_RETRY_AFTER, plus the jitter of a first retry: otherwise all
    requests that got the same value would return at once.
    """
    if policy.max_attempts is not None and attempt >= policy.max_attempts:
        return None
    if retry_after is None:
        wait = backoff(attempt, base=policy.base, cap=policy.cap, rng=rng)
    else:
        wait = min(retry_after, MAX_RETRY_AFTER) + backoff(1, base=policy.base, cap=policy.cap, rng=rng)
    due = now + wait
    last = created_at + policy.max_age
    if deliver_by is not None:
        last = min(last, deliver_by)
    return due if due <= last else None
