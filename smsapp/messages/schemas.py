"""Answers as pydantic models: what the API document promises, and what the tests hold every answer to."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from smsapp.messages.fold import Reason, Source
from smsapp.web.fields import CursorOf, JobFilter, Text, Time, ToFilter
from smsapp.web.openapi_parts import RoomDocument


class MessageError(BaseModel):
    """Why a message failed, or why it waits."""

    code: Annotated[int | None, Field(description="Twilio's error code; below 100 it is smsapp's own.")]
    class_: Annotated[str, Field(alias="class")]
    sentence: str
    advice: str
    retryable: bool
    scope: str
    who_acts: str
    doc_url: str | None
    until: Annotated[
        datetime | None,
        Field(description="Until when it waits at least; null for what ended, and in events."),
    ] = None


class Message(BaseModel):
    """A message and what is known of it. Enumerations are open: expect new words."""

    id: Annotated[str, Field(examples=["msg_01890a5d96a07c4b9f3e2d1c0b0a0908"])]
    status: Annotated[
        str,
        Field(
            description="How far it provably came. Ours are `pending`, `submitting` and `unconfirmed`. Twilio's are "
            "`accepted`, `scheduled`, `queued`, `sending`, `sent`, `partially_delivered` (some parts arrived; no end) "
            "and the final `canceled`, `failed`, `undelivered`, `delivered` and `read`.",
            examples=["delivered"],
        ),
    ]
    outcome: Annotated[str | None, Field(description="How it ended; null while it is under way.")]
    explanation: Annotated[str, Field(description="What became of it, in one sentence.")]
    error: MessageError | None
    to: str
    sender: Annotated[
        str | None,
        Field(
            alias="from", description="Of a Messaging Service, the sender that it chose, once Twilio told."
        ),
    ]
    messaging_service_sid: str | None
    body: Annotated[str | None, Field(description="null of a sensitive text.")]
    sensitive: bool
    redacted_at: Annotated[
        datetime | None, Field(description="Since when a sensitive text is gone here and at Twilio.")
    ]
    media_urls: list[str] | None
    content_sid: Annotated[
        str | None, Field(description="The Content template at Twilio that it is made of.")
    ]
    content_variables: Annotated[
        dict[str, str] | None,
        Field(description="What the template's variables stand for; null when sensitive."),
    ]
    smart_encoded: bool | None
    shorten_urls: bool | None
    send_as_mms: bool | None
    risk_check: Annotated[str | None, Field(description="`enable` or `disable`.")]
    client_reference: str | None
    tags: list[str] | None
    job_id: Annotated[str | None, Field(description="The job that it is part of.")]
    callback_url: str | None
    encoding: Annotated[str, Field(description="GSM-7 or UCS-2.")]
    segments: Annotated[int, Field(description="How many parts are billed; Twilio's count once it is known.")]
    twilio_sid: str | None
    attempt: Annotated[int, Field(description="The number of the present attempt, from 1.")]
    next_attempt_at: datetime | None
    price: Annotated[str | None, Field(description="Twilio's, negative, once it is billed.")]
    price_unit: str | None
    on_unconfirmed: str
    on_failure: Annotated[
        dict[str, Any] | None,
        Field(description="The plan as it was given; its history tells which steps it took."),
    ]
    send_at: Annotated[datetime | None, Field(description="When it was asked to be sent; null for at once.")]
    priority: Annotated[str, Field(description="`otp`, `normal` or `bulk`.")]
    deliver_by: datetime | None
    quiet_hours: Annotated[
        str | None,
        Field(description="Times of day at which it waits, in the recipient's time; null for none."),
    ]
    created_at: datetime
    submitted_at: Annotated[datetime | None, Field(description="When Twilio is known to have had it.")]
    sent_at: datetime | None
    finished_at: datetime | None
    carrier_at: Annotated[
        datetime | None,
        Field(
            description="When it happened by the carrier's clock, to the minute; null if that cannot be told."
        ),
    ] = None
    latency_s: Annotated[
        float | None,
        Field(
            description="Seconds from `submitted_at` to its end: the carrier's time of it, `finished_at` without one."
        ),
    ] = None
    updated_at: datetime
    warnings: list[str]


class MessageList(BaseModel):
    """A page of messages, newest first."""

    data: list[Message]
    has_more: bool
    next_cursor: str | None


class Event(BaseModel):
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
    carrier_at: Annotated[
        datetime | None, Field(description="The carrier's time of what was reported, to the minute.")
    ] = None
    repeats: Annotated[
        int, Field(description="How often the same callback came again and was only counted.")
    ] = 0
    payload: dict[str, Any] | None


class EventList(BaseModel):
    """A message's history in the order of recording."""

    data: list[Event]
    has_more: bool
    next_cursor: str | None


MAX_WAIT_S = 20
"""Below gunicorn's graceful timeout, so that a deploy cuts no long poll off."""


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

    status: Annotated[Text | None, Field(max_length=32, examples=["delivered"])] = None
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


DOCUMENT = RoomDocument(answers=(Message, MessageList, Event, EventList))
