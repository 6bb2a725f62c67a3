"""Answers about inbound texts and opt-outs as pydantic models."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from smsapp.domain.opt_out import OptOutSource


class InboundMessage(BaseModel):
    """A text that somebody sent to us."""

    id: Annotated[str, Field(examples=["in_01890a5d96a07c4b9f3e2d1c0b0a0908"])]
    sender: Annotated[str, Field(alias="from")]
    to: str
    messaging_service_sid: str | None
    body: str
    media_urls: list[str]
    keyword: Annotated[
        str | None,
        Field(
            description="STOP, START or HELP, when the text is one of Twilio's words for that or Twilio took it so."
        ),
    ]
    twilio_sid: str
    received_at: datetime


class InboundList(BaseModel):
    """A page of inbound texts, newest first."""

    data: list[InboundMessage]
    has_more: bool
    next_cursor: str | None


class Suppression(BaseModel):
    """Somebody who is not to be texted, or was not; `since`, `source` and `note` tell of the last change."""

    id: Annotated[str, Field(examples=["sup_01890a5d96a07c4b9f3e2d1c0b0a0908"])]
    recipient: str
    sender: str | None
    messaging_service_sid: str | None
    every_sender: Annotated[bool, Field(description="It holds for all senders; a START does not lift it.")]
    active: Annotated[bool, Field(description="False once it is lifted.")]
    source: Annotated[str, Field(examples=[str(source) for source in OptOutSource])]
    note: str | None
    reference: Annotated[str | None, Field(description="The id of the text or message that shows it.")]
    since: datetime


class SuppressionList(BaseModel):
    """A page of suppressions, in the order in which they were first known."""

    data: list[Suppression]
    has_more: bool
    next_cursor: str | None


class SuppressionChange(BaseModel):
    """One piece of evidence. `applied` is false for what came late: something newer was known."""

    suppresses: bool
    applied: bool
    source: str
    note: str | None
    reference: str | None
    by_key: Annotated[str | None, Field(description="The beginning of the API key that asked for it.")]
    at: datetime
    recorded_at: datetime


class SuppressionDetail(Suppression):
    """A suppression with its history, the latest first, of at most 100 lines."""

    history: list[SuppressionChange]


class ImportFault(BaseModel):
    """A row that was not taken."""

    line: Annotated[int, Field(description="Where the row begins in a CSV file; in JSON its number. From 1.")]
    column: str | None
    code: str
    reason: str


class ImportResult(BaseModel):
    """What an import did: `added` were new, `known` were suppressed already, `faults` names every other row."""

    rows: int
    added: int
    known: int
    faults: list[ImportFault]


OPT_OUT_ANSWERS = (
    InboundMessage,
    InboundList,
    Suppression,
    SuppressionList,
    SuppressionDetail,
    ImportResult,
)
