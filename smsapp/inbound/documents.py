"""Inbound texts as callers see them."""

from collections.abc import Mapping
from typing import Any

from smsapp.ids import inbound_id
from smsapp.inbound.keywords import keyword_of
from smsapp.inbound.models import InboundMessage
from smsapp.times import rfc3339


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


def _media(payload: Mapping[str, Any]) -> list[str]:
    """Return the URLs of the attached media: MediaUrl0, MediaUrl1 and so on."""
    urls: list[str] = []
    while isinstance(url := payload.get(f"MediaUrl{len(urls)}"), str):
        urls.append(url)
    return urls
