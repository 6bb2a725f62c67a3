"""Redirects stay on this host: the host of a request is whatever its sender likes."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from werkzeug.test import TestResponse

from smsapp.config import Settings
from tests.support.web import Api, serving

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # none of these reaches it


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def ask(api: Api, target: str, **options: Any) -> TestResponse:
    """Ask for a target as a server passes it on; the client would take two slashes for the beginning of a host."""
    path, _, query = target.partition("?")
    overrides = {"PATH_INFO": path, "QUERY_STRING": query, "RAW_URI": target, "REQUEST_URI": target}
    return api.client.open("/", environ_overrides=overrides, **options)


@pytest.mark.parametrize(
    "path",
    [
        "//sms//messages",
        "/sms//messages?limit=1",
        "/sms///messages",
        "//livez",
        "//evil.example/../livez",
        "///sms/events",
        "/twilio//status",
        "//sms//subscriptions",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:81", "X-Forwarded-Host": "worse.example", "X-Forwarded-Proto": "gopher"},
    ],
)
def test_no_answer_names_the_host_of_the_request(
    api: Api, path: str, method: str, headers: dict[str, str]
) -> None:
    answer = ask(api, path, method=method, headers=headers)

    location = answer.headers.get("Location", "/")
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))
    assert urlsplit(location).netloc == ""
    assert "evil.example" not in answer.text
    assert "worse.example" not in answer.text + str(answer.headers)


def test_a_redirect_keeps_path_and_query(api: Api) -> None:
    answer = ask(api, "//sms//messages?limit=1&x=%2F", headers={"Host": "evil.example"})

    assert answer.status_code == 308
    assert answer.headers["Location"] == "/sms/messages?limit=1&x=%2F"
