"""Reading an upload gives way to other requests, also when all of it has already arrived."""

import io

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from smsapp.uploads.rows import RawRow
from smsapp.web import uploads

BLOCKS = 8


class Clock:
    """A clock that each reading advances by ten milliseconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 0.01
        return self.now


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """How often others were let in."""
    given: list[None] = []
    monkeypatch.setattr(uploads, "give_way", lambda: given.append(None))
    monkeypatch.setattr(uploads, "time", Clock())
    return given


def request_with(body: bytes, content_type: str) -> Request:
    builder = EnvironBuilder(method="POST", input_stream=io.BytesIO(body), content_type=content_type)
    return Request(builder.get_environ() | {"CONTENT_LENGTH": str(len(body))})


def test_a_body_is_received_in_turns(turns: list[None]) -> None:
    incoming = uploads.IncomingUpload(request_with(b"x" * BLOCKS * 65_536, "text/csv"))

    incoming.receive(io.BytesIO())

    assert len(turns) >= BLOCKS


def test_a_form_is_received_and_read_in_turns(turns: list[None]) -> None:
    file = b"x" * BLOCKS * 65_536
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + file + b"\r\n--b--\r\n"
    )
    incoming = uploads.IncomingUpload(request_with(body, "multipart/form-data; boundary=b"))

    form = incoming.read_form()

    assert form.file
    with form.file:
        assert form.file.read() == file
    assert len(turns) >= 2 * BLOCKS


def test_rows_are_read_in_turns(turns: list[None]) -> None:
    rows = [RawRow(line) for line in range(3)]

    assert list(uploads.in_turns(rows)) == rows
    assert len(turns) == 3
