"""The list of refused callbacks, and its filters."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from smsapp.web.fields import CursorOf
from smsapp.web.openapi_parts import RoomDocument


class RefusedCallback(BaseModel):
    """Requests to a callback address that were refused alike on one day. It has no values of parameters."""

    id: Annotated[str, Field(examples=["ref_01890a5d96a07c4b9f3e2d1c0b0a0908"])]
    kind: Annotated[str, Field(examples=["status", "inbound", "check"])]
    reason: Annotated[str, Field(description="The `code` of the answers.", examples=["signature_invalid"])]
    count: int
    path: Annotated[str, Field(description="As it came; `…` stands for what is not kept.")]
    scheme: Annotated[str, Field(description="As a proxy named it in X-Forwarded-Proto, else `http`.")]
    host: str
    parameters: Annotated[list[str], Field(description="Names.")]
    account: Annotated[
        Literal["ours", "other", "none"], Field(description="Which account the requests named in AccountSid.")
    ]
    signed_url: Annotated[
        str | None,
        Field(description="The address for which the signature would have been right, if we found it."),
    ]
    differs: Annotated[
        list[str],
        Field(description="In what it differs from ours: `scheme`, `host`, `port`, `path`, `query`."),
    ]
    advice: Annotated[str, Field(description="What would have made them pass, in words.")]
    first_at: datetime
    last_at: datetime


class RefusedCallbackList(BaseModel):
    """A page of refused callbacks, newest first."""

    data: list[RefusedCallback]
    has_more: bool
    next_cursor: str | None


class RefusedCallbackQuery(BaseModel):
    """Filters of the list of refused callbacks."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str | None, Field(pattern=r"^[a-z_]{1,32}$", examples=["signature_invalid"])] = None
    cursor: Annotated[
        UUID | None, CursorOf("ref"), Field(description="`next_cursor` of the page before.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


DOCUMENT = RoomDocument(answers=(RefusedCallback, RefusedCallbackList))
