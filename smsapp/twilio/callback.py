"""A verified request of Twilio's: defined once, for those who take, keep and process it."""

from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

CallbackKind = Literal["status", "inbound"]
"""What Twilio calls us for."""


class Callback(NamedTuple):
    """One verified request of Twilio's.

    `target` is the last part of the path (`msg_…`), None on the path without one; `body` is the form as it came;
    `received_at` is our clock.
    """

    receipt_id: UUID
    kind: CallbackKind
    target: str | None
    body: str
    idempotency_token: str | None
    received_at: datetime
