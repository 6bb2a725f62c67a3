"""Requests about jobs and templates as pydantic models."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from smsapp.domain.job_rows import MAX_BODY_CHARS
from smsapp.web.fields import CursorOf, TemplateName, TemplateVersion, Text
from smsapp.web.send_options import SendOptions, TextSource

TemplateBody = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=MAX_BODY_CHARS,
        description="The text, with placeholders such as `{{name}}`.",
        examples=["Hello {{name}}, your order {{order}} is on its way."],
    ),
]


class JobOptions(SendOptions, TextSource):
    """What is the same for all rows of a job. Give `body` or `template`."""

    name: Annotated[Text | None, Field(min_length=1, max_length=255, description="For people.")] = None
    start: Annotated[
        bool, Field(description="Begin at once, leaving out faulty rows, instead of waiting to be started.")
    ] = False
    allow_duplicates: Annotated[
        bool,
        Field(description="Send a row, too, that has the same number and the same text as an earlier one."),
    ] = False


class JobListQuery(BaseModel):
    """Filters of the list of jobs."""

    model_config = ConfigDict(extra="forbid")

    state: Annotated[Text | None, Field(max_length=16, examples=["running"])] = None
    cursor: Annotated[
        UUID | None, CursorOf("job"), Field(description="`next_cursor` of the page before.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


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
