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
from smsapp_client.jobs import Job, JobResult
from smsapp_client.models import Event, Message
from smsapp_client.subscriptions import Subscription
from smsapp_client.suppressions import Imported, Suppression
from smsapp_client.templates import Template
from smsapp_client.webhooks import verify

__all__ = [
    "ApiError",
    "Client",
    "Conflict",
    "Event",
    "Fault",
    "Gone",
    "Imported",
    "InvalidRequest",
    "InvalidSignature",
    "Job",
    "JobResult",
    "Message",
    "NotFound",
    "Refused",
    "SmsappError",
    "Subscription",
    "Suppression",
    "Template",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "verify",
]
