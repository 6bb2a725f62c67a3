"""What the service needs from the outside world: a Protocol for each port, and the values that pass through it.

`smsapp/connect.py` builds the real ports; tests provide their own.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy.orm import Session

from smsapp.queue.lanes import Lane
from smsapp.twilio.callback import Callback


class StreamUnavailableError(Exception):
    """Redis did not store or return the entries in time."""


class StreamEntry(NamedTuple):
    """One stream entry; if it cannot be parsed, `callback` is None and `raw` holds its fields."""

    entry_id: str
    callback: Callback | None
    raw: str


class Stream(Protocol):
    """The durable queue that holds verified callbacks from their acknowledgement until their transaction commits."""

    def append(self, callbacks: Sequence[Callback], *, flag: str, flag_ttl_ms: int) -> bool:
        """Add callbacks and set a flag; return whether it was clear, in which case the caller must wake a worker.

        Raises:
            StreamUnavailableError: Redis did not confirm them.
        """

    def read(self, count: int, *, wait: timedelta | None = None) -> list[StreamEntry]:
        """Read up to `count` new entries; if there are none, wait up to `wait` for the first."""

    def reclaim(self, count: int, *, idle: timedelta) -> list[StreamEntry]:
        """Take over up to `count` entries that another consumer read but has not acknowledged for `idle`."""

    def acknowledge(self, entry_ids: Iterable[str]) -> None:
        """Remove entries whose effects are committed."""

    def check(self) -> None:
        """Write something that is forgotten soon.

        Raises:
            RedisError: Redis is away, or refuses to be written to.
        """

    def length(self) -> int:
        """Return how many callbacks wait, including those being processed."""


@dataclass(frozen=True, slots=True)
class PaceRequest:
    """What a drain would submit for one sender: the size of its next message, and the most that it has room for.

    `rate` is in segments per second; `head` and `want` are segments.
    """

    sender: str
    rate: float
    head: int
    want: int


class Pacer(Protocol):
    """The shared clocks of paced senders."""

    def take(self, lane: Lane, asks: Sequence[PaceRequest]) -> dict[str, int]:
        """Return the segments that each sender may submit now; they count as submitted."""

    def settle(self, sender: str, rate: float, segments: int) -> None:
        """Charge this many segments beyond the grant; a negative number gives some back."""

    def behind_s(self, sender: str) -> float:
        """Return for how many seconds the granted segments use up the sender's pace; this grants nothing."""


@dataclass(frozen=True, slots=True)
class ConsumerReply:
    """The result of one request to a consumer. `status` is None when no readable answer came; `error` says why."""

    status: int | None
    duration: timedelta
    response: str | None = None
    error: str | None = None
    retry_after: timedelta | None = None

    @property
    def delivered(self) -> bool:
        """Whether the consumer accepted the event: it answered 2xx, and the whole answer was readable."""
        return self.error is None and self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether the consumer wants no more events."""
        return self.status == 410


class Webhooks(Protocol):
    """The consumers of events."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> ConsumerReply:
        """Make one request; never raises for anything that a consumer or the network does."""


@dataclass(slots=True)
class PendingEvent:
    """An event that consumers get once its transaction has committed.

    The payload is rendered when it is read, from the message and the history entry that `event_seq` names; `data` is
    the payload of events that have neither. `api_key_id` is the key whose application an event without a message is
    for; None for an event that all applications get. `reopens` means that it revokes an outcome that was emitted.
    """

    type: str
    id: UUID
    occurred_at: datetime
    message_id: UUID | None = None
    event_seq: int | None = None
    api_key_id: UUID | None = None
    data: dict[str, Any] | None = None
    reopens: bool = False


class Written(NamedTuple):
    """What a transaction added to the feed: the number of its last event, None for no event, and who gets it pushed."""

    position: int | None
    has_consumers: bool


class Outbox(Protocol):
    """Where events are written, in the transaction of the change that they describe."""

    def write(self, session: Session, events: Sequence[PendingEvent]) -> Written:
        """Number and write events as the last statement before the commit."""


class News(Protocol):
    """Tells the processes in which requests wait what was committed. It carries ids and numbers, no personal data."""

    def publish(self, outcomes: Collection[UUID], position: int | None) -> None:
        """Publish soon that these messages have an outcome, and that the feed reaches up to `position`.

        Returns at once and never raises: whoever is not reached looks at the database.
        """

    def publish_position(self, position: int) -> None:
        """Publish soon how far the feed reaches, as the database says: whoever has heard of less has missed something.

        Returns at once and never raises.
        """
