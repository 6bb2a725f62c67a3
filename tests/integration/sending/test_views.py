"""POST /sms/send: what is taken, and how everything else is refused."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from smsapp.config import Settings
from smsapp.content.segments import MAX_BODY_CHARS
from smsapp.db.models import IdempotencyKey
from smsapp.keys import queries as api_keys
from smsapp.messages import reads, schemas
from smsapp.messages.models import Message, MessageEvent
from smsapp.web.inputs import MAX_FAULTS
from smsapp.web.plain_http import MAX_BODY_BYTES
from tests.support.environment import SENDER
from tests.support.web import TO, Api, faults, problem, serving

SERVICE = "MG" + "a" * 32
SECRET = "leaked-1234"
one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def count(api: Api) -> int:
    with api.rt.sessions() as session:
        return session.scalar(select(func.count()).select_from(Message)) or 0


def test_a_text_is_stored_and_answered_with_its_address(api: Api) -> None:
    response = api.post({"to": TO, "body": "hello"})

    answer = schemas.Message.model_validate(response.json)
    assert response.status_code == 202
    assert re.fullmatch("msg_[0-9a-f]{32}", answer.id)
    assert response.headers["Location"] == f"/sms/messages/{answer.id}"
    assert (answer.status, answer.to, answer.sender, answer.body) == ("pending", TO, SENDER, "hello")
    assert (answer.encoding, answer.segments, answer.warnings) == ("GSM-7", 1, [])
    assert "Idempotent-Replayed" not in response.headers
    assert api.get(response.headers["Location"]).json == response.json


def test_every_field_reaches_the_row_and_comes_back(api: Api) -> None:
    deadline = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    fields: dict[str, Any] = {
        "from": "Shop",
        "messaging_service_sid": SERVICE,
        "media_urls": ["https://example.com/a.png?x=1"],
        "client_reference": "order-1",
        "tags": ["a", "b"],
        "on_unconfirmed": "resend",
    }

    answer = api.send(**fields, resend_after_failure=True, deliver_by=deadline.isoformat())

    assert {name: answer[name] for name in fields} == fields
    assert datetime.fromisoformat(answer["deliver_by"]) == deadline
    assert api.stored(answer["id"]).resends_left > 0
    assert api.get(f"/sms/messages/{answer['id']}").json == answer


def test_a_long_text_with_an_emoji_says_what_it_will_cost(api: Api) -> None:
    answer = api.send(body="😀" * 40)

    assert (answer["encoding"], answer["segments"]) == ("UCS-2", 2)


def test_a_number_that_no_plan_knows_is_taken_with_a_warning(api: Api) -> None:
    answer = api.send(to="+15550000000")

    assert answer["warnings"] == ["to: this number is possible, but no such number is known to exist"]


@pytest.mark.parametrize("written", ["+1 (415) 555-2671", " +1.415.555.2671 "])
def test_a_number_is_stored_in_one_form_however_it_was_written(api: Api, written: str) -> None:
    assert api.send(to=written)["to"] == TO


def test_the_request_id_of_the_caller_follows_the_message(api: Api) -> None:
    response = api.post({"to": TO, "body": "hello"}, headers={"X-Request-Id": "order-1.a:b"})

    message = api.stored(response.json["id"])
    with api.rt.sessions() as session:
        (event,) = reads.history(session, message.id)
    assert response.headers["X-Request-Id"] == message.request_id == "order-1.a:b"
    assert event.payload == {"request_id": "order-1.a:b"}


@pytest.mark.parametrize("given", ["two words", "x" * 65, "ü", ""])
@one_database
def test_a_strange_request_id_is_replaced(api: Api, given: str) -> None:
    response = api.client.get("/livez", headers={"X-Request-Id": given})

    assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-Id"])


def test_the_longest_body_is_stored_as_it_is(api: Api) -> None:
    body = "ä€😀\n" * 400

    answer = api.send(body=body)

    assert api.stored(answer["id"]).body == body


FAULTY: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"to": 14155552671}, {"/to": "invalid"}),
    ({"to": None}, {"/to": "invalid"}),
    ({"to": "4155552671"}, {"/to": "invalid"}),
    ({"to": "+999123456789"}, {"/to": "invalid"}),
    ({"to": "+1415"}, {"/to": "invalid"}),
    ({"to": "+1" + "4" * 60}, {"/to": "invalid"}),
    ({"to": f"{TO}\x00"}, {"/to": "invalid"}),
    ({"body": ""}, {"/body": "too_short"}),
    ({"body": "x" * 1601}, {"/body": "too_long"}),
    ({"body": "a\x00b"}, {"/body": "invalid"}),
    ({"body": 7}, {"/body": "wrong_type"}),
    ({"body": None}, {"/body": "required"}),
    ({"from": "not a sender!"}, {"/from": "invalid"}),
    ({"from": "+1415"}, {"/from": "invalid"}),
    ({"from": 5}, {"/from": "wrong_type"}),
    ({"messaging_service_sid": "MG123"}, {"/messaging_service_sid": "invalid"}),
    ({"media_urls": "https://example.com/a.png"}, {"/media_urls": "wrong_type"}),
    ({"media_urls": []}, {"/media_urls": "too_short"}),
    ({"media_urls": ["https://example.com/a.png"] * 11}, {"/media_urls": "too_long"}),
    (
        {
            "media_urls": [
                "https://example.com/ok",
                "ftp://example.com",
                "https://",
                "https://[",
                "https://a b",
                1,
            ]
        },
        {f"/media_urls/{place}": "invalid" for place in (1, 2, 3, 4)} | {"/media_urls/5": "wrong_type"},
    ),
    ({"media_urls": ["https://example.com/" + "x" * 2048]}, {"/media_urls/0": "too_long"}),
    ({"client_reference": "x" * 256}, {"/client_reference": "too_long"}),
    ({"client_reference": "a\x00b"}, {"/client_reference": "invalid"}),
    ({"tags": ["ok", "", "x" * 65]}, {"/tags/1": "too_short", "/tags/2": "too_long"}),
    ({"tags": ["x"] * 11}, {"/tags": "too_long"}),
    ({"on_unconfirmed": "retry"}, {"/on_unconfirmed": "invalid"}),
    ({"resend_after_failure": "yes"}, {"/resend_after_failure": "wrong_type"}),
    ({"deliver_by": "2999-01-01T00:00:00"}, {"/deliver_by": "invalid"}),
    ({"deliver_by": 4_000_000_000}, {"/deliver_by": "wrong_type"}),
    ({"deliver_by": "9999-12-31T23:59:59-23:00"}, {"/deliver_by": "invalid"}),
    ({"deliver_by": "0001-01-01T00:00:00+23:00"}, {"/deliver_by": "invalid"}),
    ({"deliver_by": "2020-01-01T00:00:00Z"}, {"/deliver_by": "past"}),
    ({"send_at": "2020-01-01T00:00:00Z"}, {"/send_at": "past"}),
    ({"send_at": "2999-01-01T00:00:00Z"}, {"/send_at": "out_of_range"}),
    ({"send_at": "2999-01-01T00:00:00"}, {"/send_at": "invalid"}),
    ({"send_at": 4_000_000_000}, {"/send_at": "wrong_type"}),
    ({"colour": "red"}, {"/colour": "unknown_field"}),
    ({"sender": "Shop"}, {"/sender": "unknown_field"}),
]


@pytest.mark.parametrize(("changes", "expected"), FAULTY, ids=[f"{c}"[:40] for c, _ in FAULTY])
@one_database
def test_a_faulty_field_is_pointed_at(api: Api, changes: dict[str, Any], expected: dict[str, str]) -> None:
    response = api.post({"to": TO, "body": "hello"} | changes)

    assert faults(response) == expected
    assert count(api) == 0


@one_database
def test_every_faulty_field_is_named_at_once(api: Api) -> None:
    response = api.post({"body": 7, "from": "+1", "tags": [""], "colour": "red", "media_urls": ["x"]})

    assert set(faults(response)) == {"/to", "/body", "/from", "/tags/0", "/colour", "/media_urls/0"}


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"{'to': 1}", b'{"to": }', b'{"body": "\xff"}', b'{"body": "\\ud800"}', b"[" * 2000, b"\x00"],
    ids=["empty", "open", "quotes", "hole", "no-utf-8", "half-a-character", "deep", "nul"],
)
@one_database
def test_what_is_not_json_is_refused(api: Api, data: bytes) -> None:
    assert faults(api.post(data=data), "malformed_json") == {"": "malformed_json"}


@pytest.mark.parametrize("document", [[], [{"to": TO, "body": "x"}], None, 7, "text", True], ids=repr)
@one_database
def test_what_is_json_but_no_object_is_refused(api: Api, document: object) -> None:
    assert faults(api.post(data=json.dumps(document).encode())) == {"": "wrong_type"}


@one_database
def test_a_thousand_faults_are_answered_with_the_first_hundred(api: Api) -> None:
    response = api.post({f"field_{number}": 1 for number in range(1000)})

    assert len(problem(response, 400, "invalid_request").errors) == MAX_FAULTS


@one_database
def test_nothing_of_the_input_comes_back(api: Api) -> None:
    odd_name = f"+14155552671 {SECRET}"
    response = api.post(
        {"to": SECRET, "body": [SECRET], "from": f"{SECRET}!?", "on_unconfirmed": SECRET, odd_name: SECRET},
        headers={"Idempotency-Key": SECRET},
    )

    assert SECRET not in response.text
    assert len(faults(response)) == 5


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", None], ids=repr
)
@one_database
def test_another_content_type_is_refused(api: Api, content_type: str | None) -> None:
    response = api.post(data=b'{"to": "+14155552671", "body": "x"}', content_type=content_type)

    problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/problem+json"])
@one_database
def test_json_by_another_name_is_taken(api: Api, content_type: str) -> None:
    data = b'{"to": "+14155552671", "body": "x"}'

    assert api.post(data=data, content_type=content_type).status_code == 202


@one_database
def test_a_body_beyond_64_kib_is_refused(api: Api) -> None:
    fits = api.post(data=b" " * MAX_BODY_BYTES)
    too_large = api.post(data=b" " * (MAX_BODY_BYTES + 1))

    problem(fits, 400, "malformed_json")
    problem(too_large, 413, "too_large")


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "bearer ü", "Basic dTpw", "wrong", "Bearer a b"],
    ids=repr,
)
@one_database
def test_without_a_valid_key_nothing_is_even_read(api: Api, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}

    response = api.client.post("/sms/send", data=b"x" * (MAX_BODY_BYTES + 1), headers=headers)

    problem(response, 401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="smsapp"'


def test_a_revoked_key_opens_nothing(api: Api, sessions: sessionmaker[Session], api_key: str) -> None:
    with sessions.begin() as session:
        api_keys.revoke(session, api_key[:14], now=datetime.now(UTC))

    problem(api.post({"to": TO, "body": "x"}), 401, "unauthorized")


def test_the_use_of_a_key_is_noted(api: Api, sessions: sessionmaker[Session]) -> None:
    api.send()

    with sessions() as session:
        (key,) = api_keys.all_of(session)
    assert key.last_used_at is not None


@one_database
def test_an_unknown_address_is_a_problem(api: Api) -> None:
    for path in (
        "/",
        "/nothing",
        "/sms",
        "/sms/messages/",
        "/%ff",
        "/twilio/",
        "/twilio/nothing",
        "/sms/send/x",
    ):
        problem(api.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/sms/send", "POST"), ("DELETE", "/sms/messages", "GET"), ("PUT", "/twilio/status", "POST")],
)
@one_database
def test_a_wrong_method_is_a_problem_that_names_the_right_one(
    api: Api, method: str, path: str, allowed: str
) -> None:
    response = api.client.open(path, method=method)

    problem(response, 405, "method_not_allowed")
    assert allowed in response.headers["Allow"]


@one_database
def test_an_error_of_ours_shows_nothing_but_the_requests_id(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr("smsapp.sending.endpoint.accept_message", broken)
    response = api.post({"to": TO, "body": SECRET}, headers={"X-Request-Id": "find-me"})

    assert problem(response, 500, "internal_error").request_id == "find-me"
    assert SECRET not in response.text


def test_an_error_of_the_database_does_not_tell_what_was_to_be_stored(api: Api) -> None:
    with api.rt.sessions() as session, pytest.raises(DBAPIError) as raised:
        session.execute(text("SELECT no_such_column FROM messages WHERE body = :body"), {"body": SECRET})

    assert SECRET not in str(raised.value)


@one_database
def test_answers_are_not_for_caches_and_not_for_guessing(api: Api) -> None:
    headers = api.post({"to": TO, "body": "x"}).headers

    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


def test_the_first_event_is_stored_with_the_message(api: Api) -> None:
    message = api.stored(api.send()["id"])

    with api.rt.sessions() as session:
        events = session.scalars(select(MessageEvent)).all()
    assert [(event.message_id, event.seq, event.status) for event in events] == [(message.id, 1, "pending")]


@one_database
def test_the_configured_service_sends_when_there_is_one(settings: Settings, api_key: str) -> None:
    with serving(settings.model_copy(update={"twilio_messaging_service_sid": SERVICE}), api_key) as api:
        answer = api.send()
        chosen = api.send(**{"from": "Shop"})

    assert (answer["from"], answer["messaging_service_sid"]) == (None, SERVICE)
    assert (chosen["from"], chosen["messaging_service_sid"]) == ("Shop", None)


def test_the_longest_values_fit_into_their_columns(api: Api) -> None:
    fields: dict[str, Any] = {
        "to": "whatsapp:+491511234567890",
        "from": "whatsapp:+4915112345678",
        "client_reference": "😀" * 255,
        "tags": ["ü" * 64] * 10,
        "media_urls": ["https://example.com/" + "x" * 2028] * 10,
    }

    assert api.send(**fields, body="x" * MAX_BODY_CHARS)["client_reference"] == fields["client_reference"]


def test_when_too_much_waits_nothing_new_is_promised(settings: Settings, api_key: str) -> None:
    crowded = settings.model_copy(update={"max_due_messages": 1})
    with serving(crowded, api_key) as api:
        for _ in range(2):
            api.send()  # it looks every few seconds only
    with serving(crowded, api_key) as api:
        response = api.post({"to": TO, "body": "x"})

        problem(response, 503, "overloaded")
        assert int(response.headers["Retry-After"]) > 0
        assert count(api) == 2


def test_an_answer_is_repeated_whole_and_stored_without_number_and_text(api: Api) -> None:
    wanted = {"to": TO, "body": "Your code is 918273", "client_reference": "order-4711", "tags": ["fall"]}
    first, second = (api.post(wanted, headers={"Idempotency-Key": "k-1"}) for _ in range(2))

    assert second.json == first.json
    assert second.headers["Idempotent-Replayed"] == "true"
    with api.rt.sessions() as session:
        answer = str(session.scalars(select(IdempotencyKey.answer)).one())
    assert not [word for word in (TO[1:], "918273", "order-4711", "fall") if word in answer]


def test_an_answer_that_the_previous_version_stored_is_repeated(api: Api) -> None:
    first, _ = (api.post({"to": TO, "body": "hello"}, headers={"Idempotency-Key": "k-1"}) for _ in range(2))
    with api.rt.sessions.begin() as session:
        session.execute(update(IdempotencyKey).values(answer=first.json))
        session.execute(update(Message).values(body="changed"))

    second = api.post({"to": TO, "body": "hello"}, headers={"Idempotency-Key": "k-1"})

    assert second.json == first.json
