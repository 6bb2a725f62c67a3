"""Types of single fields in requests: what they accept, and what they say about anything else."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)

from smsapp.domain.failures import FailureClass
from smsapp.domain.ids import parse_job_id
from smsapp.domain.outgoing import EventType
from smsapp.domain.phone import (
    PHONE_FAULTS,
    InvalidPhoneNumber,
    InvalidSender,
    Recipient,
    parse_recipient,
    parse_sender,
)
from smsapp.domain.plan import ANY, LATE, parse_span
from smsapp.domain.quiet import InvalidQuietHours, QuietHours


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
        raise ValueError(PHONE_FAULTS.get(error.reason, "is not a possible phone number")) from None


def _job_id(value: object) -> UUID:
    found = parse_job_id(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be the id of a job, such as job_01890a5d96a07c4b9f3e2d1c0b0a0908")
    return found


def _recipient_in_query(value: object) -> str:
    """Return the number as it is stored; a plus sign that the client did not escape arrives as a space."""
    return _recipient(f"+{value[1:]}" if isinstance(value, str) and value.startswith(" ") else value).e164


def _address(value: object) -> object:
    """Return the address as it was meant: a plus sign that the client did not escape arrives as a space."""
    return f"+{value[1:]}" if isinstance(value, str) and value.startswith(" ") else value


def _cell(value: object) -> object:
    """Return a placeholder's value as text, as in the rows of a job; null stands for none."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _quiet_hours(value: str) -> str:
    try:
        QuietHours.parse(value)
    except InvalidQuietHours:
        raise ValueError("must be two different times of day, such as 21:00-08:00") from None
    return value


def _sender(value: str) -> str:
    try:
        return parse_sender(value)
    except InvalidSender:
        raise ValueError(
            "must be an E.164 number, a short code, or an alphanumeric ID of at most 11 characters"
        ) from None


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not value.isprintable() or " " in value:
        raise ValueError("must be an http or https URL")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a year between 1 and 9999, in UTC, too") from None


def _separated(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


def _plan_span(value: str) -> str:
    parse_span(value)
    return value


Text = Annotated[str, BeforeValidator(_no_nul)]
Tag = Annotated[Text, StringConstraints(min_length=1, max_length=64)]
Cell = Annotated[Text, BeforeValidator(_cell), WithJsonSchema({"type": ["string", "integer", "null"]})]
TemplateName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$"), Field(examples=["order-shipped"])
]
TemplateVersion = Annotated[int, Field(ge=1, le=2**31 - 1)]
Url = Annotated[
    Text, StringConstraints(max_length=2048), AfterValidator(_url), Field(json_schema_extra={"format": "uri"})
]
Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Sender = Annotated[Text, StringConstraints(max_length=64), AfterValidator(_sender)]
AddressFilter = Annotated[Text, BeforeValidator(_address), StringConstraints(max_length=64)]
QuietSpan = Annotated[
    Text, AfterValidator(_quiet_hours), Field(json_schema_extra={"examples": ["21:00-08:00"]})
]

_TYPES_SCHEMA = {
    "type": "array",
    "items": {"type": "string", "enum": [str(kind) for kind in EventType]},
    "minItems": 1,
}
EventTypes = Annotated[
    list[EventType], BeforeValidator(_separated), Field(min_length=1), WithJsonSchema(_TYPES_SCHEMA)
]
_TAGS_SCHEMA = {
    "type": "array",
    "items": {"type": "string", "pattern": r"^[^,\x00]{1,64}$"},
    "minItems": 1,
    "maxItems": 10,
}
Tags = Annotated[
    list[Tag], BeforeValidator(_separated), Field(min_length=1, max_length=10), WithJsonSchema(_TAGS_SCHEMA)
]

_NUMBER_SCHEMA = {"type": "string", "examples": ["+14155552671"]}
To = Annotated[Recipient, PlainValidator(_recipient), WithJsonSchema(_NUMBER_SCHEMA)]
ToFilter = Annotated[str, BeforeValidator(_recipient_in_query), WithJsonSchema(_NUMBER_SCHEMA)]
_JOB_SCHEMA = {
    "type": "string",
    "pattern": "^job_[0-9a-f]{32}$",
    "examples": ["job_01890a5d96a07c4b9f3e2d1c0b0a0908"],
}
JobFilter = Annotated[UUID, PlainValidator(_job_id), WithJsonSchema(_JOB_SCHEMA)]

_PLAN_WORDS = "|".join([ANY, LATE, *FailureClass])
PlanWord = Annotated[str, StringConstraints(pattern=rf"^({_PLAN_WORDS}|[0-9]{{5}})$")]
PlanSpan = Annotated[
    str,
    StringConstraints(max_length=8),
    AfterValidator(_plan_span),
    Field(json_schema_extra={"pattern": r"^\d+[smh]$"}),
]
