"""A typed client of smsapp: send texts, and know what became of them."""

from smsapp_client.client import Client
from smsapp_client.errors import (
    ApiError,
    Conflict,
    Fault,
    Gone,
    InvalidRequest,
    InvalidSignature,
    NotFound,
    Refused,
    SmsappError,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from smsapp_client.models import Event, Message
from smsapp_client.webhooks import verify

__all__ = [
    "ApiError",
    "Client",
    "Conflict",
    "Event",
    "Fault",
    "Gone",
    "InvalidRequest",
    "InvalidSignature",
    "Message",
    "NotFound",
    "Refused",
    "SmsappError",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "verify",
]
