"""Requests about inbound texts and opt-outs as pydantic models: what is checked is what the API document says."""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from smsapp.web.fields import AddressFilter, CursorOf, Sender, Text, To, ToFilter

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
    note: _Note

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

    note: _Note


class NoQuery(BaseModel):
    """No parameters."""

    model_config = ConfigDict(extra="forbid")
