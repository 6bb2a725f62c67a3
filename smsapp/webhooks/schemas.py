"""Subscriptions and deliveries as pydantic models: requests, and what the API document promises of answers."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from smsapp.events.types import EventType
from smsapp.web.fields import WHOLE, CursorOf, Tag, Text, Time, Url
from smsapp.web.openapi_parts import RoomDocument
from smsapp.webhooks.rules import DeliveryStatus

MAX_OVERLAP_S = 7 * 24 * 3600
_HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$"
_OURS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection", "expect"})


def _event_type(value: object) -> object:
    """Read the word also where everything else is read strictly."""
    return EventType(value) if isinstance(value, str) and value in set(EventType) else value


def _header_name(value: object) -> object:
    if isinstance(value, str) and (value.lower() in _OURS or value.lower().startswith("webhook-")):
        raise ValueError("is set by smsapp itself")
    return value


EventTypeName = Annotated[
    EventType,
    BeforeValidator(_event_type),
    WithJsonSchema({"type": "string", "enum": [str(kind) for kind in EventType]}),
]
EventTypeNames = Annotated[
    list[EventTypeName], Field(min_length=1, max_length=50, description="Only these; null for all.")
]
Tags = Annotated[
    list[Tag],
    Field(min_length=1, max_length=20, description="Only of messages with one of these; null for all."),
]
HeaderName = Annotated[str, BeforeValidator(_header_name), StringConstraints(pattern=_HEADER_NAME)]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[!-~]([ -~]{0,1022}[!-~])?$")]
Headers = Annotated[
    dict[HeaderName, HeaderValue],
    Field(
        max_length=20,
        json_schema_extra={"propertyNames": {"pattern": _HEADER_NAME}},
        description="Sent with each event, for your own gateway's credentials, say. Not shown again.",
    ),
]
Description = Annotated[Text, Field(max_length=255)]
ConsumerUrl = Annotated[Url, Field(description="Where to POST events: https, and a public address.")]


class SubscriptionRequest(BaseModel):
    """Whom to tell of what."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"url": "https://example.com/sms-events", "event_types": ["message.delivered"]}]
        },
    )

    url: ConsumerUrl
    event_types: EventTypeNames | None = None
    tags: Tags | None = None
    headers: Headers | None = None
    description: Description | None = None


class SubscriptionChange(BaseModel):
    """What to change; what is not named stays."""

    model_config = ConfigDict(extra="forbid")

    url: ConsumerUrl | SkipJsonSchema[None] = None
    event_types: EventTypeNames | None = None
    tags: Tags | None = None
    headers: Headers | None = None
    description: Description | None = None
    enabled: Annotated[
        bool | SkipJsonSchema[None],
        Field(description="False stops it; true lets it go on, what waited included."),
    ] = None

    @model_validator(mode="after")
    def _never_without(self) -> Self:
        for name in ("url", "enabled"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} must not be null")
        return self


class RotateRequest(BaseModel):
    """How long the former secret still signs, too."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: Annotated[
        int, Field(ge=0, le=MAX_OVERLAP_S, description="Seconds; a day unless you say."), WHOLE
    ] = 86_400


class RecoverRequest(BaseModel):
    """From when on to look for what was not delivered."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"since": "2026-11-20T00:00:00Z"}]}
    )

    since: Time


class ExampleRequest(BaseModel):
    """Of which kind the example shall be."""

    model_config = ConfigDict(extra="forbid")

    event_type: EventTypeName = EventType.MESSAGE_DELIVERED


class SubscriptionQuery(BaseModel):
    """Paging through subscriptions."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[
        UUID | None, CursorOf("sub"), Field(description="`next_cursor` of the page before.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class DeliveryQuery(BaseModel):
    """Filters of a list of deliveries."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[
        UUID | None, CursorOf("dlv"), Field(description="`next_cursor` of the page before.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    status: Literal["pending", "delivered", "failed"] | None = None


class Subscription(BaseModel):
    """Whom events go to, and how it fares."""

    id: Annotated[str, Field(examples=["sub_01890a5d96a07c4b9f3e2d1c0b0a0908"])]
    kind: Annotated[
        str,
        Field(
            description="`subscription`, or `callback`: one host of `callback_url`s that messages came with.",
            examples=["subscription"],
        ),
    ]
    url: str
    description: str | None
    event_types: list[str] | None
    tags: list[str] | None
    headers: Annotated[dict[str, str], Field(description="Names only; values are not shown.")]
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: Annotated[str | None, Field(examples=["gone", "failing", "by_caller"])]
    failures: Annotated[int, Field(description="Failed requests in a row.")]
    failing_since: datetime | None
    paused_until: Annotated[
        datetime | None, Field(description="It failed too often in a row, or asked for it.")
    ]
    recovering: Annotated[bool, Field(description="Former events are still being looked through.")]
    former_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime


class SubscriptionWithSecret(Subscription):
    """The only answer that shows the secret."""

    secret: Annotated[str, Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])]


class SubscriptionList(BaseModel):
    """A page of subscriptions, oldest first."""

    data: list[Subscription]
    has_more: bool
    next_cursor: str | None


class Delivery(BaseModel):
    """One event on its way to one consumer."""

    id: Annotated[str, Field(examples=["dlv_01890a5d96a07c4b9f3e2d1c0b0a0908"])]
    subscription_id: str
    event_type: str
    seq: Annotated[int | None, Field(description="The event's number in the feed; null for an example.")]
    message_id: Annotated[str | None, Field(description="The message that it tells of.")]
    url: Annotated[str | None, Field(description="The message's own `callback_url`, if it went there.")]
    status: Annotated[str, Field(examples=[str(status) for status in DeliveryStatus])]
    attempts: int
    next_attempt_at: datetime | None
    status_code: Annotated[int | None, Field(description="What the consumer answered last.")]
    error: Annotated[str | None, Field(description="Why there was no usable answer.", examples=["timeout"])]
    created_at: datetime
    finished_at: datetime | None


class DeliveryList(BaseModel):
    """A page of deliveries, newest first."""

    data: list[Delivery]
    has_more: bool
    next_cursor: str | None


class DeliveryAttempt(BaseModel):
    """One request to a consumer."""

    number: int
    began_at: datetime
    duration_ms: int
    status_code: int | None
    error: str | None
    response: Annotated[str | None, Field(description="The beginning of the answer, at most 4 KiB.")]


class DeliveryDetail(Delivery):
    """A delivery with its latest attempts, at most 100."""

    attempt_list: list[DeliveryAttempt]


DOCUMENT = RoomDocument(
    answers=(
        Subscription,
        SubscriptionWithSecret,
        SubscriptionList,
        Delivery,
        DeliveryList,
        DeliveryAttempt,
        DeliveryDetail,
    )
)
