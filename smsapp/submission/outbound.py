"""One attempt to hand one message to Twilio, as a value that worker, store and gateway share."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from smsapp.content.rules import is_removed
from smsapp.recipients.quiet_hours import held_until
from smsapp.twilio.error_codes import OwnCode

MAX_VALIDITY_S = 36_000
MIN_VALIDITY_S = 6
"""Twilio accepts 1 to 36000 seconds and recommends more than 5
(https://www.twilio.com/docs/messaging/api/message-resource)."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a message may not go out now, and until when."""

    until: datetime
    code: OwnCode


@dataclass(frozen=True, slots=True)
class Outbound:
    """What Twilio needs to know about one attempt. `attempt` counts submissions of this message from 1.

    `opted_out`: the recipient had opted out of this sender when the message was claimed.
    """

    id: UUID
    attempt: int
    to: str
    sender: str | None
    messaging_service_sid: str | None
    body: str
    created_at: datetime
    media_urls: list[str] | None = None
    options: dict[str, Any] | None = None
    send_at: datetime | None = None
    deliver_by: datetime | None = None
    request_id: str | None = None
    opted_out: bool = False
    quiet_hours: str | None = None
    segments: int = 1
    country: str | None = None
    hold: Hold | None = None

    @property
    def wanted_at(self) -> datetime:
        """Return the earliest time at which it could have gone out; the age limit for retries counts from there."""
        return self.send_at or self.created_at

    @property
    def sender_key(self) -> str:
        """Return the sender whose limits and breakers apply to this attempt."""
        return self.sender or self.messaging_service_sid or ""

    @property
    def is_removed(self) -> bool:
        """Return whether its text was removed: what is left may not be sent."""
        return not self.body and is_removed(self.body, self.media_urls, self.options)

    def is_late(self, now: datetime) -> bool:
        """Return whether `deliver_by` has passed."""
        return self.deliver_by is not None and self.deliver_by <= now

    def held_until(self, now: datetime) -> datetime | None:
        """Return until when quiet hours hold the message; None when they do not."""
        return held_until(self.to, self.quiet_hours, now=now, deliver_by=self.deliver_by)

    def may_go(self, now: datetime) -> bool:
        """Return whether the message itself allows an attempt now: not late, not opted out, not held."""
        return not (self.hold or self.is_late(now) or self.opted_out or self.held_until(now))

    def validity_period_s(self, now: datetime) -> int | None:
        """Return for how many seconds Twilio may keep the text in its own queue, None for its default of 10 hours."""
        if self.deliver_by is None:
            return None
        left = math.ceil((self.deliver_by - now).total_seconds())
        return min(max(left, MIN_VALIDITY_S), MAX_VALIDITY_S)
