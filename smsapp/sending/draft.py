"""A validated send request, before it becomes a message."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from smsapp.content.rules import Content, ContentFault, route_fault
from smsapp.lifecycle.failure_plan import parse_plan
from smsapp.queue.lanes import Lane
from smsapp.recipients.phone import Recipient
from smsapp.recipients.quiet_hours import held_until

MAX_AHEAD = timedelta(days=35)
"""How far ahead a text may be scheduled: Twilio's own limit.

Source: https://www.twilio.com/docs/messaging/features/message-scheduling
"""


@dataclass(frozen=True, slots=True)
class TimeFault:
    """A time in the request that cannot be kept: it has passed, or it is too far ahead."""

    field: str
    code: str
    sentence: str


def time_fault(send_at: datetime | None, deliver_by: datetime | None, now: datetime) -> TimeFault | None:
    """Return what is wrong with the times of a request that is accepted now; None if nothing is."""
    if send_at and send_at <= now:
        return TimeFault("send_at", "past", "This time has passed; without it the text goes out at once.")
    if send_at and send_at > now + MAX_AHEAD:
        return TimeFault("send_at", "out_of_range", f"Must be within {MAX_AHEAD.days} days.")
    if deliver_by and deliver_by <= now:
        return TimeFault("deliver_by", "past", "This time has passed.")
    if deliver_by and send_at and deliver_by <= send_at:
        return TimeFault("deliver_by", "invalid", "Must be later than send_at.")
    return None


def content_fault(
    content: Content, sender: str | None, service: str | None, to: str, on_failure: Mapping[str, Any] | None
) -> ContentFault | None:
    """Return which option cannot be met by the first attempt or by one that the failure plan may make; None if all can.

    `to` may be blank: any number.
    """
    if not content.options:
        return None
    fault = route_fault(content.options, sender, service, to)
    steps = parse_plan(on_failure).steps if on_failure else ()
    for number, step in enumerate(steps, start=1):
        if fault is None and step.readdresses:
            later = route_fault(content.options, step.sender, step.messaging_service_sid, to)
            fault = later and replace(later, sentence=f"Step {number} of on_failure: {later.sentence}")
    return fault


@dataclass(frozen=True, slots=True)
class Draft:
    """A valid send request. `sender` and `messaging_service_sid` are in Twilio's form, and at least one is set.

    `on_failure` is a plan document that `smsapp.lifecycle.failure_plan` can parse.
    """

    recipient: Recipient
    sender: str | None
    messaging_service_sid: str | None
    content: Content
    api_key_id: UUID
    client_reference: str | None = None
    tags: list[str] | None = None
    callback_url: str | None = None
    request_id: str | None = None
    on_unconfirmed: str = "hold"
    resend_after_failure: bool = False
    on_failure: dict[str, Any] | None = None
    sensitive: bool = False
    send_at: datetime | None = None
    deliver_by: datetime | None = None
    lane: Lane = Lane.NORMAL
    quiet_hours: str | None = None
    job_id: UUID | None = None

    def held_until(self, now: datetime) -> datetime | None:
        """Return until when quiet hours hold the message; None when they do not, or when `send_at` is later still."""
        if self.send_at:
            return None
        return held_until(self.recipient.e164, self.quiet_hours, now=now, deliver_by=self.deliver_by)
