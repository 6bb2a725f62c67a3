"""Requests about templates, and the answers."""

from datetime import datetime
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

from smsapp.content.segments import MAX_BODY_CHARS
from smsapp.web.fields import WHOLE, Text, VisibleText
from smsapp.web.openapi_parts import RoomDocument

TemplateName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$"), Field(examples=["order-shipped"])
]


TemplateVersion = Annotated[int, Field(ge=1, le=2**31 - 1), WHOLE]


class TemplateDocument(BaseModel):
    """A version of a template."""

    name: Annotated[str, Field(examples=["order-shipped"])]
    version: int
    body: str
    placeholders: Annotated[list[str], Field(description="In the order of appearance.", examples=[["name"]])]
    created_at: Annotated[datetime, Field(description="When this version was.")]


class TemplateList(BaseModel):
    """A page of templates, or of the versions of one."""

    data: list[TemplateDocument]
    has_more: bool
    next_cursor: str | None


TemplateBody = Annotated[
    VisibleText,
    Field(
        min_length=1,
        max_length=MAX_BODY_CHARS,
        description="The text, with placeholders such as `{{name}}`.",
        examples=["Hello {{name}}, your order {{order}} is on its way."],
    ),
]


class TemplateRequest(BaseModel):
    """A new template."""

    model_config = ConfigDict(extra="forbid")

    name: TemplateName
    body: TemplateBody


class TemplateVersionRequest(BaseModel):
    """New words for a template."""

    model_config = ConfigDict(extra="forbid")

    body: TemplateBody


class TemplateQuery(BaseModel):
    """Which version of a template."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[TemplateVersion | None, Field(description="Without it, the newest is shown.")] = None


class TemplateListQuery(BaseModel):
    """Paging through templates, in the order of their names."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[Text | None, Field(max_length=64, description="`next_cursor` of the page before.")] = (
        None
    )
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class VersionListQuery(BaseModel):
    """Paging through a template's versions, newest first."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[
        str | None, Field(pattern=r"^[0-9]{1,9}$", description="`next_cursor` of the page before.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


DOCUMENT = RoomDocument(answers=(TemplateDocument, TemplateList))
