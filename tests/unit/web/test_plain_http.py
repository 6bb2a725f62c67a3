"""Requests read by the fast path: exactly as gunicorn reads them, or not at all."""

import pytest
from gunicorn import http
from gunicorn.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st

from smsapp.web.plain_http import (
    MAX_BODY_BYTES,
    Head,
    MalformedTargetError,
    Target,
    media_type,
    parse_head,
    parse_target,
)
from tests.support.budget import examples

BODY = b"MessageSid=SM1&MessageStatus=sent"
SIGNED = {
    b"Host": b"sms.example.test",
    b"Content-Type": b"application/x-www-form-urlencoded; charset=utf-8",
    b"Content-Length": str(len(BODY)).encode(),
    b"X-Twilio-Signature": b"c2lnbmF0dXJl",
    b"I-Twilio-Idempotency-Token": b"token-1",
    b"User-Agent": b"TwilioProxy/1.1",
}


def request(
    line: bytes = b"POST /twilio/status/msg_1-2?x=1 HTTP/1.1",
    fields: dict[bytes, bytes] | None = None,
    body: bytes = BODY,
    **changed: bytes | None,
) -> bytes:
    """Return a request as bytes; `changed` replaces, adds or (None) removes header fields."""
    named = {name.replace("_", "-").encode(): value for name, value in changed.items()}
    merged = {**(SIGNED if fields is None else fields), **named}
    lines = [name + b": " + value for name, value in merged.items() if value is not None]
    return b"\r\n".join([line, *lines, b"", b""]) + body


def body_of(head: Head, buffer: bytes) -> bytes:
    return buffer[head.body_at : head.ends_at]


def test_a_callback_as_twilio_sends_it_is_read() -> None:
    buffer = request() + b"POST /next"

    head = parse_head(buffer)

    assert head is not None
    assert head.request._asdict() == {
        "path": "/twilio/status/msg_1-2",
        "raw_target": "/twilio/status/msg_1-2?x=1",
        "fields": {name.decode().lower(): value.decode() for name, value in SIGNED.items()},
        "body": b"",
    }
    assert body_of(head, buffer) == BODY
    assert buffer[head.ends_at :] == b"POST /next"


def test_a_body_that_is_not_here_yet_has_its_place() -> None:
    whole = request()

    head = parse_head(whole[: -len(BODY)])

    assert head is not None
    assert head.ends_at == len(whole)


@pytest.mark.parametrize(
    "buffer",
    [
        pytest.param(request()[:100], id="half a head"),
        pytest.param(request(b"GET /twilio/status HTTP/1.1"), id="another method"),
        pytest.param(request(b"POST /twilio/status HTTP/1.0"), id="another version"),
        pytest.param(request(b"POST /twilio/st%61tus HTTP/1.1"), id="an escape in the path"),
        pytest.param(request(b"POST /twilio/status#x HTTP/1.1"), id="a fragment"),
        pytest.param(request(b"POST http://a/twilio/status HTTP/1.1"), id="an absolute target"),
        pytest.param(request(b"POST  /twilio/status HTTP/1.1"), id="two blanks"),
        pytest.param(request(Host=None), id="no host"),
        pytest.param(request(Content_Length=None), id="no length"),
        pytest.param(request(Content_Length=b"+3"), id="a length with a sign"),
        pytest.param(request(Content_Length=b"3, 3"), id="a list of lengths"),
        pytest.param(request(Content_Length=str(MAX_BODY_BYTES + 1).encode()), id="too large"),
        pytest.param(request(content_length=b"3"), id="two lengths"),
        pytest.param(request(Transfer_Encoding=b"chunked"), id="chunks"),
        pytest.param(request(Expect=b"100-continue"), id="an expectation"),
        pytest.param(request(Script_Name=b"/x"), id="another root"),
        pytest.param(request(Upgrade=b"h2c", Connection=b"Upgrade"), id="an upgrade"),
        pytest.param(request(Connection=b"close"), id="the last request"),
        pytest.param(request(X=b"1\r\n folded"), id="a folded line"),
        pytest.param(request(X=b"1\x00"), id="a control character"),
        pytest.param(request(**{"X Y": b"1"}), id="a blank in a name"),
        pytest.param(request().replace(b"\r\n", b"\n"), id="bare line feeds"),
        pytest.param(request(X=b"x" * 9000), id="a long head"),
        pytest.param(request(**{f"X{i}": b"1" for i in range(100)}), id="many fields"),
    ],
)
def test_what_is_not_plain_is_left_to_gunicorn(buffer: bytes) -> None:
    assert parse_head(buffer) is None


