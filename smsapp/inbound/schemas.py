"""Requests for inbound texts, and the answers."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from smsapp.web.fields import AddressFilter, CursorOf, Time
from smsapp.web.openapi_parts import RoomDocument

_SERVICE = r"^MG[0-9a-fA-F]{32}$"
_Cursor = Field(description="`next_cursor` of the page before.")
_Limit = Annotated[int, Field(ge=1, le=200)]


class InboundMessage(BaseModel):
    """A text that somebody sent to us."""

    id: Annotated[str, Field(examples=["in_01890a5d96a07c4b9f3e2d1c0b0a0908"])]
    sender: Annotated[str, Field(alias="from")]
    to: str
    messaging_service_sid: str | None
    body: str
    media_urls: list[str]
    keyword: Annotated[
        str | None,
        Field(
            description="STOP, START or HELP, when the text is one of Twilio's words for that or Twilio took it so."
        ),
    ]
    twilio_sid: str
    received_at: datetime


class InboundList(BaseModel):
    """A page of inbound texts, newest first."""

    data: list[InboundMessage]
    has_more: bool
    next_cursor: str | None


class InboundQuery(BaseModel):
    """Filters of the list of inbound texts; all must match."""

    model_config = ConfigDict(extra="forbid")

    sender: Annotated[AddressFilter | None, Field(alias="from", description="Who wrote it.")] = None
    to: Annotated[AddressFilter | None, Field(description="Which of the account's senders it came to.")] = (
        None
    )
    messaging_service_sid: Annotated[str | None, Field(pattern=_SERVICE)] = None
    received_from: Annotated[Time | None, Field(description="At or after this time.")] = None
    received_until: Annotated[Time | None, Field(description="Before this time.")] = None
    cursor: Annotated[UUID | None, CursorOf("in"), _Cursor] = None
    limit: _Limit = 50


DOCUMENT = RoomDocument(answers=(InboundMessage, InboundList))
