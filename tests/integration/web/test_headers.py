"""Every answer says how little a browser may do with it, whichever path made it."""

import re
from collections.abc import Iterator

import pytest

from smsapp.config import Settings
from smsapp.web.plain_http import SECURITY_HEADERS, problem_answer
from tests.support.environment import make_settings
from tests.support.web import TO, Api, serving

ADDRESSES = [
    ("GET", "/livez"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/docs"), ("GET", "/openapi.json"),
    ("GET", "/static/VENDOR.json"), ("GET", "/nothing/here"), ("PUT", "/livez"), ("GET", "/sms/messages"),
    ("GET", "//livez"), ("GET", "/a%00b"), ("POST", "/sms/send"), ("POST", "/twilio/status"),
    ("GET", "/.well-known/security.txt"),
]  # fmt: skip

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the database does not matter


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    with serving(settings) as api:
        yield api


@on_sqlite
@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_every_answer_has_the_security_headers(api: Api, method: str, path: str) -> None:
    headers = api.client.open(path, method=method).headers

    missing = {name for name in SECURITY_HEADERS if name not in headers}
    assert missing == set()
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert len(headers.getlist("Content-Security-Policy")) == 1


@on_sqlite
def test_the_answer_to_a_text_and_its_refusal_have_them(api: Api) -> None:
    for answer in (api.post({"to": TO, "body": "x"}), api.post({"to": "nobody"})):
        assert SECURITY_HEADERS.items() <= dict(answer.headers).items()


@on_sqlite
def test_only_the_reference_may_run_scripts_and_only_its_own(api: Api) -> None:
    policy = api.client.get("/docs").headers["Content-Security-Policy"]

    assert "script-src 'self'" in policy
    assert "script-src" not in SECURITY_HEADERS["Content-Security-Policy"]


def test_problems_made_without_flask_have_them() -> None:
    answer = problem_answer(
        400, "bad_request", "It is malformed.", request_id="1", headers={"Retry-After": "2"}
    )

    assert SECURITY_HEADERS.items() <= dict(answer.headers).items()
    assert len({name for name, _ in answer.headers}) == len(answer.headers)


@on_sqlite
def test_security_txt_names_the_contact_and_expires(settings: Settings) -> None:
    told = settings.model_copy(update={"security_contact": "mailto:security@example.com"})

    with serving(told) as api:
        answer = api.client.get("/.well-known/security.txt")

    assert (answer.status_code, answer.content_type) == (200, "text/plain; charset=utf-8")
    assert re.fullmatch(
        r"Contact: mailto:security@example\.com\nExpires: \d{4}-\d\d-\d\dT[\d:.]+Z\nCanonical: \S+/security\.txt\n",
        answer.text,
    )


@on_sqlite
def test_without_a_contact_there_is_no_security_txt(api: Api) -> None:
    assert api.client.get("/.well-known/security.txt").status_code == 404


@pytest.mark.parametrize(
    "contact", ["security@example.com", "http://example.com", "mailto:a b", "mailto:a\nExpires: never"]
)
def test_a_contact_that_is_no_address_is_refused(contact: str) -> None:
    with pytest.raises(ValueError, match="security_contact"):
        make_settings(security_contact=contact)
