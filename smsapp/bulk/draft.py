"""A request for a job whose options are well-formed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from smsapp.templates.rules import Template


@dataclass(frozen=True, slots=True)
class JobDraft:
    """A valid request for a job; without `sender` and `messaging_service_sid` the configured sender is used."""

    api_key_id: UUID
    body: str
    template: Template
    template_name: str | None
    template_version: int | None
    sender: str | None
    messaging_service_sid: str | None
    on_unconfirmed: str
    resend_after_failure: bool
    name: str | None = None
    tags: list[str] | None = None
    callback_url: str | None = None
    on_failure: dict[str, Any] | None = None
    sensitive: bool = False
    send_at: datetime | None = None
    deliver_by: datetime | None = None
    quiet_hours: str | None = None
    ignored_columns: Sequence[str] | None = None
    allow_duplicates: bool = False
    start: bool = False
    request_id: str | None = None
