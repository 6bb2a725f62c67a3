"""Single fields of requests: what is taken, as JSON and as a parameter, and what is not."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, ValidationError

from smsapp.web.fields import WHOLE, CursorOf, Text, Time


class Request(BaseModel):
    """One field of each kind."""

    time: Time | None = None
    number: Annotated[int | None, Field(ge=1), WHOLE] = None
    cursor: Annotated[UUID | None, CursorOf("msg")] = None
    text: Annotated[Text | None, Field(max_length=3)] = None


def as_json(document: str) -> Request:
    return Request.model_validate_json(document, strict=True)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T09:30:00Z",
        "2026-11-20t09:30:00z",
        "2026-11-20T09:30:00.000Z",
        "2026-11-20T09:30:00.000000000Z",
        "2026-11-20T11:30:00+02:00",
        "2026-11-20T09:30:00-00:00",
    ],
)
def test_times_are_those_of_rfc_3339(text: str) -> None:
    expected = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)

    assert (as_json(f'{{"time": "{text}"}}').time, Request.model_validate({"time": text}).time) == (
        expected,
        expected,
    )


@pytest.mark.parametrize(
    "text",
    ["", "0.5", "1767225600", "2026-11-20", "2026-11-20T09:30:00", "2026-11-20T09:30Z", "2026-11-20 09:30:00Z",
     "2026-13-20T09:30:00Z", "2026-11-20T09:30:60Z", "2026-11-20T09:30:00+24:00", "0001-01-01T00:00:00+01:00",
     "٢026-11-20T09:30:00Z"],
)  # fmt: skip
def test_nothing_else_is_a_time(text: str) -> None:
    with pytest.raises(ValidationError):
        as_json(f'{{"time": "{text}"}}')
    with pytest.raises(ValidationError):
        Request.model_validate({"time": text})


def test_a_number_is_no_time_in_json() -> None:
    with pytest.raises(ValidationError):
        as_json('{"time": 1767225600}')


def test_a_whole_number_may_have_a_point() -> None:
    assert (as_json('{"number": 5.0}').number, as_json('{"number": 5}').number) == (5, 5)
    for number in ("5.5", "0.0", "1e400", "true", '"5"'):
        with pytest.raises(ValidationError):
            as_json(f'{{"number": {number}}}')


def test_a_cursor_is_the_id_of_what_is_listed() -> None:
    hexadecimal = "01890a5d96a07c4b9f3e2d1c0b0a0908"

    assert Request.model_validate({"cursor": f"msg_{hexadecimal}"}).cursor == UUID(hexadecimal)
    for text in ("", hexadecimal, f"job_{hexadecimal}", f"msg_{hexadecimal}\n", f"msg_{hexadecimal.upper()}"):
        with pytest.raises(ValidationError, match="no cursor of ours"):
            Request.model_validate({"cursor": text})


def test_the_document_says_so() -> None:
    said = Request.model_json_schema()["properties"]

    assert said["cursor"]["pattern"] == "^msg_[0-9a-f]{32}$"
    assert said["number"]["anyOf"][0] == {"type": "integer", "minimum": 1}
    assert said["text"]["anyOf"][0] == {"type": "string", "maxLength": 3, "pattern": r"^[^\x00]*$"}
    assert said["time"]["anyOf"][0] == {"type": "string", "format": "date-time"}
