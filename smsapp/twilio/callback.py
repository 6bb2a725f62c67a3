"""A verified request from Twilio: the one definition for the code that receives, stores and processes it."""

from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

CallbackKind = Literal["status", "inbound"]
"""Why Twilio calls us: a message's status, or an inbound text."""

IDEMPOTENCY_TOKEN = "I-Twilio-Idempotency-Token"  # noqa: S105 - a name
"""The header whose value names one request of Twilio's; it is kept among the parameters."""


class Callback(NamedTuple):
    """One verified request from Twilio.

    `target` is the last part of the path (`msg_…`), None on the path without one. `body` is the raw form. `received_at`
    is our clock.
    """

    receipt_id: UUID
    kind: CallbackKind
    target: str | None
    body: str
    idempotency_token: str | None
    received_at: datetime