NAME = st.sampled_from(
    [
        *SIGNED,
        b"content-length",
        b"HOST",
        b"x-twilio-signature",
        b"connection",
        b"Transfer-Encoding",
        b"X_Under",
        b"X-1",
        b"Expect",
        b"x:y",
        b"",
    ]
)
VALUE = st.sampled_from(
    [
        *SIGNED.values(),
        b"",
        b" ",
        b"5",
        b"0",
        b"007",
        b"-1",
        b"keep-alive",
        b"Keep-Alive, x",
        b"chunked",
        b"a\tb ",
        b"\xff",
        b"\x7f",
    ]
)
TARGET = st.text("abz/0._-%?&=#~!$'()*+,;:@ ", max_size=12).map(str.encode)
LINE = st.builds(
    lambda method, path, rest, version: method + b" " + path + rest + b" " + version,
    st.sampled_from([b"POST"] * 8 + [b"GET", b"post", b"POST "]),
    st.sampled_from([b"/twilio/status", b"/twilio/status/msg_1", b"/twilio/inbound"]),
    st.just(b"") | TARGET,
    st.sampled_from([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/2.0"]),
)
SPLICE = st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=3))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Requests that are nearly right: a field more or less, another target, a few bytes replaced."""
    fields = dict(SIGNED)
    for name in draw(st.lists(st.sampled_from(list(SIGNED)), max_size=1)):
        del fields[name]
    fields |= draw(st.dictionaries(NAME, VALUE, max_size=2))
    buffer = request(draw(LINE), fields)
    for at, length, bytes_ in draw(st.lists(SPLICE, max_size=1)):
        buffer = buffer[:at] + bytes_ + buffer[at + length :]
    return buffer


@settings(max_examples=examples(600))
@given(requests())
def test_what_is_read_is_what_gunicorn_reads(buffer: bytes) -> None:
    head = parse_head(buffer)
    if head is None or head.ends_at > len(buffer):
        return

    read = next(http.get_parser(Config(), iter([buffer]), ("127.0.0.1", 1)))

    assert (read.method, read.uri, read.version) == ("POST", head.request.raw_target, (1, 1))
    assert read.path == head.request.path
    assert {name.lower(): value for name, value in read.headers} == {
        name: value for name, value in head.request.fields.items() if "_" not in name
    }
    assert read.body.read() == body_of(head, buffer)
    assert not read.should_close()


@pytest.mark.parametrize(
    ("method", "target", "read"),
    [
        ("GET", "/", Target("/")),
        ("POST", "/twilio/status/a%2fb?x=%zz&y={}", Target("/twilio/status/a%2fb?x=%zz&y={}")),
        ("POST", "//elsewhere/x", Target("//elsewhere/x")),
        ("POST", "http://any.example/twilio/status?x=1", Target("/twilio/status?x=1", "any.example")),
        ("POST", "HTTPS://Any.Example:8443/a//b", Target("/a//b", "Any.Example:8443")),
        ("GET", "http://[::1]:80/x", Target("/x", "[::1]:80")),
        ("GET", "http://any.example", Target("/", "any.example")),
        ("GET", "http://any.example?x=http://y/", Target("/?x=http://y/", "any.example")),
        ("OPTIONS", "*", Target("*")),
    ],
)
def test_a_target_is_read_in_every_form_that_a_server_must_take(
    method: str, target: str, read: Target
) -> None:
    assert parse_target(method, target) == read


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "twilio/status"),
        ("POST", ""),
        ("POST", "?x=1"),
        ("POST", "*"),
        ("POST", "/twilio/status#part"),
        ("POST", "http://any.example/x#part"),
        ("POST", "http://"),
        ("POST", "http:///twilio/status"),
        ("POST", "http:/twilio/status"),
        ("POST", "http://user:secret@any.example/x"),
        ("POST", "http://any.example:port/x"),
        ("POST", "http://any.example:123456/x"),
        ("POST", "http://[::1/x"),
        ("POST", "http://[zz]/x"),
        ("POST", "ftp://any.example/x"),
        ("CONNECT", "any.example:443"),
        ("CONNECT", "http://any.example/"),
    ],
)
def test_any_other_target_is_malformed(method: str, target: str) -> None:
    with pytest.raises(MalformedTargetError):
        parse_target(method, target)


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("application/json", "application/json"),
        ("Application/JSON;charset=UTF-8", "application/json"),
        ('\ttext/CSV ; charset="utf-8"', "text/csv"),
        ("text/csvx", "text/csvx"),
        ("", ""),
        (";", ""),
    ],
)
def test_a_media_type_has_no_case_and_no_parameters(field: str, kind: str) -> None:
    assert media_type(field) == kind
