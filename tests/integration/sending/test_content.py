"""What a message may consist of, over HTTP: taken, counted, shown and kept, or refused with what and where."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs
import pytest

from smsapp.config import Settings
from tests.support.web import TO, Api, faults, serving

SERVICE = "MG" + "1" * 32
SID = "HX" + "1" * 32
MEDIA = ["https://example.com/a.png"]
VARIABLES = {"1": "Ann", "order_no": "7"}
OPTIONS: dict[str, Any] = {
    "smart_encoded": True,
    "shorten_urls": False,
    "send_as_mms": False,
    "risk_check": "disable",
}
NONE = dict.fromkeys([*OPTIONS, "content_sid", "content_variables"])

Document = dict[str, Any]

one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


@pytest.fixture
def schema(api: Api) -> Any:
    """The schema of a request to send, from the API document."""
    document = api.client.get("/openapi.json").json
    schema = {"$ref": "#/components/schemas/SendRequest", "components": document["components"]}
    return jsonschema_rs.validator_for(schema)


GOOD: list[Document] = [
    {"body": "hello"},
    {"media_urls": MEDIA},
    {"media_urls": MEDIA, "body": None},
    {"media_urls": MEDIA, "body": "hello"},
    {"content_sid": SID},
    {"content_sid": SID, "content_variables": VARIABLES},
    {"content_sid": SID, "content_variables": {"1": "x" * 1600}},
    {"content_sid": SID, **OPTIONS},
    {"body": "hello", **OPTIONS},
    {"body": "hello", "risk_check": "enable", "send_as_mms": True},
    {"body": "hello", "shorten_urls": True, "messaging_service_sid": SERVICE},
    {"body": "hello", **NONE, "media_urls": None},
]


@pytest.mark.parametrize("content", GOOD)
def test_what_is_sent_is_kept_and_shown(api: Api, schema: Any, content: Document) -> None:
    request = {"to": TO} | content
    assert schema.is_valid(request)

    response = api.post(request)

    assert response.status_code == 202, response.text
    shown = response.json
    assert {name: shown[name] for name in (*NONE, "media_urls")} == NONE | {"media_urls": None} | {
        name: value for name, value in content.items() if name in NONE or name == "media_urls"
    }
    assert shown["body"] == (content.get("body") or "")
    assert api.get(f"/sms/messages/{shown['id']}").json["content_sid"] == content.get("content_sid")
    dry = api.post(request | {"dry_run": True})
    assert dry.status_code == 200, dry.text
    assert {name: dry.json[name] for name in NONE} == {name: shown[name] for name in NONE}
    assert dry.json["segments"] == shown["segments"]


BLANK = [" ", "\n", "\u00a0\u3000", "\u200b\ufeff", "\u3164", "\u2800", "\x1b"]
BAD: list[tuple[Document, dict[str, str]]] = [
    ({}, {"/body": "required"}),
    ({"body": None, "media_urls": None}, {"/body": "required"}),
    ({"content_sid": None}, {"/body": "required"}),
    ({"smart_encoded": True}, {"/body": "required"}),
    ({"media_urls": []}, {"/media_urls": "too_short"}),
    ({"media_urls": MEDIA, "body": ""}, {"/body": "too_short"}),
    *(({"body": blank}, {"/body": "invalid"}) for blank in BLANK),
    *(({"body": blank, "media_urls": MEDIA}, {"/body": "invalid"}) for blank in BLANK[:2]),
    ({"content_sid": SID, "body": "hello"}, {"/body": "invalid"}),
    ({"content_sid": SID, "media_urls": MEDIA}, {"/media_urls": "invalid"}),
    ({"content_sid": SID, "template": "t"}, {"/content_sid": "invalid"}),
    ({"template": "t", "body": "hello"}, {"/body": "invalid"}),
    ({"template": "t", "content_variables": VARIABLES}, {"/content_variables": "invalid"}),
    ({"body": "hello", "content_variables": VARIABLES}, {"/content_variables": "invalid"}),
    ({"media_urls": MEDIA, "values": {"a": "b"}}, {"/values": "invalid"}),
    ({"content_sid": "HX12"}, {"/content_sid": "invalid"}),
    ({"content_sid": "MG" + "1" * 32}, {"/content_sid": "invalid"}),
    ({"content_sid": SID, "content_variables": {}}, {"/content_variables": "too_short"}),
    ({"content_sid": SID, "content_variables": '{"1": "Ann"}'}, {"/content_variables": "wrong_type"}),
    ({"content_sid": SID, "content_variables": {"1": 7}}, {"/content_variables/1": "wrong_type"}),
    ({"content_sid": SID, "content_variables": {"1": None}}, {"/content_variables/1": "wrong_type"}),
    ({"content_sid": SID, "content_variables": {"1": ""}}, {"/content_variables/1": "invalid"}),
    ({"content_sid": SID, "content_variables": {"name": " "}}, {"/content_variables/name": "invalid"}),
    ({"content_sid": SID, "content_variables": {"1": "a\nb"}}, {"/content_variables/1": "invalid"}),
    ({"content_sid": SID, "content_variables": {"1": "x" * 1601}}, {"/content_variables/1": "invalid"}),
    ({"content_sid": SID, "content_variables": {"+14155552671": "x"}}, {"/content_variables": "invalid"}),
    (
        {"content_sid": SID, "content_variables": {f"v{n}": "x" for n in range(101)}},
        {"/content_variables": "too_long"},
    ),
    ({"body": "hello", "smart_encoded": "yes"}, {"/smart_encoded": "wrong_type"}),
    ({"body": "hello", "risk_check": "off"}, {"/risk_check": "invalid"}),
]


@one_database
@pytest.mark.parametrize(("content", "expected"), BAD)
def test_what_does_not_go_together_is_refused_with_what_and_where(
    api: Api, schema: Any, content: Document, expected: dict[str, str]
) -> None:
    request = {"to": TO} | content

    response = api.post(request)

    assert faults(response) == expected
    assert "+14155552671" not in response.text
    assert not schema.is_valid(request)


@one_database
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"body": "hello", "shorten_urls": True}, {"/shorten_urls": "invalid"}),
        (
            {"body": "hello", "send_as_mms": True, "from": "whatsapp:+15005550006"},
            {"/send_as_mms": "invalid"},
        ),
        ({"content_sid": SID, "content_variables": {"1": "a     b"}}, {"/content_variables/1": "invalid"}),
        (
            {
                "body": "hello",
                "shorten_urls": True,
                "messaging_service_sid": SERVICE,
                "on_failure": {"steps": [{"on": ["any"], "do": "resend", "from": "+15005550007"}]},
            },
            {"/shorten_urls": "invalid"},
        ),
        (
            {
                "body": "hello",
                "send_as_mms": True,
                "on_failure": {
                    "steps": [
                        {"on": ["any"], "do": "resend"},
                        {"on": ["any"], "do": "resend", "from": "+15005550007", "channel": "whatsapp"},
                    ]
                },
            },
            {"/send_as_mms": "invalid"},
        ),
    ],
)
def test_what_no_sender_of_the_request_can_do_is_refused_at_once(
    api: Api, content: Document, expected: dict[str, str]
) -> None:
    assert faults(api.post({"to": TO} | content)) == expected
    assert faults(api.post({"to": TO, "dry_run": True} | content)) == expected


def test_links_are_shortened_with_the_configured_service(settings: Settings, api_key: str) -> None:
    configured = settings.model_copy(update={"twilio_messaging_service_sid": SERVICE})
    with serving(configured, api_key) as api:
        assert api.send(shorten_urls=True)["shorten_urls"] is True


def test_a_dry_run_counts_as_twilio_will_encode_it(api: Api) -> None:
    text = "\u201cit\u2019s\u201d " * 20
    plain, smart = (
        api.post({"to": TO, "body": text, "dry_run": True, "smart_encoded": smart}).json
        for smart in (False, True)
    )

    assert (plain["encoding"], plain["segments"]) == ("UCS-2", 3)
    assert (smart["encoding"], smart["segments"], smart["offending_characters"]) == ("GSM-7", 1, [])
    assert smart["body"] == text


def test_a_dry_run_says_what_it_cannot_know(api: Api) -> None:
    dry = api.post({"to": TO, "content_sid": SID, "dry_run": True}).json

    (check,) = [check for check in dry["checks"] if check["check"] == "content"]
    assert (check["verdict"], check["code"], dry["body"]) == ("warn", "segments_unknown", None)


def test_variables_of_a_sensitive_message_are_never_shown(api: Api) -> None:
    answer = api.send(content_sid=SID, content_variables=VARIABLES, body=None, sensitive=True)
    dry = api.post(
        {"to": TO, "content_sid": SID, "content_variables": VARIABLES, "sensitive": True, "dry_run": True}
    )

    assert (answer["content_sid"], answer["content_variables"]) == (SID, None)
    assert "Ann" not in dry.text
    assert "Ann" not in api.get(f"/sms/messages/{answer['id']}").text
    options = api.stored(answer["id"]).options
    assert options
    assert options["content_variables"] == VARIABLES


def test_a_template_may_have_media_and_options(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.key}"}
    made = api.client.post("/sms/templates", json={"name": "t", "body": "Hi {{name}}"}, headers=headers)
    assert made.status_code == 201, made.text

    answer = api.send(template="t", values={"name": "Ann"}, body=None, media_urls=MEDIA, risk_check="disable")

    assert (answer["body"], answer["media_urls"], answer["risk_check"]) == ("Hi Ann", MEDIA, "disable")


@one_database
def test_a_template_of_white_space_is_none(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.key}"}

    response = api.client.post("/sms/templates", json={"name": "t", "body": "\u200b "}, headers=headers)

    assert faults(response) == {"/body": "invalid"}


def test_a_scheduled_content_template_waits(api: Api) -> None:
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()

    answer = api.send(content_sid=SID, body=None, send_at=later)

    assert (answer["status"], answer["content_sid"]) == ("pending", SID)
