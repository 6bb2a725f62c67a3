"""Requests about jobs and templates as pydantic models."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from smsapp.domain.job_rows import MAX_BODY_CHARS
from smsapp.web.fields import QuietSpan, Sender, Tag, TemplateName, TemplateVersion, Text, Time

TemplateBody = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=MAX_BODY_CHARS,
        description="The text, with placeholders such as `{{name}}`.",
        examples=["Hello {{name}}, your order {{order}} is on its way."],
    ),
]


class JobOptions(BaseModel):
    """What is the same for all rows of a job. Give `body` or `template`."""

    model_config = ConfigDict(extra="forbid")

    body: Annotated[
        Text | None,
        Field(
            min_length=1,
            max_length=MAX_BODY_CHARS,
            description="The text; each `{{placeholder}}` is filled from the column of that name.",
        ),
    ] = None
    template: Annotated[TemplateName | None, Field(description="A stored template instead of `body`.")] = None
    template_version: Annotated[
        TemplateVersion | None, Field(description="One of its versions; without it, the newest.")
    ] = None
    name: Annotated[Text | None, Field(min_length=1, max_length=255, description="For people.")] = None
    start: Annotated[
        bool, Field(description="Begin at once, leaving out faulty rows, instead of waiting to be started.")
    ] = False
    allow_duplicates: Annotated[
        bool,
        Field(description="Send a row, too, that has the same number and the same text as an earlier one."),
    ] = False
    sender: Annotated[
        Sender | None,
        Field(alias="from", description="A number, short code or alphanumeric ID of the account."),
    ] = None
    messaging_service_sid: Annotated[
        str | None, Field(pattern=r"^MG[0-9a-fA-F]{32}$", description="Lets Twilio choose the sender.")
    ] = None
    tags: Annotated[list[Tag] | None, Field(max_length=10, description="For each of the messages.")] = None
    on_unconfirmed: Annotated[
        Literal["hold", "resend", "fail"] | None, Field(description="As for one message.")
    ] = None
    resend_after_failure: Annotated[bool | None, Field(description="As for one message.")] = None
    deliver_by: Annotated[Time | None, Field(description="Rows whose turn comes later are not sent.")] = None
    quiet_hours: Annotated[QuietSpan | None, Field(description="As for one message.")] = None
    urgent: Annotated[bool, Field(description="Send at any hour of the day.")] = False

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        if (self.body is None) == (self.template is None):
            raise ValueError("give either body or template")
        if self.template_version is not None and self.template is None:
            raise ValueError("template_version needs template")
        return self


class JobListQuery(BaseModel):
    """Filters of the list of jobs."""

    model_config = ConfigDict(extra="forbid")

    state: Annotated[Text | None, Field(max_length=16, examples=["running"])] = None
    cursor: Annotated[Text | None, Field(max_length=64, description="`next_cursor` of the page before.")] = (
        None
    )
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
    """Paging through templates, in the order of their names, or through versions, newest first."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[Text | None, Field(max_length=64, description="`next_cursor` of the page before.")] = (
        None
    )
    limit: Annotated[int, Field(ge=1, le=200)] = 50
