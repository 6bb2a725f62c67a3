"""HTTP without a framework: a parser for plain POST requests, request targets, media types, and problem documents.

The parser costs a tenth of a general one. It accepts only unambiguous requests. Everything else, faulty or merely
unusual, is left to the server's own parser: `parse_head` then returns None. A differential test proves that both
parsers agree.
"""

import json
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

MAX_BODY_BYTES = 64 * 1024
_MAX_HEAD_BYTES = 8 * 1024
_MAX_FIELDS = 100

JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"

SECURITY_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",  # numbers and texts are personal data
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer but the empty ones to callbacks, as OWASP has it for APIs
(https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html#security-headers). Only the proxy
knows of TLS, so Strict-Transport-Security is its own (deploy/Caddyfile).
"""

METHOD = b"POST "
"""The beginning of every request that is parsed here."""

# The target as RFC 9112 section 3.2.1 has it, without the percent-escapes that would make two paths of one.
_REQUEST_LINE = re.compile(rb"POST ((/[\w./-]{1,200})(?:\?[!-\"$-~]*)?) HTTP/1\.1\r\n")
# RFC 9110 section 5: a token, a colon, visible characters; no continuation lines (obs-fold).
_FIELDS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*")
_LENGTH = re.compile(r"[0-9]{1,5}")
# RFC 9112 section 3.2.2, with a host and without userinfo, which RFC 9110 section 4.2.4 calls an error.
_ABSOLUTE = re.compile(
    r"https?://((?:\[[0-9a-f.:]+\]|[^\s/?#@:\[\]]+)(?::[0-9]{0,5})?)(/[^?#]*)?(\?[^#]*)?", re.IGNORECASE
)
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


class Target(NamedTuple):
    """What a request asks for: `raw` is path and query as requested; `authority` only if the target names it."""

    raw: str
    authority: str | None = None


class MalformedTargetError(ValueError):
    """The request line names nothing that a server can have."""


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


def parse_target(method: str, target: str) -> Target:
    """Return a request target in one form, whichever of those of RFC 9112 section 3.2 it has.

    A server must accept the absolute form, too. Its authority is that of the caller, and proves nothing.

    Raises:
        MalformedTargetError: it has none of these forms, or one that only a proxy takes.
    """
    if (target.startswith("/") and "#" not in target) or (method, target) == ("OPTIONS", "*"):
        return Target(target)
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or method == "CONNECT":
        raise MalformedTargetError
    authority, path, query = absolute.groups(default="")
    return Target((path or "/") + query, authority)


def media_type(content_type: str) -> str:
    """Return the media type of a Content-Type field in lower case, as types have no case; empty if there is none."""
    return content_type.partition(";")[0].strip(" \t").lower()


def problem_document(
    status: int, code: str, detail: str, *, request_id: str | None, **members: Any
) -> dict[str, Any]:
    """Return an error as RFC 9457 has it."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id,
        **members,
    }


def problem_answer(
    status: int, code: str, detail: str, *, request_id: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """Return a response with a problem document."""
    body = json.dumps(problem_document(status, code, detail, request_id=request_id)).encode()
    fields = {
        "Content-Type": PROBLEM_TYPE,
        "Content-Length": str(len(body)),
        **SECURITY_HEADERS,
        **(headers or {}),
    }
    return Answer(f"{status} {HTTPStatus(status).phrase}", list(fields.items()), body)


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
