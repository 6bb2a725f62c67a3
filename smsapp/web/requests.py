"""Requests as pydantic models: what is checked is what the API document says."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from smsapp.domain.lanes import Priority
from smsapp.web.fields import Cell, CursorOf, EventTypes, JobFilter, Tags, Text, Time, To, ToFilter, Url
from smsapp.web.send_options import ONE_TEXT, SendOptions, TextSource, with_a_template

MAX_WAIT_S = 20
"""Below gunicorn's graceful timeout, so that a deploy cuts no long poll off."""


class SendRequest(SendOptions, TextSource):
    """A text to send: `body`, or a `template` with `values`.

    Without `from` and `messaging_service_sid` the configured sender is used.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"to": "+14155552671", "body": "Your code is 123456"}],
            "oneOf": ONE_TEXT,
        },
    )

    to: Annotated[To, Field(description="The recipient in E.164 form.")]
    values: Annotated[
        dict[str, Cell] | None,
        Field(description="What the template's placeholders stand for.", examples=[{"name": "Ann"}]),
    ] = None
    media_urls: Annotated[
        list[Url] | None, Field(min_length=1, max_length=10, description="Makes it an MMS.")
    ] = None
    client_reference: Annotated[
        Text | None, Field(min_length=1, max_length=255, description="Your own id for the message.")
    ] = None
    priority: Annotated[
        Priority,
        Field(
            description="What goes first: `otp` for codes that somebody waits for, then `normal`, then `bulk` for "
            "campaigns. Ten thousand of the lower ones do not delay one of the higher."
        ),
    ] = "normal"
    dry_run: Annotated[
        bool,
        Field(
            description="Answer 200 with what would become of it, its segments and its price; store and send nothing."
        ),
    ] = False

    @field_validator("values")
    @classmethod
    def _for_a_template(cls, value: dict[str, str] | None, info: ValidationInfo) -> dict[str, str] | None:
        return with_a_template(value, info)


class SendHeaders(BaseModel):
    """Headers that a request to send may have."""

    idempotency_key: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=255,
            pattern=r"^[ -~]*$",
            description="Any text of yours that is new for each message. A repeated request with the same key and the "
            "same body gets the first answer again and sends nothing; it works for at least 24 hours.",
        ),
    ] = None


class WaitQuery(BaseModel):
    """Long-polling."""

    model_config = ConfigDict(extra="forbid")

    wait: Annotated[
        int,
        Field(ge=0, le=MAX_WAIT_S, description="Answer when the outcome is known, or after so many seconds."),
    ] = 0


class ListQuery(BaseModel):
    """Filters of the list of messages; all must match."""

    model_config = ConfigDict(extra="forbid")

    status: Annotated[Text | None, Field(max_length=16, examples=["delivered"])] = None
    to: Annotated[ToFilter | None, Field(description="The recipient in E.164 form.")] = None
    client_reference: Annotated[Text | None, Field(max_length=255, description="Your own id.")] = None
    job_id: Annotated[JobFilter | None, Field(description="The job that they are part of.")] = None
    created_from: Annotated[Time | None, Field(description="At or after this time.")] = None
    created_until: Annotated[Time | None, Field(description="Before this time.")] = None
    cursor: Annotated[
        UUID | None, CursorOf("msg"), Field(description="`next_cursor` of the page before.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    @field_validator("created_until")
    @classmethod
    def _after_created_from(cls, value: Time | None, info: ValidationInfo) -> Time | None:
        begin = info.data.get("created_from")
        if value and begin and value <= begin:
            raise ValueError("must be later than created_from")
        return value


class EventQuery(BaseModel):
    """Paging through a history."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[int, Field(ge=0, le=2**31 - 1, description="Only events after this number.")] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


class FeedQuery(BaseModel):
    """Where to begin in the feed of events, and which of them."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[
        int | None,
        Field(
            ge=0,
            le=2**63 - 1,
            description="The number (`seq`) of the last event that you have, or `next_after` of your last answer. "
            "Without it you get the oldest events that are kept.",
        ),
    ] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    types: Annotated[
        EventTypes | None, Field(description="Only events of these types, separated by commas.")
    ] = None
    tags: Annotated[
        Tags | None,
        Field(description="Only events about messages with at least one of these tags, separated by commas."),
    ] = None
    wait: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_WAIT_S,
            description="Answer when there is an event, or after so many seconds. Not for streams.",
        ),
    ] = 0


class FeedHeaders(BaseModel):
    """What a stream's reader sends when it connects again."""

    last_event_id: Annotated[
        int | None,
        Field(ge=0, le=2**63 - 1, description="Of a stream: begin after this number, whatever `after` says."),
    ] = None


class StatusForm(BaseModel):
    """What Twilio posts about a message; it adds parameters without notice, and all are kept."""

    model_config = ConfigDict(extra="allow")

    MessageSid: str
    MessageStatus: Annotated[str, Field(examples=["delivered"])]
    AccountSid: str
    To: str
    ErrorCode: Annotated[str, Field(examples=["30003"])] = ""


class InboundForm(BaseModel):
    """What Twilio posts when somebody sends a text to one of the account's numbers."""

    model_config = ConfigDict(extra="allow")

    MessageSid: str
    AccountSid: str
    From: str
    To: str
    Body: str
