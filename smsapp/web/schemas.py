"""Answers as pydantic models: what the API document promises, and what the tests hold every answer to."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from smsapp.domain.outgoing import EventType
from smsapp.domain.tracking import Reason, Source


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


class Message(BaseModel):
    """A message and what is known of it. Enumerations are open: expect new words."""

    id: Annotated[str, Field(examples=["msg_01890a5d96a07c4b9f3e2d1c0b0a0908"])]
    status: Annotated[str, Field(examples=["delivered"])]
    outcome: Annotated[str | None, Field(description="How it ended; null while it is under way.")]
    explanation: Annotated[str, Field(description="What became of it, in one sentence.")]
    error: MessageError | None
    to: str
    sender: Annotated[str | None, Field(alias="from")]
    messaging_service_sid: str | None
    body: Annotated[str | None, Field(description="null of a sensitive text.")]
    sensitive: bool
    redacted_at: Annotated[
        datetime | None, Field(description="Since when a sensitive text is gone here and at Twilio.")
    ]
    media_urls: list[str] | None
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
    updated_at: datetime
    warnings: list[str]


class MessageList(BaseModel):
    """A page of messages, newest first."""

    data: list[Message]
    has_more: bool
    next_cursor: str | None


class Finding(BaseModel):
    """What one check says."""

    check: Annotated[str, Field(examples=["number", "times", "caps", "sending", "pace"])]
    verdict: Annotated[str, Field(description="`pass`, `warn`, `hold` or `refuse`.")]
    code: str | None
    detail: str
    until: Annotated[
        datetime | None,
        Field(
            description="How long it would wait for this alone, roughly; null if it would not, or who knows."
        ),
    ]


class OffendingCharacter(BaseModel):
    """A character that SMS's own alphabet does not have; one of them makes the whole text UCS-2."""

    character: str
    code_point: Annotated[str, Field(examples=["U+2019"])]
    positions: Annotated[list[int], Field(description="Where it stands, counted in characters from 0.")]


class PriceEstimate(BaseModel):
    """What it would cost by the operator's own table; Twilio bills what it bills."""

    amount: Annotated[str, Field(examples=["0.0166"])]
    per_segment: Annotated[str, Field(examples=["0.0083"])]
    currency: Annotated[str, Field(examples=["USD"])]


class DryRun(BaseModel):
    """What a request to send would come to; nothing was stored."""

    dry_run: bool
    verdict: Annotated[str, Field(description="The worst of the checks: `pass`, `warn`, `hold` or `refuse`.")]
    checks: list[Finding]
    to: str
    country: Annotated[str | None, Field(description="ISO 3166-1; null for numbers of no country.")]
    sender: Annotated[str | None, Field(alias="from")]
    messaging_service_sid: str | None
    body: Annotated[
        str | None, Field(description="The text, a template filled in; null for a sensitive one.")
    ]
    encoding: Annotated[str, Field(description="GSM-7 or UCS-2.")]
    segments: int
    units: Annotated[int, Field(description="Septets in GSM-7, UTF-16 code units in UCS-2.")]
    units_per_segment: int
    units_left: Annotated[int, Field(description="Room in the last segment.")]
    offending_characters: list[OffendingCharacter]
    price: Annotated[PriceEstimate | None, Field(description="null where the operator has set no price.")]


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
    payload: dict[str, Any] | None


class EventList(BaseModel):
    """A message's history in the order of recording."""

    data: list[Event]
    has_more: bool
    next_cursor: str | None


class FeedEvent(BaseModel):
    """Something that happened. The same `id` is always the same event, pulled or pushed."""

    id: Annotated[str, Field(examples=["evt_01890a5d96a07c4b9f3e2d1c0b0a0908"])]
    seq: Annotated[int, Field(description="Its number in the feed: no gaps, in the order of happening.")]
    type: Annotated[str, Field(examples=[str(kind) for kind in EventType])]
    timestamp: datetime
    data: Annotated[
        dict[str, Any],
        Field(
            description="What happened. Of `message.…`: the message's `id`, and where it stood right after it "
            "(`status`, `outcome`, `explanation`, `error`, `attempt`)."
        ),
    ]


class FeedPage(BaseModel):
    """Events in their order."""

    data: list[FeedEvent]
    has_more: bool
    next_after: Annotated[
        int, Field(description="Take this as `after` next time, also when `data` is empty.")
    ]
    latest: Annotated[int, Field(description="The number of the last event of all.")]


class ProblemFault(BaseModel):
    """One faulty part of the request."""

    pointer: Annotated[
        str,
        Field(
            description="A JSON Pointer into the body, or `?parameter`, or a header's name.", examples=["/to"]
        ),
    ]
    code: Annotated[
        str,
        Field(
            description="`required`, `unknown_field`, `wrong_type`, `too_short`, `too_long`, `out_of_range`, "
            "`invalid`, `repeated`, `past`, `reused`, `opted_out`, `malformed_json`, `unknown`, `missing_value`, "
            "`text_too_long`.",
            examples=["invalid"],
        ),
    ]
    detail: Annotated[str, Field(examples=["Is too short for a phone number of its country."])]


class Problem(BaseModel):
    """An error, as RFC 9457 has it. `code` is for programs and stays; `detail` is for people and may change."""

    type: Annotated[str, Field(examples=["about:blank"])]
    title: Annotated[str, Field(examples=["Bad Request"])]
    status: Annotated[int, Field(examples=[400])]
    code: Annotated[str, Field(examples=["invalid_request"])]
    detail: str
    request_id: str | None
    errors: list[ProblemFault] = []


class Health(BaseModel):
    """A sign of life."""

    status: str


class Readiness(BaseModel):
    """What each thing that the service needs is like: `ok`, or the name of what went wrong."""

    status: Annotated[str, Field(examples=["ok", "degraded", "unavailable"])]
    checks: dict[str, str]


ANSWERS = (
    Message,
    MessageList,
    DryRun,
    Event,
    EventList,
    FeedEvent,
    FeedPage,
    Health,
    Readiness,
    Problem,
)
