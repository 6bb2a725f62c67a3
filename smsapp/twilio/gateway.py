"""Twilio as services see it: the requests they make and the answers they get."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from smsapp.twilio.judgement import Judgement

UNREADABLE_ANSWER = "unreadable_answer"


class CreateRequest(Protocol):
    """One attempt to hand one message to Twilio. `attempt` counts from 1; the callback's address names both."""

    @property
    def id(self) -> UUID:
        """Our id of the message."""

    @property
    def attempt(self) -> int:
        """The number of the attempt."""

    @property
    def to(self) -> str:
        """The recipient, E.164."""

    @property
    def sender(self) -> str | None:
        """A number, short code or alphanumeric ID."""

    @property
    def messaging_service_sid(self) -> str | None:
        """A Messaging Service that chooses the sender."""

    @property
    def body(self) -> str:
        """The text; empty for media alone, and with a Content template."""

    @property
    def media_urls(self) -> list[str] | None:
        """The media that make it an MMS, None for an SMS."""

    @property
    def options(self) -> Mapping[str, Any] | None:
        """Further parameters by the names that the SDK has for them; `content_variables` is a mapping."""

    @property
    def request_id(self) -> str | None:
        """The request that brought the message, for logs."""

    def validity_period_s(self, now: datetime) -> int | None:
        """Return for how many seconds Twilio may keep the text in its own queue, None for its default."""


@dataclass(frozen=True, slots=True)
class TwilioMessage:
    """One message as Twilio shows it. `num_segments` is None until Twilio knows; `price` is a negative decimal."""

    sid: str
    status: str
    to: str
    sender: str | None
    body: str | None
    error_code: int | None
    num_segments: int | None
    price: str | None
    price_unit: str | None
    created_at: datetime | None
    num_media: int = 0


@dataclass(frozen=True, slots=True)
class Submission:
    """The outcome of one attempt: `message` when accepted, else the judgement.

    `retry_after` is Twilio's raw header; `cause` names a network failure. Without `requested` no request was made to
    Twilio. With `held_until` none may be made before that time.
    """

    message: TwilioMessage | None = None
    judgement: Judgement | None = None
    retry_after: str | None = None
    cause: str | None = None
    held_until: datetime | None = None
    requested: bool = True


class TwilioUnavailableError(Exception):
    """Twilio could not answer now. `retry_after` is its raw header; `code` and `status` are its refusal, if any."""

    def __init__(
        self,
        cause: str,
        *,
        code: int | None = None,
        status: int | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(cause)
        self.code = code
        self.status = status
        self.retry_after = retry_after

    @property
    def concerns_one(self) -> bool:
        """Whether Twilio answers but refused this request: another request may succeed at once."""
        if self.status is None:
            return str(self) == UNREADABLE_ANSWER
        return 400 <= self.status < 500 and self.status not in {401, 403, 408, 429}


class Gateway(Protocol):
    """What services need of Twilio."""

    def submit(self, message: CreateRequest) -> Submission:
        """Create the message at Twilio; never raises for anything that Twilio or the network does."""

    def fetch(self, sid: str) -> TwilioMessage | None:
        """Return the message, or None when Twilio has none by that SID."""

    def list_to(self, to: str, *, limit: int) -> Iterator[TwilioMessage]:
        """Yield the latest messages to a number."""

    def list_sent(self, *, after: datetime, before: datetime, limit: int) -> Iterator[TwilioMessage]:
        """Yield up to `limit` messages that were sent in a span of time."""

    def cancel(self, sid: str) -> TwilioMessage:
        """Cancel a scheduled message."""

    def redact(self, sid: str) -> None:
        """Empty the body of a message that Twilio keeps."""

    def probe(self) -> Submission:
        """Fetch the account itself: without a judgement, the credentials work and the account is active."""
