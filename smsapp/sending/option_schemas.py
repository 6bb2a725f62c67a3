"""What a request to send one text and one to send many have in common."""

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from smsapp.config import Settings
from smsapp.content.rules import (
    CONTENT_SID,
    CONTENT_VARIABLES,
    MAX_VALUE_CHARS,
    MAX_VARIABLES,
    NAME_PATTERN,
    OPTION_NAMES,
    SID_PATTERN,
    Options,
    conflict,
    is_missing,
    value_fault,
)
from smsapp.content.segments import MAX_BODY_CHARS
from smsapp.lifecycle.schemas import FailurePlan
from smsapp.templates.schemas import TemplateName, TemplateVersion
from smsapp.text import BLANK
from smsapp.web.fields import QuietSpan, Sender, Tag, Text, Time, Url, VisibleText

_VARIABLE_NAME = re.compile(NAME_PATTERN)
_OF_TEMPLATE: dict[str, JsonValue] = {name: {"type": "null"} for name in ("template_version", "values")}
_NO_TEXT: dict[str, JsonValue] = {"body": {"type": "null"}}
ONE_CONTENT: dict[str, JsonValue] = {
    "if": {"required": ["template"], "properties": {"template": {"type": "string"}}},
    "then": {
        "properties": {**_NO_TEXT, CONTENT_SID: {"type": "null"}, CONTENT_VARIABLES: {"type": "null"}},
    },
    "else": {
        "properties": _OF_TEMPLATE,
        "if": {"required": [CONTENT_SID], "properties": {CONTENT_SID: {"type": "string"}}},
        "then": {"properties": {**_NO_TEXT, "media_urls": {"type": "null"}}},
        "else": {
            "properties": {CONTENT_VARIABLES: {"type": "null"}},
            "if": {"properties": {"media_urls": {"type": "null"}}},
            "then": {"required": ["body"], "properties": {"body": {"type": "string"}}},
        },
    },
}
"""The rules of `ContentSource` as JSON Schema; with `oneOf` or `anyOf`, generators forget all other properties."""

_T = TypeVar("_T")


Body = Annotated[
    VisibleText | None,
    Field(
        min_length=1,
        max_length=MAX_BODY_CHARS,
        description="The text. That of a job has a `{{placeholder}}` for each column that it uses.",
        validate_default=True,
    ),
]


def _named(value: dict[str, str]) -> dict[str, str]:
    if not all(_VARIABLE_NAME.fullmatch(name) for name in value):
        raise ValueError("must have names of letters, digits, underscores, dots and hyphens only")
    return value


def _fit(value: str) -> str:
    if fault := value_fault(value):
        raise ValueError(fault)
    return value


VariableValue = Annotated[
    Text,
    AfterValidator(_fit),
    Field(
        json_schema_extra={
            "minLength": 1,
            "maxLength": MAX_VALUE_CHARS,
            "pattern": rf"^[^\x00\t\n\r]*[^{BLANK}][^\x00\t\n\r]*$",
        }
    ),
]
Variables = Annotated[
    dict[str, VariableValue],
    AfterValidator(_named),
    Field(
        min_length=1,
        max_length=MAX_VARIABLES,
        description="What the Content template's variables stand for. Those of a job may have a `{{placeholder}}` for "
        "each column that they use.",
        examples=[{"1": "Ann"}],
        json_schema_extra={
            "minProperties": 1,
            "maxProperties": MAX_VARIABLES,
            "propertyNames": {"pattern": NAME_PATTERN},
        },
    ),
]


def beside(value: _T, info: ValidationInfo) -> _T:
    """Return a member's value, if the member may stand with those before it."""
    fault = conflict(info.field_name or "", info.data) if value is not None else None
    if fault:
        raise ValueError(fault)
    return value


class ContentSource(BaseModel):
    """What to send: `body`, `media_urls` or both; a `template` instead of `body`; or a `content_sid`.

    `smsapp.content.rules` decides what goes together.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={**ONE_CONTENT})

    template: Annotated[TemplateName | None, Field(description="A stored template instead of `body`.")] = None
    template_version: Annotated[
        TemplateVersion | None, Field(description="One of its versions; without it, the newest.")
    ] = None
    content_sid: Annotated[
        str | None,
        Field(
            pattern=SID_PATTERN,
            description="A Content template at Twilio, as WhatsApp needs; instead of text and media.",
        ),
    ] = None
    content_variables: Variables | None = None
    media_urls: Annotated[
        list[Url] | None,
        Field(min_length=1, max_length=10, description="Makes it an MMS, with or without a text."),
    ] = None
    body: Body = None
    smart_encoded: Annotated[
        bool | None,
        Field(
            description="Have Twilio replace characters such as curly quotes by those of GSM-7, if then all are; "
            "segments are counted so."
        ),
    ] = None
    shorten_urls: Annotated[
        bool | None,
        Field(description="Have Twilio shorten the links; needs a Messaging Service that is set up for it."),
    ] = None
    send_as_mms: Annotated[
        bool | None, Field(description="Send it as one MMS, however long the text, with media or without.")
    ] = None
    risk_check: Annotated[
        Literal["enable", "disable"] | None,
        Field(description="`disable` leaves out Twilio's check for SMS pumping."),
    ] = None

    _goes_with = field_validator("template_version", CONTENT_SID, CONTENT_VARIABLES, "media_urls")(beside)

    @field_validator("body")
    @classmethod
    def _something(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            if is_missing(info.data):
                raise PydanticCustomError("missing", "This, media, a template or content_sid is required")
            return None
        return beside(value, info)

    @property
    def options(self) -> Options | None:
        """Return the options that the request names, as they are stored; None when it names none."""
        if self.model_fields_set.isdisjoint(OPTION_NAMES):
            return None
        given = {name: getattr(self, name) for name in OPTION_NAMES}
        return {name: value for name, value in given.items() if value is not None} or None


class SendOptions(BaseModel):
    """How to send it, and what to do when that fails."""

    model_config = ConfigDict(extra="forbid")

    sender: Annotated[
        Sender | None,
        Field(alias="from", description="A number, short code or alphanumeric ID of the account."),
    ] = None
    messaging_service_sid: Annotated[
        str | None, Field(pattern=r"^MG[0-9a-fA-F]{32}$", description="Lets Twilio choose the sender.")
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
    send_at: Annotated[
        Time | None,
        Field(
            description="Send it then instead of at once; at most 35 days ahead. Until then it can be canceled."
        ),
    ] = None
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

    @field_validator("on_failure")
    @classmethod
    def _instead_of_resending(cls, value: FailurePlan | None, info: ValidationInfo) -> FailurePlan | None:
        if value and info.data.get("resend_after_failure"):
            raise ValueError("takes the place of resend_after_failure; give one of them")
        return value

    @property
    def plan(self) -> dict[str, Any] | None:
        """Return the plan for failures as it is stored."""
        return self.on_failure.as_document() if self.on_failure else None

    def resends(self, settings: Settings) -> bool:
        """Return whether to send again what failed for a passing reason.

        A sensitive text is not kept for that unless it was asked for, and a plan takes the default's place.
        """
        if self.resend_after_failure is not None:
            return self.resend_after_failure
        return settings.resend_after_failure and not (self.sensitive or self.on_failure)
