"""The messages that the simulated account holds, and their JSON as Twilio writes it."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from simulator.callback_url import CallbackTarget
from simulator.drafts import Draft, Media
from simulator.errors import DELIVERY_FAILURES
from simulator.segments import count_segments

API = "/2010-04-01/Accounts"
API_VERSION = "2010-04-01"
PRICE_PER_SEGMENT = -0.0075

WITHOUT_SENDER = frozenset({"accepted", "scheduled", "canceled"})
IN_PROGRESS = frozenset({"accepted", "scheduled", "queued", "sending"})
BILLED = frozenset({"delivered", "undelivered"})


@dataclass(slots=True)
class CallbackRecord:
    """One callback in the ledger. `at` is when it was first posted, or should have been; in epoch seconds.

    `outcome`: pending, then delivered (2xx), refused (another status), unreachable (no status), lost (never
    posted on purpose), duplicate (the second of two copies, whatever its answer) or forged (signed wrongly).
    """

    status: str
    at: float
    error_code: int | None = None
    outcome: str = "pending"
    http_status: int | None = None
    attempts: int = 0


@dataclass(slots=True)
class MediaItem:
    """One Media subresource of a message."""

    sid: str
    media: Media


@dataclass(slots=True)
class Message:
    """One message. `sequence` is its place in the account; times are epoch seconds.

    `answered` tells whether the client got a proper 201, `listed` whether reading the API shows the message. The price
    shows `price_after_s` after the final status: Twilio fills it in late.
    """

    sid: str
    sequence: int
    draft: Draft
    sender: str
    status: str
    created_at: float
    updated_at: float
    outcome: str
    num_segments: int
    target: CallbackTarget | None = None
    sent_at: float | None = None
    error_code: int | None = None
    price_after_s: float = 0.0
    priced_at: float | None = None
    direction: str = "outbound-api"
    answered: bool = False
    listed: bool = True
    redacted: bool = False
    deleted: bool = False
    has_sender: bool = True
    feedback: str | None = None
    media: list[MediaItem] = field(default_factory=list)
    callbacks: list[CallbackRecord] = field(default_factory=list)

    @property
    def from_(self) -> str | None:
        """The sender, None while a Messaging Service has not picked one."""
        return self.sender if self.has_sender else None

    @property
    def price(self) -> str | None:
        """The price, None until the message shows one, if it ever does: what failed costs nothing."""
        if self.priced_at is None or time.time() < self.priced_at:
            return None
        return f"{PRICE_PER_SEGMENT * self.num_segments:.5f}"

    def advance(self, status: str, error_code: int | None, *, now: float) -> None:
        """Change the status, and what Twilio changes with it."""
        self.status, self.error_code, self.updated_at = status, error_code, now
        if status not in WITHOUT_SENDER:
            self.has_sender = True
        if status == "sent":
            self.sent_at = now
        if status in BILLED:
            self.priced_at = now + self.price_after_s


class MessageStore:
    """All messages of the account, in order of creation."""

    def __init__(self, account_sid: str) -> None:
        self.account_sid = account_sid
        self.clear()

    def clear(self) -> None:
        """Remove every message and every attempt."""
        self._all: list[Message] = []
        self._by_sid: dict[str, Message] = {}
        self._by_to: dict[str, list[Message]] = {}
        self._attempts: Counter[tuple[str, str]] = Counter()
        self.accepted: list[Message] = []

    def count_attempt(self, draft: Draft) -> int:
        """Return how many creates of this text to this number there have been, this one included."""
        key = draft.to, draft.body
        self._attempts[key] += 1
        return self._attempts[key]

    def accept(
        self, draft: Draft, *, sender: str, outcome: str, target: CallbackTarget | None, now: float
    ) -> Message:
        """Add an outbound message in its initial status."""
        status = "queued"
        if draft.messaging_service_sid:
            status = "scheduled" if draft.send_at else "accepted"
        message = self._add(draft, sender=sender, status=status, outcome=outcome, now=now)
        message.has_sender = not draft.messaging_service_sid
        message.target = target
        self.accepted.append(message)
        return message

    def receive(self, draft: Draft, *, now: float) -> Message:
        """Add an inbound message; its `draft` is seen from the phone that wrote it."""
        message = self._add(draft, sender=draft.from_ or "", status="received", outcome="received", now=now)
        message.direction, message.sent_at = "inbound", now
        return message

    def find(self, sid: str) -> Message | None:
        """Return the message, None when there is none or it is deleted."""
        message = self._by_sid.get(sid)
        return None if message is None or message.deleted else message

    def scan(
        self, *, to: str | None = None, before: int | None = None, after: int | None = None
    ) -> Iterator[Message]:
        """Yield the visible messages: newest first up to `before`, or oldest first from `after`."""
        candidates = self._all if to is None else self._by_to.get(to, [])
        for message in reversed(candidates) if after is None else candidates:
            in_range = before is None or message.sequence < before
            if (
                in_range
                and (after is None or message.sequence > after)
                and message.listed
                and not message.deleted
            ):
                yield message

    def accepted_for(self, to: str) -> list[Message]:
        """Return every outbound message to a number, also those that no list shows."""
        return [message for message in self._by_to.get(to, ()) if message.direction == "outbound-api"]

    def _add(self, draft: Draft, *, sender: str, status: str, outcome: str, now: float) -> Message:
        message = Message(
            sid=("MM" if draft.as_mms or draft.media else "SM") + os.urandom(16).hex(),
            sequence=len(self._all),
            draft=draft,
            sender=sender,
            status=status,
            created_at=now,
            updated_at=now,
            outcome=outcome,
            num_segments=1 if draft.as_mms else count_segments(draft.body),
            media=[MediaItem("ME" + os.urandom(16).hex(), media) for media in draft.media],
        )
        self._all.append(message)
        self._by_sid[message.sid] = message
        self._by_to.setdefault(draft.to, []).append(message)
        return message


def to_twilio(message: Message, account_sid: str) -> dict[str, object]:
    """Return the Message resource: https://www.twilio.com/docs/messaging/api/message-resource."""
    uri = f"{API}/{account_sid}/Messages/{message.sid}"
    return {
        "account_sid": account_sid,
        "api_version": API_VERSION,
        "body": "" if message.redacted else message.draft.body,
        "date_created": rfc2822(int(message.created_at)),
        "date_sent": None if message.sent_at is None else rfc2822(int(message.sent_at)),
        "date_updated": rfc2822(int(message.updated_at)),
        "direction": message.direction,
        "error_code": message.error_code,
        "error_message": DELIVERY_FAILURES.get(message.error_code) if message.error_code else None,
        "from": message.from_,
        "messaging_service_sid": message.draft.messaging_service_sid,
        "num_media": str(len(message.media)),
        "num_segments": str(message.num_segments) if message.has_sender else "0",
        "price": message.price,
        "price_unit": "USD",
        "sid": message.sid,
        "status": message.status,
        "subresource_uris": {"media": f"{uri}/Media.json", "feedback": f"{uri}/Feedback.json"},
        "to": message.draft.to,
        "uri": f"{uri}.json",
    }


@lru_cache(maxsize=4096)
def rfc2822(epoch_s: int) -> str:
    """Return a time as Twilio's API writes it, such as `Thu, 24 Aug 2023 05:01:45 +0000`."""
    return format_datetime(datetime.fromtimestamp(epoch_s, UTC))
