"""Requests as pydantic models: what is checked is what the API document says."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from smsapp.queue.lanes import Priority
from smsapp.sending.option_schemas import ONE_CONTENT, ContentSource, SendOptions, beside
from smsapp.web.fields import Cell, Text, To
from smsapp.web.openapi_parts import RoomDocument


class SendRequest(SendOptions, ContentSource):
    """What to send: a text (`body`, or a `template` with `values`), `media_urls`, or a `content_sid`.

    Without `from` and `messaging_service_sid` the configured sender is used.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"to": "+14155552671", "body": "Your code is 123456"}],
            **ONE_CONTENT,
        },
    )

    to: Annotated[To, Field(description="The recipient in E.164 form.")]
    values: Annotated[
        dict[str, Cell] | None,
        Field(description="What the template's placeholders stand for.", examples=[{"name": "Ann"}]),
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

    _for_a_template = field_validator("values")(beside)


class Finding(BaseModel):
    """What one check says."""

    check: Annotated[str, Field(examples=["content", "number", "times", "caps", "sending", "pace"])]
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
        str | None,
        Field(description="The text, a template filled in; null for a sensitive one, and with content_sid."),
    ]
    media_urls: list[str] | None
    content_sid: str | None
    content_variables: dict[str, str] | None
    smart_encoded: bool | None
    shorten_urls: bool | None
    send_as_mms: bool | None
    risk_check: str | None
    encoding: Annotated[str, Field(description="GSM-7 or UCS-2.")]
    segments: int
    units: Annotated[int, Field(description="Septets in GSM-7, UTF-16 code units in UCS-2.")]
    units_per_segment: int
    units_left: Annotated[int, Field(description="Room in the last segment.")]
    offending_characters: list[OffendingCharacter]
    price: Annotated[PriceEstimate | None, Field(description="null where the operator has set no price.")]


DOCUMENT = RoomDocument(answers=(DryRun,))
