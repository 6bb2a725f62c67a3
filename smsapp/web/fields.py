"""Types of single request fields: what they accept, and the error for anything else."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from smsapp.ids import Prefix, parse_id, parse_job_id
from smsapp.recipients.phone import (
    ADDRESS,
    PHONE_FAULTS,
    SENDER,
    InvalidPhoneNumber,
    InvalidSender,
    Recipient,
    parse_recipient,
    parse_sender,
)
from smsapp.recipients.quiet_hours import SPAN, InvalidQuietHours, QuietHours
from smsapp.text import BLANK, is_blank

_LOST_PLUS = re.compile(r"\A((?:whatsapp:)?) ")
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class CursorOf:
    """Marks a parameter that takes the `next_cursor` of a list whose items have ids with this prefix."""

    prefix: Prefix

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> CoreSchema:
        """Parse the id of the last item."""
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(self, _schema: object, _handler: object) -> dict[str, Any]:
        """Describe the id."""
        return {"type": "string", "pattern": rf"^{self.prefix}_[0-9a-f]{{32}}$"}

    def _read(self, value: str) -> UUID:
        found = parse_id(value, self.prefix)
        if found is None:
            raise ValueError("this is no cursor of ours; use `next_cursor` as it is")
        return found


def _no_nul(value: object) -> object:
    """Refuse NUL, which no phone shows and PostgreSQL cannot store."""
    if isinstance(value, str) and "\x00" in value:
        raise ValueError("must not contain the character NUL")
    return value


def _visible(value: str) -> str:
    if value and is_blank(value):
        raise ValueError("must contain a character that can be seen")
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
    """Return the number in its stored form; a plus sign that the client did not escape arrives as a space."""
    return _recipient(_address(value)).e164


def _address(value: object) -> object:
    """Return the address as the client meant it: a plus sign that the client did not escape arrives as a space."""
    return _LOST_PLUS.sub(r"\1+", value) if isinstance(value, str) else value


def _cell(value: object) -> object:
    """Return a placeholder's value as text, as in the rows of a job; null means no value."""
    if value is None:
        return ""
    whole = _whole(value)
    return str(whole) if isinstance(whole, int) and not isinstance(whole, bool) else value


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


def _time(value: object) -> object:
    """Parse RFC 3339 and nothing else that pydantic accepts as a time, such as seconds since 1970."""
    if not isinstance(value, str):
        return value
    try:
        found = datetime.fromisoformat(value.upper()) if _RFC_3339.fullmatch(value) else None
    except ValueError:
        found = None
    if found is None:
        raise ValueError("must be a time with its offset, such as 2026-11-20T09:30:00Z")
    return found


def _whole(value: object) -> object:
    """Read 5.0 as 5, as JSON Schema does: some languages have only floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a year between 1 and 9999, in UTC, too") from None


def separated(value: object) -> object:
    """Split a text at its commas; return anything else unchanged."""
    return value.split(",") if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_no_nul), Field(json_schema_extra={"pattern": r"^[^\x00]*$"})]
VisibleText = Annotated[
    Text,
    AfterValidator(_visible),
    Field(json_schema_extra={"pattern": rf"^[^\x00]*[^{BLANK}][^\x00]*$"}),
]
WHOLE = BeforeValidator(_whole)
Tag = Annotated[Text, StringConstraints(min_length=1, max_length=64)]
Cell = Annotated[Text, BeforeValidator(_cell), WithJsonSchema({"type": ["string", "integer", "null"]})]
Url = Annotated[
    Text,
    StringConstraints(max_length=2048),
    AfterValidator(_url),
    Field(json_schema_extra={"format": "uri", "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[^\x00-\x20]+$"}),
]
Time = Annotated[AwareDatetime, BeforeValidator(_time), AfterValidator(_in_utc)]
Sender = Annotated[
    Text,
    StringConstraints(max_length=64),
    AfterValidator(_sender),
    Field(json_schema_extra={"pattern": f"^({SENDER})$"}),
]
AddressFilter = Annotated[Text, BeforeValidator(_address), StringConstraints(max_length=64)]
QuietSpan = Annotated[
    Text,
    AfterValidator(_quiet_hours),
    Field(json_schema_extra={"pattern": f"^{SPAN}$", "examples": ["21:00-08:00"]}),
]

_TAGS_SCHEMA = {
    "type": "array",
    "items": {"type": "string", "pattern": r"^[^,\x00]{1,64}$"},
    "minItems": 1,
    "maxItems": 10,
}
Tags = Annotated[
    list[Tag], BeforeValidator(separated), Field(min_length=1, max_length=10), WithJsonSchema(_TAGS_SCHEMA)
]

_NUMBER_SCHEMA = {"type": "string", "pattern": f"^{ADDRESS}$", "examples": ["+14155552671"]}
To = Annotated[
    Recipient,
    PlainValidator(_recipient),
    PlainSerializer(lambda recipient: recipient.e164, return_type=str),
    WithJsonSchema(_NUMBER_SCHEMA),
]
ToFilter = Annotated[str, BeforeValidator(_recipient_in_query), WithJsonSchema(_NUMBER_SCHEMA)]
_JOB_SCHEMA = {
    "type": "string",
    "pattern": "^job_[0-9a-f]{32}$",
    "examples": ["job_01890a5d96a07c4b9f3e2d1c0b0a0908"],
}
JobFilter = Annotated[UUID, PlainValidator(_job_id), WithJsonSchema(_JOB_SCHEMA)]
