"""Sending without Flask: what it answers, Flask would have answered alike, and what it leaves alone, Flask answers."""

import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from sqlalchemy import Table, func, select

from smsapp.config import Settings
from smsapp.messages.models import Message
from smsapp.sending.endpoint import PATH
from smsapp.web.plain_http import EXTENSION, Answer, PlainRequest
from tests.support.web import Api, serving

MESSAGES: Table = Message.__table__  # type: ignore[assignment]
TEXT = b'{"to": "+14155552671", "body": "hello"}'
ODD_NUMBER = b'{"to": "+19995551234", "body": "hello"}'
ALL_FIELDS = (
    b'{"to": "+14155552671", "body": "h\xc3\xa4", "from": "Shop", "tags": ["a"], "client_reference": "o-1",'
    b' "media_urls": ["https://example.com/a.png"], "on_unconfirmed": "fail", "deliver_by": "2999-01-01T00:00:00Z"}'
)
TEMPLATE = (
    b'{"to": "+14155552671", "content_sid": "HX11111111111111111111111111111111", "content_variables": {"1": "Ann"},'
    b' "smart_encoded": true, "send_as_mms": false, "risk_check": "disable"}'
)
MEDIA = b'{"to": "+14155552671", "media_urls": ["https://example.com/a.png"]}'
JSON = {"content-type": "application/json"}


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        assert api.get("/sms/messages").status_code == 200  # the key is known from now on
        yield api


def by_fast_path(api: Api, body: bytes = TEXT, *, target: str = PATH, **fields: str) -> Answer | None:
    """Ask the fast path."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    request = PlainRequest(target, target, JSON | {"authorization": f"Bearer {api.key}"} | named, body)
    answer: Answer | None = api.app.extensions[EXTENSION][PATH](request)
    return answer


def by_flask(api: Api, body: bytes, **fields: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    response = api.post(data=body, headers=named)
    return Answer(response.status, list(response.headers.items()), response.data)


def shape(answer: Answer | None) -> tuple[str, dict[str, str], str]:
    """Return an answer without what is new in each."""
    assert answer is not None
    headers = dict(answer.headers)
    assert int(headers["Content-Length"]) == len(answer.body)
    new = re.compile(r"msg_[0-9a-f]{32}|[0-9a-f]{32}|\d{4}-\d\d-\d\dT[\d:.]+Z")
    known = {name: new.sub("…", value) for name, value in headers.items() if name != "Content-Length"}
    return answer.status, known, new.sub("…", answer.body.decode())


def stored(api: Api) -> int:
    with api.rt.sessions() as session:
        return session.scalar(select(func.count()).select_from(MESSAGES)) or 0


@pytest.mark.parametrize(
    "body",
    [TEXT, ODD_NUMBER, ALL_FIELDS, TEMPLATE, MEDIA],
    ids=["plain", "odd number", "all fields", "template", "media"],
)
def test_a_text_is_taken_and_answered_as_flask_does(api: Api, body: bytes) -> None:
    assert shape(by_fast_path(api, body)) == shape(by_flask(api, body))
    assert stored(api) == 2


def test_the_callers_request_id_and_key_count(api: Api) -> None:
    first = by_fast_path(api, x_request_id="mine-1", idempotency_key="once")
    again = by_flask(api, TEXT, X_Request_Id="mine-2", Idempotency_Key="once")
    third = by_fast_path(api, x_request_id="mine-3", idempotency_key="once")

    assert first is not None
    assert third is not None
    assert dict(first.headers)["X-Request-Id"] == "mine-1"
    assert dict(third.headers)["Idempotent-Replayed"] == "true"
    assert orjson.loads(first.body) == orjson.loads(again.body) == orjson.loads(third.body)
    assert stored(api) == 1


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (TEXT, {"idempotency_key": "used"}),
        (b'{"to": "+14155552671", "body": "hello", "deliver_by": "2020-01-01T00:00:00Z"}', {}),
    ],
    ids=["a key of another request", "too late"],
)
def test_what_cannot_be_met_is_explained_as_flask_does(api: Api, body: bytes, fields: dict[str, str]) -> None:
    assert by_fast_path(api, ODD_NUMBER, idempotency_key="used") is not None

    answer = by_fast_path(api, body, **fields)

    assert shape(answer) == shape(by_flask(api, body, **fields))
    assert stored(api) == 1


def test_a_failure_of_the_database_is_told_as_flask_does(api: Api) -> None:
    with api.rt.sessions.kw["bind"].begin() as connection:
        connection.exec_driver_sql("ALTER TABLE messages RENAME TO elsewhere")

    answer = by_fast_path(api)

    assert shape(answer) == shape(by_flask(api, TEXT))
    assert answer is not None
    assert answer.status.startswith("50")


def test_a_key_that_was_not_seen_of_late_is_flasks_to_look_up(settings: Settings, api_key: str) -> None:
    with serving(settings, api_key) as api:
        assert by_fast_path(api) is None
        assert by_flask(api, TEXT).status.startswith("202")
        assert by_fast_path(api) is not None


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"{", {}),
        (b'{"to": "1", "body": "hello"}', {}),
        (b'{"to": "+14155552671", "body": "hello", "extra": 1}', {}),
        (b'{"to": "+14155552671", "body": "hello", "dry_run": true}', {}),
        (b'{"to": "+14155552671", "template": "order"}', {}),
        (TEXT, {"authorization": "Bearer wrong"}),
        (TEXT, {"authorization": "Bearer "}),
        (TEXT, {"authorization": ""}),
        (TEXT, {"authorization": "Basic eDp5"}),
        (TEXT, {"content_type": "text/plain"}),
        (TEXT, {"idempotency_key": ""}),
        (TEXT, {"idempotency_key": "x" * 256}),
        (TEXT, {"target": "/sms/send?x=1"}),
        (TEXT, {"target": "/sms/sendx"}),
    ],
)
def test_what_is_not_in_order_is_left_to_flask_untouched(
    api: Api, body: bytes, fields: dict[str, Any]
) -> None:
    assert by_fast_path(api, body, **fields) is None
    assert stored(api) == 0
