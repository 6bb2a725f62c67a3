"""Requests and answers as pydantic models: the OpenAPI document is made from these."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from smsapp.domain.phone import InvalidPhoneNumber, InvalidSender, Recipient, parse_recipient, parse_sender
from smsapp.domain.tracking import Reason, Source

MAX_BODY_CHARS = 1600
"""Twilio's limit before segmentation; a longer one is refused with code 21617."""


def _no_nul(value: object) -> object:
    """Refuse NUL, which no phone shows and PostgreSQL cannot store."""
    if isinstance(value, str) and "\x00" in value:
        raise ValueError("must not contain the character NUL")
    return value


def _recipient(value: object) -> Recipient:
    if not isinstance(value, str):
        raise ValueError("must be a string such as +14155552671")  # noqa: TRY004 - pydantic wants ValueError
    try:
        return parse_recipient(value)
    except InvalidPhoneNumber as error:
        raise ValueError(_PHONE_FAULTS.get(error.reason, "is not a possible phone number")) from None


_PHONE_FAULTS = {
    "not_e164": "must be in E.164 form: a plus sign, the country code and the number, such as +14155552671",
    "too_short": "is too short for a phone number of its country",
    "too_long": "is too long for a phone number of its country",
}

Text = Annotated[str, BeforeValidator(_no_nul)]
Tag = Annotated[Text, StringConstraints(min_length=1, max_length=64)]
Url = Annotated[Text, StringConstraints(max_length=2048, pattern=r"^https?://[^\s]+$")]


class SendRequest(BaseModel):
    """A text to send. Without `from` and `messaging_service_sid` the configured sender is used."""

    model_config = ConfigDict(
        extra="forbid",
        title="SendRequest",
        json_schema_extra={"examples": [{"to": "+14155552671", "body": "Your code is 123456"}]},
    )

    to: Annotated[
        Recipient,
        PlainValidator(_recipient),
        WithJsonSchema(
            {
                "type": "string",
                "maxLength": 64,
                "description": "The recipient in E.164 form.",
                "examples": ["+14155552671"],
            }
        ),
    ]
    body: Annotated[Text, Field(min_length=1, max_length=MAX_BODY_CHARS, description="The text.")]
    sender: Annotated[
        Text | None,
        Field(
            alias="from", max_length=64, description="A number, short code or alphanumeric ID of the account."
        ),
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
    deliver_by: Annotated[
        AwareDatetime | None,
        Field(description="Stop trying at this time; Twilio drops it from its queue then, too."),
    ] = None

    @field_validator("sender")
    @classmethod
    def _sender(cls, value: str | None) -> str | None:
        try:
            return parse_sender(value) if value is not None else None
        except InvalidSender:
            raise ValueError(
                "must be an E.164 number, a short code, or an alphanumeric ID of at most 11 characters"
            ) from None


class ErrorOut(BaseModel):
    """Why a message failed, or why it waits."""

    code: Annotated[int | None, Field(description="Twilio's error code; below 100 it is smsapp's own.")]
    class_: Annotated[str, Field(alias="class")]
    sentence: str
    advice: str
    retryable: bool
    scope: str
    who_acts: str
    doc_url: str | None


class MessageOut(BaseModel):
    """A message and what is known of it. Enumerations are open: expect new words."""

    id: Annotated[str, Field(examples=["msg_01890a5d96a07c4b9f3e2d1c0b0a0908"])]
    status: Annotated[str, Field(examples=["delivered"])]
    outcome: Annotated[str | None, Field(description="How it ended; null while it is under way.")]
    explanation: Annotated[str, Field(description="What became of it, in one sentence.")]
    error: ErrorOut | None
    to: str
    sender: Annotated[str | None, Field(alias="from")]
    messaging_service_sid: str | None
    body: str
    media_urls: list[str] | None
    client_reference: str | None
    tags: list[str] | None
    encoding: Annotated[str, Field(description="GSM-7 or UCS-2.")]
    segments: Annotated[int, Field(description="How many parts are billed; Twilio's count once it is known.")]
    twilio_sid: str | None
    attempt: Annotated[int, Field(description="The number of the present attempt, from 1.")]
    next_attempt_at: datetime | None
    price: Annotated[str | None, Field(description="Twilio's, negative, once it is billed.")]
    price_unit: str | None
    on_unconfirmed: str
    deliver_by: datetime | None
    created_at: datetime
    submitted_at: Annotated[datetime | None, Field(description="When Twilio is known to have had it.")]
    sent_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    warnings: list[str]


class MessageList(BaseModel):
    """A page of messages, newest first."""

    data: list[MessageOut]
    has_more: bool
    next_cursor: str | None


class EventOut(BaseModel):
    """One piece of evidence, or one step of ours."""

    seq: int
    source: Annotated[str, Field(examples=[str(source) for source in Source])]
    status: Annotated[str, Field(description="As it was reported, also a word that smsapp does not know.")]
    applied: bool
    reason: Annotated[
        str | None,
        Field(description="Why it changed nothing, or why we did it.", examples=[str(Reason.LATE)]),
    ]
    attempt: int | None
    error_code: int | None
    twilio_sid: str | None
    received_at: datetime
    payload: dict[str, Any] | None


class EventList(BaseModel):
    """A message's history in the order of recording."""

    data: list[EventOut]
    has_more: bool
    next_cursor: str | None


class ProblemFault(BaseModel):
    """One faulty part of the request."""

    pointer: str
    code: str
    detail: str


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str | None
    errors: list[ProblemFault] | None = None


class WaitQuery(BaseModel):
    """Long-polling."""

    model_config = ConfigDict(extra="forbid")

    wait: Annotated[
        int, Field(ge=0, le=30, description="Answer when the message is final, or after so many seconds.")
    ] = 0


class ListQuery(BaseModel):
    """Filters of the list of messages; all must match."""

    model_config = ConfigDict(extra="forbid")

    status: Annotated[str | None, Field(max_length=16)] = None
    to: Annotated[str | None, Field(max_length=64, description="The recipient in E.164 form.")] = None
    client_reference: Annotated[str | None, Field(max_length=255)] = None
    created_from: Annotated[AwareDatetime | None, Field(description="At or after this time.")] = None
    created_until: Annotated[AwareDatetime | None, Field(description="Before this time.")] = None
    cursor: Annotated[str | None, Field(max_length=64, description="`next_cursor` of the page before.")] = (
        None
    )
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.created_from and self.created_until and self.created_from >= self.created_until:
            raise ValueError("created_from must be before created_until")
        return self

    @field_validator("status", "to", "client_reference")
    @classmethod
    def _storable(cls, value: str | None) -> str | None:
        _no_nul(value)
        return value


class EventQuery(BaseModel):
    """Paging through a history."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[int, Field(ge=0, le=2**31 - 1, description="Only events after this number.")] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


def json_content(model: type[BaseModel], media_type: str = "application/json") -> dict[str, Any]:
    """Return an OpenAPI content object that refers to a model."""
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


PROBLEM_CONTENT = json_content(Problem, "application/problem+json")
COMPONENTS = (MessageOut, MessageList, EventOut, EventList, Problem)
