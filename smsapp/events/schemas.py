"""Requests for events, and the answers."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from smsapp.events.types import EventType
from smsapp.messages.schemas import MAX_WAIT_S
from smsapp.web.fields import Tags, separated
from smsapp.web.openapi_parts import RoomDocument

_TYPES_SCHEMA = {
    "type": "array",
    "items": {"type": "string", "enum": [str(kind) for kind in EventType]},
    "minItems": 1,
}


EventTypes = Annotated[
    list[EventType], BeforeValidator(separated), Field(min_length=1), WithJsonSchema(_TYPES_SCHEMA)
]


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
            "(`status`, `outcome`, `explanation`, `error`, `attempt`, and of what Twilio reported, `from` and "
            "`carrier_at`)."
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


DOCUMENT = RoomDocument(answers=(FeedEvent, FeedPage))
