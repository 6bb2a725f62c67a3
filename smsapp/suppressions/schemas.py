"""Answers about inbound texts and opt-outs as pydantic models."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from smsapp.suppressions.rules import OptOutSource
from smsapp.web.openapi_parts import RoomDocument, UploadCell, csv_body, json_body


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
    """What an import did: `added` were new, `known` were suppressed already, `faults` names every other row."""

    rows: int
    added: int
    known: int
    faults: list[ImportFault]


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
