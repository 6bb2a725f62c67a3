"""Rows as the documents that callers see."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from smsapp.domain.documents import error_document, failure_of, rfc3339
from smsapp.domain.draft import Draft
from smsapp.domain.explain import explain_status
from smsapp.domain.ids import public_id, public_job_id
from smsapp.domain.lanes import Lane
from smsapp.domain.segments import find_offenders
from smsapp.domain.status import Outcome, Status
from smsapp.domain.verdict import worst
from smsapp.services.preview_message import Preview
from smsapp.store.tables import Message, MessageEvent


def message_view(message: Message | Mapping[str, Any], *, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Return a message as callers see it, from its row or from the values of one about to be written."""
    get: Callable[[str], Any] = message.get if isinstance(message, Mapping) else partial(getattr, message)
    status = Status(get("status"))
    outcome = Outcome(get("outcome")) if get("outcome") else None
    failure = failure_of(status, get("error_code"))
    return {
        "id": public_id(get("id")),
        "status": status,
        "outcome": outcome,
        "explanation": explain_status(status, outcome, failure),
        "error": error_document(failure) if failure else None,
        "to": get("to"),
        "from": get("sender"),
        "messaging_service_sid": get("messaging_service_sid"),
        "body": None if get("sensitive") else get("body"),
        "sensitive": get("sensitive"),
        "redacted_at": _time(get("redacted_at")),
        "media_urls": get("media_urls"),
        "client_reference": get("client_reference"),
        "tags": get("tags"),
        "job_id": public_job_id(get("job_id")) if get("job_id") else None,
        "callback_url": get("callback_url"),
        "encoding": get("encoding"),
        "segments": get("num_segments") or get("segments"),
        "twilio_sid": get("twilio_sid"),
        "attempt": get("attempt"),
        "next_attempt_at": _time(get("due_at")) if status is Status.PENDING else None,
        "price": get("price"),
        "price_unit": get("price_unit"),
        "on_unconfirmed": get("on_unconfirmed"),
        "on_failure": get("on_failure"),
        "send_at": _time(get("send_at")),
        "priority": Lane(get("lane")).priority,
        "deliver_by": _time(get("deliver_by")),
        "quiet_hours": get("quiet_hours"),
        "created_at": _time(get("created_at")),
        "submitted_at": _time(get("submitted_at")),
        "sent_at": _time(get("sent_at")),
        "finished_at": _time(get("finished_at")),
        "updated_at": _time(get("updated_at")),
        "warnings": list(warnings),
    }


def dry_run_view(draft: Draft, preview: Preview) -> dict[str, Any]:
    """Return what a request to send would come to."""
    measure, price = draft.measure, preview.price
    return {
        "dry_run": True,
        "verdict": worst(preview.findings),
        "checks": [
            {
                "check": f.check,
                "verdict": f.verdict,
                "code": f.code,
                "detail": f.detail,
                "until": _time(f.until),
            }
            for f in preview.findings
        ],
        "to": draft.recipient.e164,
        "country": draft.recipient.region,
        "from": draft.sender,
        "messaging_service_sid": draft.messaging_service_sid,
        "body": None if draft.sensitive else draft.body,
        "encoding": measure.encoding,
        "segments": measure.segments,
        "units": measure.units,
        "units_per_segment": measure.units_per_segment,
        "units_left": measure.remaining,
        "offending_characters": [
            {
                "character": offender.character,
                "code_point": f"U+{ord(offender.character):04X}",
                "positions": list(offender.positions),
            }
            for offender in find_offenders(draft.body)
        ],
        "price": price
        and {
            "amount": str(price.amount),
            "per_segment": str(price.per_segment),
            "currency": price.currency,
        },
    }


def event_view(event: MessageEvent) -> dict[str, Any]:
    """Return an event as callers see it."""
    return {
        "seq": event.seq,
        "source": event.source,
        "status": event.status,
        "applied": event.applied,
        "reason": event.reason,
        "attempt": event.attempt,
        "error_code": event.error_code,
        "twilio_sid": event.twilio_sid,
        "received_at": _time(event.received_at),
        "payload": event.payload,
    }


def _time(value: datetime | None) -> str | None:
    return rfc3339(value) if value else None
