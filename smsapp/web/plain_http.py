"""A parser for plain POST requests, at a tenth of a general parser's cost.

It accepts only unambiguous requests. Everything else, faulty or merely unusual, is left to the server's own parser:
`parse_head` then returns None. A differential test proves that both parsers agree.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

MAX_BODY_BYTES = 64 * 1024
_MAX_HEAD_BYTES = 8 * 1024
_MAX_FIELDS = 100

METHOD = b"POST "
"""The beginning of every request that is parsed here."""

# The target as RFC 9112 section 3.2.1 has it, without the percent-escapes that would make two paths of one.
_REQUEST_LINE = re.compile(rb"POST ((/[\w./-]{1,200})(?:\?[!-\"$-~]*)?) HTTP/1\.1\r\n")
# RFC 9110 section 5: a token, a colon, visible characters; no continuation lines (obs-fold).
_FIELDS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*")
_LENGTH = re.compile(r"[0-9]{1,5}")
_CHANGE_THE_MEANING = ("transfer-encoding", "expect", "upgrade", "script_name", "script-name")


class PlainRequest(NamedTuple):
    """A POST. `raw_target` is path and query as requested; the names of `fields` are in lower case."""

    path: str
    raw_target: str
    fields: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """A response; without a body it has no Content-Length either, as a 204 requires."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


Handler = Callable[[PlainRequest], Answer | None]
"""Answers a request, or returns None, having changed nothing, to leave it to the application."""

EXTENSION = "smsapp_fast_path"
"""The key in the application's `extensions` of the mapping from path prefixes to handlers."""


class Head(NamedTuple):
    """A request whose body may not have arrived yet: it will be `buffer[body_at:ends_at]`."""

    request: PlainRequest
    body_at: int
    ends_at: int


def parse_head(buffer: bytes) -> Head | None:
    """Return the head of the request at the start of the buffer, or None to leave it to the server's parser."""
    line = _REQUEST_LINE.match(buffer)
    end = buffer.find(b"\r\n\r\n", 0, _MAX_HEAD_BYTES)
    if line is None or end < 0:
        return None
    text = buffer[line.end() : end + 2]
    fields = _fields(text.decode("latin-1")) if _FIELDS.fullmatch(text) else None
    length = _body_length(fields) if fields else None
    if not fields or length is None:
        return None
    raw_target, path = line.groups()
    return Head(PlainRequest(path.decode(), raw_target.decode(), fields, b""), end + 4, end + 4 + length)


def _fields(text: str) -> dict[str, str] | None:
    """Return the header fields by lower-case name; None when there are too many, or one is repeated."""
    lines = text.split("\r\n")[:-1]
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip(" \t")
    return fields if len(fields) == len(lines) <= _MAX_FIELDS else None


def _body_length(fields: Mapping[str, str]) -> int | None:
    """Return the body's length, or None when another header could affect it."""
    if "host" not in fields or any(name in fields for name in _CHANGE_THE_MEANING):
        return None
    if fields.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    digits = fields.get("content-length", "")
    if not _LENGTH.fullmatch(digits) or int(digits) > MAX_BODY_BYTES:
        return None
    return int(digits)
