"""Inbound texts and opt-outs as the documents that callers see."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from smsapp.domain.documents import rfc3339
from smsapp.domain.ids import inbound_id, suppression_id
from smsapp.domain.opt_out import EVERY_SENDER, is_service, keyword_of
from smsapp.store.opt_out_tables import Suppression, SuppressionEvent
from smsapp.store.tables import InboundMessage


def inbound_view(text: InboundMessage) -> dict[str, Any]:
    """Return an inbound text as callers see it."""
    return {
        "id": inbound_id(text.id),
        "from": text.sender,
        "to": text.to,
        "messaging_service_sid": text.messaging_service_sid,
        "body": text.body,
        "media_urls": _media(text.payload),
        "keyword": keyword_of(text.body, text.opt_out_type),
        "twilio_sid": text.twilio_sid,
        "received_at": rfc3339(text.received_at),
    }


def suppression_view(suppression: Suppression) -> dict[str, Any]:
    """Return a suppression as callers see it."""
    scope = suppression.scope
    return {
        "id": suppression_id(suppression.id),
        "recipient": suppression.recipient,
        "sender": None if scope == EVERY_SENDER or is_service(scope) else scope,
        "messaging_service_sid": scope if is_service(scope) else None,
        "every_sender": scope == EVERY_SENDER,
        "active": suppression.suppressed,
        "source": suppression.source,
        "note": suppression.note,
        "reference": suppression.reference,
        "since": rfc3339(suppression.since),
    }


def detail_view(
    suppression: Suppression, history: Sequence[SuppressionEvent], keys: Mapping[UUID, str]
) -> dict[str, Any]:
    """Return a suppression with its history; `keys` has the beginning of each API key by its id."""
    lines = [
        {
            "suppresses": line.suppressed,
            "applied": line.applied,
            "source": line.source,
            "note": line.note,
            "reference": line.reference,
            "by_key": keys.get(line.api_key_id) if line.api_key_id else None,
            "at": rfc3339(line.at),
            "recorded_at": rfc3339(line.recorded_at),
        }
        for line in history
    ]
    return suppression_view(suppression) | {"history": lines}


def _media(payload: Mapping[str, Any]) -> list[str]:
    """Return the addresses of what came with the text: MediaUrl0, MediaUrl1 and so on."""
    urls: list[str] = []
    while isinstance(url := payload.get(f"MediaUrl{len(urls)}"), str):
        urls.append(url)
    return urls
