"""Parse what Twilio posts to us; unknown parameters are kept, since Twilio adds them without notice."""

import re
from datetime import datetime
from uuid import UUID

from smsapp.ids import parse_target
from smsapp.inbound.rules import InboundText
from smsapp.messages.fold import Report, Source
from smsapp.twilio.forms import parse_form

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
    payload: dict[str, object] = dict(form)
    if idempotency_token:
        payload["I-Twilio-Idempotency-Token"] = idempotency_token
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
        payload=dict(form),
    )


def _form(body: str) -> dict[str, str]:
    """Return the parameters; NUL, which no PostgreSQL text can hold, becomes the replacement character."""
    return dict(parse_form(body.replace("\x00", "%EF%BF%BD").replace("%00", "%EF%BF%BD")))


def _sid(text: str | None) -> str | None:
    return text if text and _SID.fullmatch(text) else None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None
