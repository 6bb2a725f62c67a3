"""Requests as pydantic models: what is checked is what the API document says."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from smsapp.domain.job_rows import MAX_BODY_CHARS
from smsapp.domain.lanes import Priority
from smsapp.web.fields import (
    Cell,
    EventTypes,
    QuietSpan,
    Sender,
    Tag,
    Tags,
    TemplateName,
    TemplateVersion,
    Text,
    Time,
    To,
    ToFilter,
    Url,
)
from smsapp.web.plan_requests import FailurePlan

MAX_WAIT_S = 20
"""Below gunicorn's graceful timeout, so that a deploy cuts no long poll off."""


_T = TypeVar("_T")
_OF_TEMPLATE = ("template", "template_version", "values")
_ONE_TEXT: list[JsonValue] = [
    {
        "required": ["body"],
        "properties": {"body": {"type": "string"}, **{name: {"type": "null"} for name in _OF_TEMPLATE}},
    },
    {
        "required": ["template"],
        "properties": {"template": {"type": "string"}, "body": {"type": "null"}},
    },
]


class SendRequest(BaseModel):
    """A text to send: `body`, or a `template` with `values`.

    Without `from` and `messaging_service_sid` the configured sender is used.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"to": "+14155552671", "body": "Your code is 123456"}],
            "oneOf": _ONE_TEXT,
        },
    )

    to: Annotated[To, Field(description="The recipient in E.164 form.")]
    template: Annotated[TemplateName | None, Field(description="A stored template instead of `body`.")] = None
    template_version: Annotated[
        TemplateVersion | None, Field(description="One of its versions; without it, the newest.")
    ] = None
    values: Annotated[
        dict[str, Cell] | None,
        Field(description="What the template's placeholders stand for.", examples=[{"name": "Ann"}]),
    ] = None
    body: Annotated[
        Text | None,
        Field(min_length=1, max_length=MAX_BODY_CHARS, description="The text.", validate_default=True),
    ] = None
    sender: Annotated[
        Sender | None,
        Field(alias="from", description="A number, short code or alphanumeric ID of the account."),
    ] = None
    messaging_service_sid: Annotated[
        str | None, Field(pattern=r"^MG[0-9a-fA-F]{32}$", description="Lets Twilio choose the sender.")
    ] = None
    media_urls: Annotated[
        list[Url] | None, Field(min_length=1, max_length=10, description="Makes it an MMS.")
    ] = None
    client_reference: Annotated[
        Text | None, Field(min_length=1, max_length=255, description="Your own id for the message.")
    ] = None
    tags: Annotated[list[Tag] | None, Field(max_length=10, description="Words to find the message by.")] = (
        None
    )
    callback_url: Annotated[
        Url | None,
        Field(description="Tell this address what becomes of this message, signed as in the guide."),
    ] = None
    on_unconfirmed: Annotated[
        Literal["hold", "resend", "fail"] | None,
        Field(
            description="What to do when Twilio's answer was lost and its records do not show the message: keep it "
            "for an operator (`hold`), send again at the risk of a second text (`resend`), or give up (`fail`)."
        ),
    ] = None
    resend_after_failure: Annotated[
        bool | None, Field(description="Send again, later, what failed for a reason that passes by itself.")
    ] = None
    on_failure: Annotated[
        FailurePlan | None,
        Field(description="What to do when it fails, step by step; instead of `resend_after_failure`."),
    ] = None
    sensitive: Annotated[
        bool,
        Field(
            description="Never show the text again, and remove it as soon as it has been handed over and cannot be "
            "needed for another attempt; at Twilio once it is final."
        ),
    ] = False
    dry_run: Annotated[
        bool,
        Field(
            description="Answer 200 with what would become of it, its segments and its price; store and send nothing."
        ),
    ] = False
    send_at: Annotated[
        Time | None,
        Field(
            description="Send it then instead of at once; at most 35 days ahead. Until then it can be canceled."
        ),
    ] = None
    priority: Annotated[
        Priority,
        Field(
            description="What goes first: `otp` for codes that somebody waits for, then `normal`, then `bulk` for "
            "campaigns. Ten thousand of the lower ones do not delay one of the higher."
        ),
    ] = "normal"
    deliver_by: Annotated[
        Time | None,
        Field(
            description="Stop trying at this time; Twilio drops it from its queue then, too. If it has not arrived "
            "by then, that is told as `message.deadline_missed`."
        ),
    ] = None
    quiet_hours: Annotated[
        QuietSpan | None,
        Field(
            description="Times of day at which it waits, in the recipient's time zone as far as the number tells it; "
            "without it those of the API key, if it has any."
        ),
    ] = None
    urgent: Annotated[bool, Field(description="Send it at any hour of the day, as with priority `otp`.")] = (
        False
    )

    @field_validator("template_version", "values")
    @classmethod
    def _with_a_template(cls, value: _T, info: ValidationInfo) -> _T:
        if value is not None and info.data.get("template", "") is None:
            raise ValueError("is for a template, and there is none")
        return value

    @field_validator("body")
    @classmethod
    def _or_a_template(cls, value: str | None, info: ValidationInfo) -> str | None:
        template = info.data.get("template", "")
        if value is None and template is None:
            raise PydanticCustomError("missing", "This or a template is required")
        if value is not None and template:
            raise ValueError("takes the place of template; give one of them")
        return value

    @field_validator("on_failure")
    @classmethod
    def _instead_of_resending(cls, value: FailurePlan | None, info: ValidationInfo) -> FailurePlan | None:
        if value and info.data.get("resend_after_failure"):
            raise ValueError("takes the place of resend_after_failure; give one of them")
        return value


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
    created_from: Annotated[Time | None, Field(description="At or after this time.")] = None
    created_until: Annotated[Time | None, Field(description="Before this time.")] = None
    cursor: Annotated[Text | None, Field(max_length=64, description="`next_cursor` of the page before.")] = (
        None
    )
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
