"""What a request to send one text and one to send many have in common."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from smsapp.config import Settings
from smsapp.lifecycle.schemas import FailurePlan
from smsapp.messages.segments import MAX_BODY_CHARS
from smsapp.templates.schemas import TemplateName, TemplateVersion
from smsapp.web.fields import QuietSpan, Sender, Tag, Text, Time, Url

_OF_TEMPLATE = ("template", "template_version", "values")
ONE_TEXT: dict[str, JsonValue] = {
    "if": {"required": ["template"], "properties": {"template": {"type": "string"}}},
    "then": {"properties": {"body": {"type": "null"}}},
    "else": {
        "required": ["body"],
        "properties": {"body": {"type": "string"}, **{name: {"type": "null"} for name in _OF_TEMPLATE}},
    },
}
"""The rules of `TextSource` as JSON Schema; with `oneOf`, generators of clients forget all other properties."""

_T = TypeVar("_T")


Body = Annotated[
    Text | None,
    Field(
        min_length=1,
        max_length=MAX_BODY_CHARS,
        description="The text. That of a job has a `{{placeholder}}` for each column that it uses.",
        validate_default=True,
    ),
]


def with_a_template(value: _T, info: ValidationInfo) -> _T:
    """Return a value that makes sense with a template only, when there is one."""
    if value is not None and info.data.get("template", "") is None:
        raise ValueError("is for a template, and there is none")
    return value


class TextSource(BaseModel):
    """Where the words come from: `body` or `template`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={**ONE_TEXT})

    template: Annotated[TemplateName | None, Field(description="A stored template instead of `body`.")] = None
    template_version: Annotated[
        TemplateVersion | None, Field(description="One of its versions; without it, the newest.")
    ] = None
    body: Body = None

    @field_validator("template_version")
    @classmethod
    def _of_a_template(cls, value: int | None, info: ValidationInfo) -> int | None:
        return with_a_template(value, info)

    @field_validator("body")
    @classmethod
    def _or_a_template(cls, value: str | None, info: ValidationInfo) -> str | None:
        template = info.data.get("template", "")
        if value is None and template is None:
            raise PydanticCustomError("missing", "This or a template is required")
        if value is not None and template:
            raise ValueError("takes the place of template; give one of them")
        return value


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
