"""Parse what Twilio posts to us; unknown parameters are kept, since Twilio adds them without notice."""

import re
from datetime import datetime
from uuid import UUID

from smsapp.ids import parse_target
from smsapp.inbound.rules import InboundText
from smsapp.messages.fold import Report, Source
from smsapp.twilio.callback import IDEMPOTENCY_TOKEN
from smsapp.twilio.forms import parse_form

_PERSONAL = frozenset(
    {
        "To",
        "Body",
        "ProfileName",
        "WaId",
        "ChannelToAddress",
        "ButtonText",
        "ButtonPayload",
        "Latitude",
        "Longitude",
        "Address",
        "Label",
        *(f"{end}{part}" for end in ("From", "To") for part in ("City", "State", "Zip")),
    }
)
"""Parameters about a person (https://www.twilio.com/docs/messaging/guides/webhook-request); countries may stay."""

_FEWEST_DIGITS = 6
"""Shorter numbers are short codes, and turn up in what is no number."""

_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")


class InvalidCallbackError(Exception):
    """A verified callback lacks a required parameter."""


def report_from(
    body: str, *, target: str | None, receipt_id: UUID, received_at: datetime, idempotency_token: str | None
) -> tuple[UUID | None, Report]:
    """Return the message id in a status callback's path (None: only its SID identifies the message) and its report.

    `MessageStatus` is the status, `SmsStatus` a legacy copy
    (https://www.twilio.com/docs/messaging/guides/track-outbound-message-status).

    Raises:
        InvalidCallbackError: it has no status at all.
    """
    form = _form(body)
    raw_status = form.get("MessageStatus") or form.get("SmsStatus")
    if not raw_status:
        raise InvalidCallbackError("a status callback without MessageStatus")
    message_id, attempt = (parse_target(target) if target else None) or (None, None)
    payload = _without_person(form, form.get("To", ""))
    if idempotency_token:
        payload[IDEMPOTENCY_TOKEN] = idempotency_token
    report = Report(
        source=Source.CALLBACK,
        raw_status=raw_status,
        received_at=received_at,
        receipt_id=receipt_id,
        attempt=attempt,
        twilio_sid=_sid(form.get("MessageSid") or form.get("SmsSid")),
        error_code=_number(form.get("ErrorCode")),
        payload=payload,
        sender=form.get("From", "")[:64] or None,
        done_date=form.get("RawDlrDoneDate"),
    )
    return message_id, report


def inbound_from(body: str) -> InboundText:
    """Return the text in an inbound webhook.

    Raises:
        InvalidCallbackError: it names no message or sender.
    """
    form = _form(body)
    sid = _sid(form.get("MessageSid") or form.get("SmsSid"))
    if not sid or not form.get("From"):
        raise InvalidCallbackError("an inbound message without MessageSid or From")
    return InboundText(
        twilio_sid=sid,
        sender=form["From"][:64],
        to=form.get("To", "")[:64],
        messaging_service_sid=_sid(form.get("MessagingServiceSid")),
        body=form.get("Body", ""),
        opt_out_type=form.get("OptOutType", "")[:8] or None,
        payload=_without_person(form, form["From"]),
    )


def _without_person(form: dict[str, str], person: str) -> dict[str, object]:
    """Return what is worth keeping of a form: neither who was texted or texted us, nor what was said.

    The message has both, for as long as they are kept. `From` of a status callback is a sender of ours, which events
    name; whatever else contains the person's number goes, too.
    """
    digits = person.rpartition("+")[2]
    told = digits if len(digits) >= _FEWEST_DIGITS and digits.isdigit() else person or "\0"
    return {name: value for name, value in form.items() if name not in _PERSONAL and told not in value}


def _form(body: str) -> dict[str, str]:
    """Return the parameters; NUL, which no PostgreSQL text can hold, becomes the replacement character."""
    return dict(parse_form(body.replace("\x00", "%EF%BF%BD").replace("%00", "%EF%BF%BD")))


def _sid(text: str | None) -> str | None:
    return text if text and _SID.fullmatch(text) else None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None
