"""Requests as bytes: the plainest form of a POST is read here at a tenth of a general parser's cost.

Only what admits of one reading: everything else, faulty or merely unusual, is left to the server's own parser, which
`parse_head` says by returning None. A differential test holds that both read the same.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

MAX_BODY_BYTES = 64 * 1024
_MAX_HEAD_BYTES = 8 * 1024
_MAX_FIELDS = 100

METHOD = b"POST "
"""How each request begins that may be read here."""

# The target as RFC 9112 section 3.2.1 has it, without the percent-escapes that would make two paths of one.
_REQUEST_LINE = re.compile(rb"POST ((/[\w./-]{1,200})(?:\?[!-\"$-~]*)?) HTTP/1\.1\r\n")
# RFC 9110 section 5: a token, a colon, visible characters; no line that continues the one before.
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
    """What to answer; without a body there is no Content-Length either, as a 204 demands."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


Handler = Callable[[PlainRequest], Answer | None]
"""Answers a request, or returns None to leave it to the application; then it has changed nothing."""

EXTENSION = "smsapp_fast_path"
"""Where the application's `extensions` have a mapping from the beginnings of paths to handlers."""


class Head(NamedTuple):
    """A request whose body may not be here yet: its bytes in the buffer are `body_at:ends_at`."""

    request: PlainRequest
    body_at: int
    ends_at: int


def parse_head(buffer: bytes) -> Head | None:
    """Return the request that the buffer begins with, without its body, or None to leave it to the server's parser."""
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
    """Return the length of the body when nothing else in the head has a say in it."""
    if "host" not in fields or any(name in fields for name in _CHANGE_THE_MEANING):
        return None
    if fields.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    digits = fields.get("content-length", "")
    if not _LENGTH.fullmatch(digits) or int(digits) > MAX_BODY_BYTES:
        return None
    return int(digits)
