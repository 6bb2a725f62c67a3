"""What every room answers or takes: problems, and the headers of requests that may be repeated."""

from typing import Annotated

from pydantic import BaseModel, Field

from smsapp.web.openapi_parts import RoomDocument

FAULT_CODES = (
    "bad_character",
    "bad_placeholder",
    "expired",
    "invalid",
    "lone_braces",
    "malformed_csv",
    "malformed_json",
    "missing_column",
    "missing_value",
    "no_rows",
    "number_type_refused",
    "opted_out",
    "out_of_range",
    "past",
    "recipient_limit",
    "repeated",
    "repeated_column",
    "required",
    "reused",
    "text_too_long",
    "too_long",
    "too_many_columns",
    "too_many_rows",
    "too_short",
    "unknown",
    "unknown_charset",
    "unknown_field",
    "wrong_charset",
    "wrong_type",
)
"""The codes of faulty parts; programs may rely on them, so none is renamed or removed."""


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
            description=f"One of {', '.join(f'`{code}`' for code in FAULT_CODES)}. More may be added.",
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


class SendHeaders(BaseModel):
    """Headers that a request to send may have."""

    idempotency_key: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=255,
            pattern=r"^[ -~]*$",
            description="Any text of yours that is new for each message. A repeated request with the same key gets the "
            "first answer again and sends nothing, for at least 24 hours; with another request the key is refused. "
            "Requests are the same that mean the same: the order of members, spaces and spelled-out defaults do not "
            "count.",
        ),
    ] = None


DOCUMENT = RoomDocument(answers=(Problem,))
