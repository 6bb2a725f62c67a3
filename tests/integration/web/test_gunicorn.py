"""The API under its real server: what the request line looked like, how long a body may be, how it begins and ends."""

import fcntl
import http.client
import os
import re
import socket
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from simulator.signature import sign
from smsapp.web.plain_http import MAX_BODY_BYTES
from smsapp.web.schemas import Problem
from tests.support.environment import AUTH_TOKEN
from tests.support.stack import HOST, Stack

FORM = {"MessageSid": "SM" + "1" * 32, "MessageStatus": "delivered", "Body": "ä +%"}
FORM_TYPE = "application/x-www-form-urlencoded"
GRACEFUL_TIMEOUT_S = 25


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A web process and nothing else."""
    with Stack(tmp_path_factory.mktemp("gunicorn"), only={"web"}) as stack:
        yield stack


def ask(
    stack: Stack, method: str, target: str, body: bytes | Iterator[bytes] | None = None, **headers: str
) -> tuple[int, str, bytes]:
    """Make one request with the target exactly as it is; return status, content type and body."""
    connection = http.client.HTTPConnection(HOST, stack.ports["web"], timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, body, named, encode_chunked=isinstance(body, Iterator))
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Type", ""), answer.read()
    finally:
        connection.close()


def callback(stack: Stack, target: str, fields: bytes = b"") -> bytes:
    """Return a signed callback as bytes."""
    body = urlencode(FORM).encode()
    signature = sign(AUTH_TOKEN, stack.url() + target, FORM.items())
    head = (
        f"POST {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {FORM_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nX-Twilio-Signature: {signature}\r\n"
    )
    return head.encode() + fields + b"\r\n" + body


def connect(stack: Stack) -> socket.socket:
    """Return a connection to the web process on which each piece is a packet of its own."""
    connection = socket.create_connection((HOST, stack.ports["web"]), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def exchange(stack: Stack, pieces: list[bytes]) -> bytes:
    """Send pieces over one connection, each once the last was received, and return all that is answered."""
    answers = b""
    with connect(stack) as connection:
        for piece in pieces:
            connection.sendall(piece)
            while unsent(connection):
                time.sleep(0.001)
        while more := connection.recv(65536):
            answers += more
    return answers


def unsent(connection: socket.socket) -> int:
    """Return how many bytes the other side has not taken yet."""
    return int.from_bytes(fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


@pytest.mark.parametrize(
    "target",
    [
        "/twilio/status",
        "/twilio/status?x=%2F%2f&plus=+&y=",
        "/twilio/status/msg%5F018f00000000700080000000000000aa",
        "/twilio/status/%C3%A4%20%25;v=1,2:@!$&'()*+",
    ],
)
def test_twilio_is_believed_about_the_address_it_really_used(stack: Stack, target: str) -> None:
    signature = sign(AUTH_TOKEN, stack.url() + target, FORM.items())

    answer = ask(
        stack, "POST", target, urlencode(FORM).encode(), Content_Type=FORM_TYPE, X_Twilio_Signature=signature
    )

    assert answer == (204, "", b"")


@pytest.mark.parametrize("origin", ["http://any.example", "HTTPS://[::1]:8443", "http://127.0.0.1:1"])
@pytest.mark.parametrize("target", ["/twilio/status/msg_1?x=%2f", "/twilio/inbound"])
def test_a_callback_to_an_absolute_target_counts_like_any_other(
    stack: Stack, origin: str, target: str
) -> None:
    right = sign(AUTH_TOKEN, stack.url() + target, FORM.items())
    others = sign(AUTH_TOKEN, origin + target, FORM.items())  # whoever asks chooses the authority

    answers = [
        ask(stack, "POST", origin + target, urlencode(FORM).encode(), Content_Type=FORM_TYPE, **headers)[0]
        for headers in (
            {"X_Twilio_Signature": right},
            {"X_Twilio_Signature": "x"},
            {"X_Twilio_Signature": others},
            {},
        )
    ]

    assert answers == [200 if target.endswith("inbound") else 204, 403, 403, 403]


def test_an_absolute_target_is_an_address_like_any_other(stack: Stack) -> None:
    answers = [
        ask(stack, "GET", f"http://any.example{target}")[0]
        for target in ("/livez", "", "/sms/messages", "/nowhere")
    ]

    assert answers == [200, 404, 401, 404]


@pytest.mark.parametrize(
    "target",
    [
        "livez",
        "*",
        "/livez#x",
        "/twilio/status#x",
        "http://",
        "http://u:p@h/livez",
        "http://[::1/x",
        "ftp://h/",
        "h:1",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_target_that_is_none_is_a_bad_request(stack: Stack, method: str, target: str) -> None:
    status, content_type, body = ask(stack, method, target, Host="any.example", X_Twilio_Signature="x")

    assert (status, content_type) == (400, "application/problem+json")
    assert Problem.model_validate_json(body).code == "bad_request"


@pytest.mark.parametrize(
    "content_type",
    [FORM_TYPE.upper(), 'Application/X-WWW-Form-URLEncoded; Charset="UTF-8"', f"{FORM_TYPE} ;charset=utf-8"],
)
@pytest.mark.parametrize("fields", [b"", b"Connection: close\r\n"], ids=["fast path", "WSGI"])
def test_a_callbacks_media_type_has_no_case(stack: Stack, content_type: str, fields: bytes) -> None:
    odd = callback(stack, "/twilio/status", fields).replace(FORM_TYPE.encode(), content_type.encode())
    last = [] if fields else [callback(stack, "/twilio/status", b"Connection: close\r\n")]

    answers = exchange(stack, [odd, *last])

    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"204"] * (1 + len(last))


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("Application/JSON", 202),
        ('APPLICATION/JSON; charset="utf-8"', 202),
        ("application/json ; charset=UTF-8", 202),
        ("application/vnd.api+JSON", 202),
        ("application/jsonx", 415),
        ("", 415),
    ],
)
def test_a_texts_media_type_has_no_case(stack: Stack, content_type: str, status: int) -> None:
    text = b'{"to":"+14155552671","body":"x"}'
    key = f"Bearer {stack.api_key}"

    answers = {
        ask(stack, "POST", "/sms/send", text, Authorization=key, Content_Type=content_type, **more)[0]
        for more in ({}, {"Connection": "close"})
    }

    assert answers == {status}


@pytest.mark.parametrize("path", ["/sms/jobs?text=hi", "/sms/suppressions/import"])
def test_an_uploads_media_type_has_no_case(stack: Stack, path: str) -> None:
    answer = stack.upload(path, b"to,recipient\r\n", kind='Text/CSV; Charset="UTF-8"')

    assert answer.status < 415, answer.data


@pytest.mark.parametrize("path", ["/sms/send", "/twilio/status"])
def test_a_body_that_hides_its_length_is_no_way_around_the_limit(stack: Stack, path: str) -> None:
    chunks = iter([b"x" * 1024] * (MAX_BODY_BYTES // 1024 + 1))
    headers = {
        "Authorization": f"Bearer {stack.api_key}",
        "Content_Type": FORM_TYPE if path.startswith("/twilio") else "application/json",
        "X_Twilio_Signature": "A" * 27 + "=",
        "Transfer_Encoding": "chunked",
    }

    status, content_type, body = ask(stack, "POST", path, chunks, **headers)

    assert (status, content_type) == (413, "application/problem+json"), body
    assert Problem.model_validate_json(body).code == "too_large"


def test_callbacks_and_other_requests_take_turns_on_one_connection(stack: Stack) -> None:
    other = b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n"
    unknown = b"POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nx=1"
    last = callback(stack, "/twilio/status", b"Connection: close\r\n")

    answers = exchange(
        stack,
        [callback(stack, "/twilio/status") + other, unknown + callback(stack, "/twilio/inbound") * 2, last],
    )

    lines = re.findall(rb"HTTP/1\.1 (\d+)", answers)
    assert lines == [b"204", b"200", b"404", b"200", b"200", b"204"]


def test_a_callback_may_come_in_pieces(stack: Stack) -> None:
    last = callback(stack, "/twilio/status/msg_1", b"connection: close\r\n")
    plain = callback(stack, "/twilio/status/msg_1")
    begin_of_body = plain.index(b"\r\n\r\n") + 4

    answers = exchange(
        stack, [plain[:begin_of_body], plain[begin_of_body:-1], plain[-1:], plain[:30], plain[30:], last]
    )

    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"204"] * 3


def test_texts_are_taken_with_and_without_faults_on_one_connection(stack: Stack) -> None:
    def text(body: bytes, key: str = stack.api_key) -> bytes:
        head = (
            f"POST /sms/send HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    good = text(b'{"to":"+14155552671","body":"x"}')
    last = callback(stack, "/twilio/status", b"Connection: close\r\n")

    answers = exchange(stack, [good + text(b'{"to":"1"}') + text(b"{}", "wrong") + good, last])

    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"202", b"400", b"401", b"202", b"204"]


def test_a_forged_callback_is_refused_with_a_problem(stack: Stack) -> None:
    forged = callback(stack, "/twilio/status").replace(b"delivered", b"undelivrd")

    answers = exchange(stack, [forged, callback(stack, "/twilio/status", b"Connection: close\r\n")])

    head, _, rest = answers.partition(b"\r\n\r\n")
    length = int(re.findall(rb"Content-Length: (\d+)", head)[0])
    assert head.startswith(b"HTTP/1.1 403 ")
    assert Problem.model_validate_json(rest[:length]).code == "signature_invalid"
    assert rest[length:].startswith(b"HTTP/1.1 204 ")


def test_a_connection_without_a_request_is_ended_after_a_while(tmp_path: Path) -> None:
    soon = {"GUNICORN_CMD_ARGS": "--keep-alive 1"}
    with Stack(tmp_path, only={"web"}, environment=soon) as stack, connect(stack) as idle:
        for _ in range(2):
            idle.sendall(callback(stack, "/twilio/status"))
            assert idle.recv(65536).startswith(b"HTTP/1.1 204 ")
        began = time.monotonic()

        assert idle.recv(65536) == b""

        assert 0.5 < time.monotonic() - began < 4
        assert "Socket error" not in "".join(stack.logs().values())


def test_a_client_that_does_not_read_is_left(tmp_path: Path) -> None:
    soon = {"GUNICORN_CMD_ARGS": "--keep-alive 1"}
    with Stack(tmp_path, only={"web"}, environment=soon) as stack, connect(stack) as deaf:
        refused = (
            callback(stack, "/twilio/status").replace(b"X-Twilio-Signature: ", b"X-Twilio-Signature: x") * 100
        )

        with pytest.raises(ConnectionError):  # noqa: PT012 - any of them may be the one that finds out
            for _ in range(10_000):
                deaf.sendall(refused)


def test_a_connection_without_a_request_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    with Stack(tmp_path, only={"web"}) as stack, connect(stack) as idle:
        idle.sendall(callback(stack, "/twilio/status"))
        assert idle.recv(65536).startswith(b"HTTP/1.1 204 ")
        began = time.monotonic()

        stack.stop("web")

        assert idle.recv(65536) == b""
        assert time.monotonic() - began < GRACEFUL_TIMEOUT_S


@pytest.mark.parametrize("fields", [b"", b"Connection: close\r\n"], ids=["fast path", "WSGI"])
def test_a_body_that_ends_early_is_a_bad_request(stack: Stack, fields: bytes) -> None:
    with connect(stack) as connection:
        connection.sendall(callback(stack, "/twilio/status", fields)[:-1])
        connection.shutdown(socket.SHUT_WR)

        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


SECRET = b"+14155550123-canary"
MALFORMED = {
    "request line": SECRET + b"\r\n\r\n",
    "target": b"GET /\x00" + SECRET + b" HTTP/1.1\r\n\r\n",
    "method": b"get" + SECRET + b" / HTTP/1.1\r\n\r\n",
    "version": b"GET / " + SECRET + b"\r\n\r\n",
    "field without a colon": b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization Bearer " + SECRET + b"\r\n\r\n",
    "field name": b"GET / HTTP/1.1\r\nHost: x\r\n(" + SECRET + b"): x\r\n\r\n",
    "field value": b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: \x00" + SECRET + b"\r\n\r\n",
    "expectation": b"GET / HTTP/1.1\r\nHost: x\r\nExpect: " + SECRET + b"\r\n\r\n",
    "long target": b"GET /" + SECRET * 1000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "long field": b"GET / HTTP/1.1\r\nHost: " + SECRET * 1000 + b"\r\n\r\n",
    "coding": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + SECRET + b"\r\n\r\n",
    "length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + SECRET + b"\r\n\r\n",
    "root": b"GET /livez HTTP/1.1\r\nHost: x\r\nScript_Name: /" + SECRET + b"\r\n\r\n",
    "chunk": b"POST /twilio/status HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: x\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\n" + SECRET + b"\r\n\r\n",
}


@pytest.mark.parametrize("malformed", MALFORMED.values(), ids=list(MALFORMED))
def test_what_is_no_http_is_answered_with_a_problem_and_not_quoted(stack: Stack, malformed: bytes) -> None:
    answers = exchange(stack, [malformed + b"x" * 200_000])

    head, _, body = answers.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.1 4\d\d ", head)
    assert b"application/problem+json" in head
    found = Problem.model_validate_json(body)
    log = "".join(stack.logs().values())
    assert SECRET not in answers
    assert SECRET.decode() not in log
    assert found.request_id
    assert found.request_id in log or found.detail == "The body cannot be read."


@pytest.mark.parametrize(
    "authorization",
    [
        b"Basic \xff",
        b"Basic YQ",
        b"Bearer",
        b"Bearer \xff\xfe",
        b'Digest a="',
        b"\xff",
        b"Bearer a=b, c=",
        b" ",
    ],
)
def test_an_authorization_that_cannot_be_read_is_none(stack: Stack, authorization: bytes) -> None:
    head = b"GET /sms/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"

    answers = exchange(stack, [head + b"Authorization: " + authorization + b"\r\n\r\n"])

    assert answers.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/sms/templates/%00"),
        ("GET", "/sms/messages/msg_%00"),
        ("POST", "/twilio/status/%00"),
        ("DELETE", "http://any.example/sms/templates/a%00b"),
    ],
)
def test_nothing_has_nul_in_its_name(stack: Stack, method: str, path: str) -> None:
    signature = sign(AUTH_TOKEN, stack.url() + path, FORM.items())
    headers = {"Authorization": f"Bearer {stack.api_key}", "X_Twilio_Signature": signature}

    status, _, body = ask(stack, method, path, urlencode(FORM).encode(), Content_Type=FORM_TYPE, **headers)

    assert (status, Problem.model_validate_json(body).code) == (404, "not_found")


def test_a_plan_in_a_form_that_is_nested_too_deeply_is_a_bad_request(stack: Stack) -> None:
    fields = {"body": "x", "on_failure": "[" * 30_000, "file": ("f.csv", "to\n+14155552671\n")}

    answer = stack.upload("/sms/jobs", fields=fields)

    assert (answer.status, answer.json()["code"]) == (400, "invalid_request")


def test_a_malformed_chunk_of_a_text_is_a_bad_request(stack: Stack) -> None:
    head = (
        f"POST /sms/send HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {stack.api_key}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    answers = exchange(stack, [head.encode() + b'5\r\n{"to"x' + SECRET + b"\r\n\r\n"])

    assert answers.startswith(b"HTTP/1.1 400 ")
    assert answers.count(b"HTTP/1.1") == 1
    log = "".join(stack.logs().values())
    assert SECRET.decode() not in log
    assert "Traceback" not in log


def test_an_answer_has_one_answer_also_when_the_rest_of_its_body_is_malformed(stack: Stack) -> None:
    head = f"POST /sms/send HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n"

    answers = exchange(stack, [head.encode() + b"zz\r\n"])

    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"401"]


def test_the_reference_is_served_with_all_it_needs(stack: Stack) -> None:
    answers = {
        target: ask(stack, "GET", target)[:2]
        for target in ("/docs", "/openapi.json", "/static/docs.js", "/static/vendor/swagger-ui.css")
    }

    assert answers == {
        "/docs": (200, "text/html; charset=utf-8"),
        "/openapi.json": (200, "application/json"),
        "/static/docs.js": (200, "text/javascript; charset=utf-8"),
        "/static/vendor/swagger-ui.css": (200, "text/css; charset=utf-8"),
    }


def test_with_a_faulty_configuration_it_says_so_in_plain_words_and_ends(stack: Stack) -> None:
    done = stack.run("web", PORT="0", APP_BASE_URL="nonsense", TWILIO_ACCOUNT_SID="")

    told = done.stderr[done.stderr.index("smsapp cannot start") :].splitlines()
    assert done.returncode == os.EX_CONFIG
    assert [line.partition(":")[0] for line in told] == [
        "smsapp cannot start; fix these settings",
        "  APP_BASE_URL",
        "  TWILIO_ACCOUNT_SID",
    ]
    assert "Traceback" not in done.stderr
    assert "Booting worker" not in done.stderr
