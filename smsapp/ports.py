"""What the service needs of the outside world: a Protocol for each port, and the values that pass through it.

The real ports are built by composition (`smsapp/connect.py`); tests bring their own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy.orm import Session

from smsapp.queue.lanes import Lane
from smsapp.twilio.callback import Callback


class StreamUnavailableError(Exception):
    """Redis did not take or give the entries in time."""


class StreamEntry(NamedTuple):
    """One stream entry; `callback` is None when it cannot be read, and then `raw` has it as it is."""

    entry_id: str
    callback: Callback | None
    raw: str


class Stream(Protocol):
    """The durable queue of verified callbacks between their acknowledgement and their transaction."""

    def append(self, callbacks: Sequence[Callback], *, flag: str, flag_ttl_ms: int) -> bool:
        """Add callbacks and raise a flag; return whether it was down, so that somebody must be woken.

        Raises:
            StreamUnavailableError: they are not confirmed.
        """

    def read(self, count: int, *, wait: timedelta | None = None) -> list[StreamEntry]:
        """Take up to `count` entries that no consumer has had yet; without any, wait so long for the first."""

    def reclaim(self, count: int, *, idle: timedelta) -> list[StreamEntry]:
        """Take over up to `count` entries that a consumer took and did not acknowledge for so long."""

    def acknowledge(self, entry_ids: Iterable[str]) -> None:
        """Forget entries whose effects are committed."""

    def length(self) -> int:
        """Return how many callbacks wait, those being processed included."""


@dataclass(frozen=True, slots=True)
class PaceRequest:
    """What a drain would hand over by one sender: the size of its next message, and the most it has room for.

    `rate` is in segments per second; `head` and `want` are segments.
    """

    sender: str
    rate: float
    head: int
    want: int


class Pacer(Protocol):
    """The clocks of paced senders."""

    def take(self, lane: Lane, asks: Sequence[PaceRequest]) -> dict[str, int]:
        """Return the segments that each sender may hand over now; they count as handed over."""

    def settle(self, sender: str, rate: float, segments: int) -> None:
        """Count so many segments more than were granted; fewer than zero gives some back."""

    def behind_s(self, sender: str) -> float:
        """Return for how many seconds what was handed over already fills the sender's pace; nothing is taken."""


@dataclass(frozen=True, slots=True)
class ConsumerReply:
    """What came of one request to a consumer. `status` is None when no readable answer came; `error` says why."""

    status: int | None
    duration: timedelta
    response: str | None = None
    error: str | None = None
    retry_after: timedelta | None = None

    @property
    def delivered(self) -> bool:
        """Whether the consumer has the event: it said so with a 2xx, and the whole answer was readable."""
        return self.error is None and self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether the consumer wants nothing more."""
        return self.status == 410


class Webhooks(Protocol):
    """The consumers of events."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> ConsumerReply:
        """Make one request; never raises for anything that a consumer or the network does."""


@dataclass(slots=True)
class PendingEvent:
    """An event that consumers hear of once its transaction is committed.

    The payload is rendered when it is read, from the message and the history entry that `event_seq` names; `data` is
    the payload of events that have neither. `reopens` takes back an outcome that was told before.
    """

    type: str
    id: UUID
    occurred_at: datetime
    message_id: UUID | None = None
    event_seq: int | None = None
    data: dict[str, Any] | None = None
    reopens: bool = False


class Outbox(Protocol):
    """Where events are written, in the transaction of the change that they tell of."""

    def write(self, session: Session, events: Sequence[PendingEvent]) -> bool:
        """Number and write events as the last statement before the commit; return whether anybody listens."""
