"""Twilio's requests as bytes: the plainest form of them is read here at a tenth of a general parser's cost.

Only what admits of one reading: everything else, faulty or merely unusual, is left to the server's own parser, which
`parse_head` says by returning None. A differential test holds that both read the same.
"""

import re
from typing import Literal, NamedTuple

Kind = Literal["status", "inbound"]

MAX_BODY_BYTES = 64 * 1024
_MAX_HEAD_BYTES = 8 * 1024
_MAX_FIELDS = 100

EXTENSION = "smsapp_take_callback"
"""Where the application's `extensions` have the function that takes a callback and tells what to answer."""

PREFIX = b"POST /twilio/"
"""How each request begins that may be read here."""

# The target as RFC 9112 section 3.2.1 has it, without the percent-escapes that would make two paths of one.
_REQUEST_LINE = re.compile(
    rb"POST (/twilio/(?:status(?:/([\w-]{1,64}))?|(inbound))(?:\?[!-\"$-~]*)?) HTTP/1\.1\r\n"
)
# RFC 9110 section 5: a token, a colon, visible characters; no line that continues the one before.
_FIELDS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*")
_LENGTH = re.compile(rb"\d{1,5}")
_CHANGE_THE_MEANING = (b"transfer-encoding", b"expect", b"upgrade")


class CallbackRequest(NamedTuple):
    """A request to one of the addresses that Twilio calls.

    `target` is the last part of the path, None on those without one; `raw_target` is path and query as requested;
    absent headers are empty.
    """

    kind: Kind
    target: str | None
    raw_target: str
    signature: str
    content_type: str
    idempotency_token: str
    body: bytes


class Answer(NamedTuple):
    """What to answer; without a body there is no Content-Length either, as a 204 demands."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


class Head(NamedTuple):
    """A request whose body may not be here yet: its bytes in the buffer are `body_at:ends_at`."""

    request: CallbackRequest
    body_at: int
    ends_at: int


def parse_head(buffer: bytes) -> Head | None:
    """Return the request that the buffer begins with, without its body, or None to leave it to the server's parser."""
    line = _REQUEST_LINE.match(buffer)
    end = buffer.find(b"\r\n\r\n", 0, _MAX_HEAD_BYTES)
    if line is None or end < 0:
        return None
    text = buffer[line.end() : end + 2]
    fields = _fields(text) if _FIELDS.fullmatch(text) else None
    length = _body_length(fields) if fields else None
    if not fields or length is None:
        return None
    raw_target, target, inbound = line.groups()
    request = CallbackRequest(
        kind="inbound" if inbound else "status",
        target=target.decode() if target else None,
        raw_target=raw_target.decode(),
        signature=fields.get(b"x-twilio-signature", b"").decode("latin-1"),
        content_type=fields.get(b"content-type", b"").decode("latin-1"),
        idempotency_token=fields.get(b"i-twilio-idempotency-token", b"").decode("latin-1"),
        body=b"",
    )
    return Head(request, end + 4, end + 4 + length)


def _fields(text: bytes) -> dict[bytes, bytes] | None:
    """Return the header fields by lower-case name; None when there are too many, or one is repeated."""
    lines = text.split(b"\r\n")[:-1]
    fields = {}
    for line in lines:
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip(b" \t")
    return fields if len(fields) == len(lines) <= _MAX_FIELDS else None


def _body_length(fields: dict[bytes, bytes]) -> int | None:
    """Return the length of the body when nothing else in the head has a say in it."""
    if b"host" not in fields or any(name in fields for name in _CHANGE_THE_MEANING):
        return None
    if fields.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    digits = fields.get(b"content-length", b"")
    if not _LENGTH.fullmatch(digits) or int(digits) > MAX_BODY_BYTES:
        return None
    return int(digits)
