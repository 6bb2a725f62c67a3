"""Requests about opt-outs as pydantic models, and the answers: what is checked is what the API document says."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from smsapp.suppressions.rules import OptOutSource
from smsapp.web.fields import AddressFilter, CursorOf, Sender, Text, To, ToFilter
from smsapp.web.openapi_parts import RoomDocument, UploadCell, csv_body, json_body

_SERVICE = r"^MG[0-9a-fA-F]{32}$"
_Cursor = Field(description="`next_cursor` of the page before.")
_Limit = Annotated[int, Field(ge=1, le=200)]
_Note = Annotated[Text, Field(min_length=1, max_length=500, description="Why; it is kept.")]


class SuppressionQuery(BaseModel):
    """Filters of the list of suppressions; all must match."""

    model_config = ConfigDict(extra="forbid")

    recipient: Annotated[ToFilter | None, Field(description="In E.164 form.")] = None
    sender: Annotated[AddressFilter | None, Field(description="A sender, or a Messaging Service's SID.")] = (
        None
    )
    source: Annotated[Text | None, Field(max_length=16, examples=["inbound"])] = None
    status: Annotated[
        Literal["active", "lifted", "all"], Field(description="Whether it holds at present.")
    ] = "active"
    cursor: Annotated[UUID | None, CursorOf("sup"), _Cursor] = None
    limit: _Limit = 50


class SuppressionRequest(BaseModel):
    """Somebody who is not to be texted: by a sender, by a Messaging Service, or by neither, which means by anybody."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"recipient": "+12025550143", "note": "Asked our support to be left alone."}]
        },
    )

    recipient: Annotated[To, Field(description="In E.164 form.", examples=["+12025550143"])]
    sender: Annotated[
        Sender | None, Field(description="A number, short code or alphanumeric ID of the account.")
    ] = None
    messaging_service_sid: Annotated[str | None, Field(pattern=_SERVICE)] = None
    note: _Note | None = None

    @model_validator(mode="after")
    def _one_scope(self) -> Self:
        if self.sender and self.messaging_service_sid:
            raise ValueError("must not name both a sender and a Messaging Service")
        return self


class LiftRequest(BaseModel):
    """Why somebody may be texted again."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"note": "Signed up again by letter."}]}
    )

    note: _Note | None = None


class NoQuery(BaseModel):
    """No parameters."""

    model_config = ConfigDict(extra="forbid")


class Suppression(BaseModel):
    """Somebody who is not to be texted, or was not; `since`, `source` and `note` tell of the last change."""

    id: Annotated[str, Field(examples=["sup_01890a5d96a07c4b9f3e2d1c0b0a0908"])]
    recipient: str
    sender: str | None
    messaging_service_sid: str | None
    every_sender: Annotated[bool, Field(description="It holds for all senders; a START does not lift it.")]
    active: Annotated[bool, Field(description="False once it is lifted.")]
    source: Annotated[str, Field(examples=[str(source) for source in OptOutSource])]
    note: str | None
    reference: Annotated[str | None, Field(description="The id of the text or message that shows it.")]
    since: datetime


class SuppressionList(BaseModel):
    """A page of suppressions, in the order in which they were first known."""

    data: list[Suppression]
    has_more: bool
    next_cursor: str | None


class SuppressionChange(BaseModel):
    """One piece of evidence. `applied` is false for what came late: something newer was known."""

    suppresses: bool
    applied: bool
    source: str
    note: str | None
    reference: str | None
    by_key: Annotated[str | None, Field(description="The beginning of the API key that asked for it.")]
    at: datetime
    recorded_at: datetime


class SuppressionDetail(Suppression):
    """A suppression with its history, the latest first, of at most 100 lines."""

    history: list[SuppressionChange]


class ImportFault(BaseModel):
    """A row that was not taken."""

    line: Annotated[int, Field(description="Where the row begins in a CSV file; in JSON its number. From 1.")]
    column: str | None
    code: str
    reason: str


class ImportResult(BaseModel):
    """What an import did: `added` were new, `known` were suppressed already, `faulty` could not be taken."""

    rows: int
    added: int
    known: int
    faulty: int
    faults: Annotated[list[ImportFault], Field(description="Of the first 100 faulty rows.")]


class SuppressionRow(BaseModel):
    """Somebody who is not to be texted. A faulty row is left out and reported."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, UploadCell]

    recipient: Annotated[str, Field(description="In E.164 form.", examples=["+12025550143"])]
    sender: Annotated[
        UploadCell, Field(description="A sender, or a Messaging Service's SID; none is every one.")
    ] = None
    note: Annotated[UploadCell, Field(description="Why; it is kept.")] = None


class SuppressionUpload(BaseModel):
    """A list of suppressions as JSON."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"rows": [{"recipient": "+12025550143", "note": "Asked by letter."}]}]
        },
    )

    rows: list[SuppressionRow]


DOCUMENT = RoomDocument(
    answers=(Suppression, SuppressionList, SuppressionDetail, ImportResult),
    requests=(SuppressionUpload,),
    bodies={
        "importSuppressions": {
            **json_body(SuppressionUpload),
            **csv_body("recipient,note\n+12025550143,Asked by letter.\n"),
        }
    },
)
