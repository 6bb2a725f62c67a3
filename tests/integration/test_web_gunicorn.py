"""The API under its real server: what the request line looked like, how long a body may be, how it begins and ends."""

import http.client
import os
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from simulator.signature import sign
from smsapp.web.callbacks import MAX_BYTES
from smsapp.web.schemas import Problem
from tests.environment import AUTH_TOKEN
from tests.stack import HOST, Stack

FORM = {"MessageSid": "SM" + "1" * 32, "MessageStatus": "delivered", "Body": "ä +%"}
FORM_TYPE = "application/x-www-form-urlencoded"


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


@pytest.mark.parametrize("path", ["/sms/send", "/twilio/status"])
def test_a_body_that_hides_its_length_is_no_way_around_the_limit(stack: Stack, path: str) -> None:
    chunks = iter([b"x" * 1024] * (MAX_BYTES // 1024 + 1))
    headers = {
        "Authorization": f"Bearer {stack.api_key}",
        "Content_Type": FORM_TYPE if path.startswith("/twilio") else "application/json",
        "X_Twilio_Signature": "x",
        "Transfer_Encoding": "chunked",
    }

    status, content_type, body = ask(stack, "POST", path, chunks, **headers)

    assert (status, content_type) == (413, "application/problem+json"), body
    assert Problem.model_validate_json(body).code == "too_large"


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
