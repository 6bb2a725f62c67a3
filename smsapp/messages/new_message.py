"""A message before it is inserted."""

from datetime import datetime
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from smsapp.messages.status import Status
from smsapp.queue.lanes import Lane


class _Columns(NamedTuple):
    """The values to insert, named like their columns."""

    id: UUID
    api_key_id: UUID
    to: str
    sender: str | None
    messaging_service_sid: str | None
    body: str
    media_urls: list[str] | None
    options: dict[str, Any] | None
    client_reference: str | None
    tags: list[str] | None
    callback_url: str | None
    request_id: str | None
    job_id: UUID | None
    encoding: str
    segments: int
    on_unconfirmed: str
    send_at: datetime | None
    deliver_by: datetime | None
    deadline_at: datetime | None
    sensitive: bool
    redact_at: datetime | None
    lane: Lane
    country: str
    on_failure: dict[str, Any] | None
    steps_left: int
    resends_left: int
    quiet_hours: str | None
    error_code: int | None
    due_at: datetime
    created_at: datetime
    updated_at: datetime
    status: Status = Status.PENDING
    attempt: int = 1
    version: int = 1
    reported: int = 0


class NewMessage(_Columns):
    """A message about to be stored; a named tuple, since one is allocated per send request (see `messages.fold`).

    It renders like a stored message; the fields that only a stored message can have are None.
    """

    __slots__ = ()

    outcome: ClassVar[None] = None
    twilio_sid: ClassVar[None] = None
    num_segments: ClassVar[None] = None
    price: ClassVar[None] = None
    price_unit: ClassVar[None] = None
    actual_sender: ClassVar[None] = None
    carrier_at: ClassVar[None] = None
    redacted_at: ClassVar[None] = None
    submitted_at: ClassVar[None] = None
    sent_at: ClassVar[None] = None
    finished_at: ClassVar[None] = None

    def as_row(self) -> dict[str, Any]:
        """Return the values to insert, by column."""
        return self._asdict()
