"""Example events, for consumers that want to see one before the first real event."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from smsapp.events.types import EventType
from smsapp.messages.status import Status

_TO = "+15005550006"  # one of Twilio's test numbers, which nobody has
_STATUS: Mapping[EventType, Status] = MappingProxyType(
    {
        EventType.MESSAGE_ACCEPTED: Status.PENDING,
        EventType.MESSAGE_SENT: Status.SENT,
        EventType.MESSAGE_DELIVERED: Status.DELIVERED,
        EventType.MESSAGE_UNDELIVERED: Status.UNDELIVERED,
        EventType.MESSAGE_FAILED: Status.FAILED,
        EventType.MESSAGE_CANCELED: Status.CANCELED,
        EventType.MESSAGE_REVISED: Status.DELIVERED,
    }
)


def example_of(event_type: EventType) -> dict[str, Any]:
    """Return example `data` of this event type; the phone numbers in it belong to nobody."""
    if event_type.startswith("message."):
        status = _STATUS.get(event_type, Status.SENT)
        return {
            "id": "msg_00000000000070008000000000000000",
            "status": status,
            "to": _TO,
            "client_reference": "example",
            "tags": ["example"],
        }
    if event_type.startswith("recipient."):
        return {"recipient": _TO, "sender": _TO}
    return {"id": "example"}
