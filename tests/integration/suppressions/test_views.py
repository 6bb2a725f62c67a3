"""Suppressions over HTTP: list, add, lift, export; and the texts that people sent."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any
from urllib.parse import urlencode

import pytest

from smsapp.callbacks.rules import inbound_from
from smsapp.config import Settings
from smsapp.ids import new_id
from smsapp.inbound import queries as inbound
from smsapp.inbound import schemas
from smsapp.retention.purge import forget_inbound
from smsapp.suppressions import queries as suppressions
from smsapp.suppressions import schemas as opt_out_schemas
from smsapp.suppressions.rules import OptOutEvidence, OptOutSource
from smsapp.twilio.callback import Callback
from tests.support.fakes import START
from tests.support.web import Api, faults, problem, serving

PHONE = "+14155552671"
SENDER = "+15005550006"
SERVICE = "MG" + "2" * 32


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def add(api: Api, **fields: Any) -> dict[str, Any]:
    """Suppress and return the answer."""
    response = api.post({"recipient": PHONE, "note": "asked us"} | fields, path="/sms/suppressions")
    assert response.status_code in {200, 201}, response.text
    opt_out_schemas.SuppressionDetail.model_validate(response.json)
    document: dict[str, Any] = response.json
    return document


def lift(api: Api, suppression_id: str, note: str = "signed up again") -> dict[str, Any]:
    response = api.post({"note": note}, path=f"/sms/suppressions/{suppression_id}/lift")
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json
    return document


def listed(api: Api, **query: Any) -> list[dict[str, Any]]:
    response = api.get("/sms/suppressions", **query)
    assert response.status_code == 200, response.text
    opt_out_schemas.SuppressionList.model_validate(response.json)
    data: list[dict[str, Any]] = response.json["data"]
    return data


# --- Suppressions


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, (None, None, True)),
        ({"sender": SENDER}, (SENDER, None, False)),
        ({"sender": "ACME"}, ("ACME", None, False)),
        ({"messaging_service_sid": SERVICE}, (None, SERVICE, False)),
    ],
)
def test_somebody_can_be_suppressed_for_one_sender_or_all(
    api: Api, fields: dict[str, str], shown: tuple[str | None, str | None, bool]
) -> None:
    answer = add(api, **fields)

    assert (answer["sender"], answer["messaging_service_sid"], answer["every_sender"]) == shown
    assert (answer["recipient"], answer["active"], answer["source"]) == (PHONE, True, "operator")
    assert answer["note"] == "asked us"
    assert answer["history"][0]["by_key"] == api.key[:14]
    refused = api.post(
        {"to": PHONE, "body": "hi", "from": fields.get("sender", SENDER)}
        | ({"messaging_service_sid": SERVICE} if "messaging_service_sid" in fields else {})
    )
    problem(refused, 422, "recipient_opted_out")


def test_a_new_one_has_an_address(api: Api) -> None:
    response = api.post({"recipient": PHONE, "note": "n"}, path="/sms/suppressions")

    assert response.status_code == 201
    assert api.get(response.headers["Location"]).json == response.json


def test_adding_it_again_keeps_the_first_reason_and_the_second_note(api: Api) -> None:
    first = add(api, note="first")
    response = api.post({"recipient": PHONE, "note": "second"}, path="/sms/suppressions")

    assert response.status_code == 200
    assert response.json is not None
    assert (response.json["id"], response.json["note"]) == (first["id"], "first")
    assert [line["note"] for line in response.json["history"]] == ["second", "first"]


def test_lifting_it_opens_the_way_and_keeps_why(api: Api) -> None:
    suppression_id = add(api)["id"]

    lifted = lift(api, suppression_id)

    assert (lifted["active"], lifted["note"]) == (False, "signed up again")
    assert [(line["suppresses"], line["note"]) for line in lifted["history"]] == [
        (False, "signed up again"),
        (True, "asked us"),
    ]
    assert listed(api) == []
    assert api.send(to=PHONE)["status"] == "pending"


def test_lifting_it_twice_changes_nothing(api: Api) -> None:
    suppression_id = add(api)["id"]
    lift(api, suppression_id)

    again = lift(api, suppression_id, note="again")

    assert (again["note"], len(again["history"])) == ("signed up again", 2)


def test_an_operator_lifts_what_another_clock_dates_later(api: Api) -> None:
    suppression_id = add(api)["id"]
    future = OptOutEvidence(PHONE, ["*"], True, OptOutSource.INBOUND, api.rt.clock() + timedelta(minutes=5))
    with api.rt.sessions.begin() as session:
        suppressions.record(session, [future], now=api.rt.clock())

    assert lift(api, suppression_id)["active"] is False


def test_a_list_can_be_narrowed(api: Api) -> None:
    everywhere = add(api)["id"]
    by_sender = add(api, sender=SENDER)["id"]
    by_service = add(api, recipient="+442071838750", messaging_service_sid=SERVICE)["id"]
    lifted = add(api, recipient="+442071838751")["id"]
    lift(api, lifted)

    def ids(**query: Any) -> list[str]:
        return [each["id"] for each in listed(api, **query)]

    assert ids() == [everywhere, by_sender, by_service]
    assert ids(recipient=PHONE) == [everywhere, by_sender]
    assert ids(recipient=" 14155552671") == [everywhere, by_sender]  # a plus sign that was not escaped
    assert ids(sender=SENDER) == [by_sender]
    assert ids(sender=SERVICE) == [by_service]
    assert ids(status="lifted") == [lifted]
    assert ids(status="all") == [everywhere, by_sender, by_service, lifted]
    assert ids(source="inbound") == []


def test_a_list_comes_in_pages_that_miss_nothing(api: Api) -> None:
    wanted = [add(api, recipient=f"+4420718387{number:02}")["id"] for number in range(5)]
    seen: list[str] = []
    path: str | None = "/sms/suppressions?limit=2"
    while path:
        response = api.get(path)
        assert response.json is not None
        seen += [each["id"] for each in response.json["data"]]
        link = response.headers.get("Link")
        path = link.partition(">")[0].removeprefix("<") if link else None

    assert seen == wanted


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ({"recipient": "12", "note": "n"}, {"/recipient": "invalid"}),
        ({"recipient": PHONE, "note": ""}, {"/note": "too_short"}),
        ({"recipient": PHONE, "note": "x" * 501}, {"/note": "too_long"}),
        ({"recipient": PHONE, "note": "n\x00"}, {"/note": "invalid"}),
        ({"recipient": PHONE, "note": "n", "sender": "?"}, {"/sender": "invalid"}),
        ({"recipient": PHONE, "note": "n", "colour": "red"}, {"/colour": "unknown_field"}),
        (
            {"recipient": PHONE, "note": "n", "sender": SENDER, "messaging_service_sid": SERVICE},
            {"": "invalid"},
        ),
    ],
)
def test_every_fault_of_a_request_is_named(
    api: Api, document: dict[str, Any], pointers: dict[str, str]
) -> None:
    assert faults(api.post(document, path="/sms/suppressions")) == pointers


@pytest.mark.parametrize(
    "query", [{"colour": "red"}, {"status": "gone"}, {"cursor": "x"}, {"limit": 0}, {"recipient": "1"}]
)
def test_unknown_and_faulty_filters_are_refused(api: Api, query: dict[str, Any]) -> None:
    assert set(faults(api.get("/sms/suppressions", **query))) == {f"?{next(iter(query))}"}


@pytest.mark.parametrize("name", ["unknown", "sup_" + "0" * 32, "msg_" + "0" * 32])
def test_what_is_not_there_is_not_found(api: Api, name: str) -> None:
    problem(api.get(f"/sms/suppressions/{name}"), 404, "suppression_not_found")
    problem(api.post({"note": "n"}, path=f"/sms/suppressions/{name}/lift"), 404, "suppression_not_found")
    problem(api.get(f"/sms/inbound/{name}"), 404, "inbound_not_found")


def test_an_export_has_what_holds(api: Api) -> None:
    add(api, note='asked, "please"')
    add(api, recipient="+442071838750", messaging_service_sid=SERVICE)
    lift(api, add(api, recipient="+442071838751")["id"])

    response = api.get("/sms/suppressions/export.csv")

    assert response.content_type == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(StringIO(response.text)))
    assert [(row["recipient"], row["sender"], row["note"], row["source"]) for row in rows] == [
        (PHONE, "", 'asked, "please"', "operator"),
        ("+442071838750", SERVICE, "asked us", "operator"),
    ]


def test_an_export_of_nothing_is_its_first_line(api: Api) -> None:
    assert api.get("/sms/suppressions/export.csv").text == "recipient,sender,note,source,since\r\n"


# --- Inbound texts


def text(api: Api, body: str, number: int = 0, **parameters: str) -> str:
    """Store a text as a worker would, `number` minutes after the first; return its id."""
    form = {"MessageSid": f"SM{new_id().hex}", "From": PHONE, "To": SENDER, "Body": body} | parameters
    came = Callback(
        receipt_id=new_id(),
        kind="inbound",
        target=None,
        body=urlencode(form),
        idempotency_token=None,
        received_at=START + timedelta(minutes=number),
    )
    with api.rt.sessions.begin() as session:
        assert inbound.add(session, inbound_from(came.body), receipt=came)
    return f"in_{came.receipt_id.hex}"


def found(api: Api, **query: Any) -> list[str]:
    response = api.get("/sms/inbound", **query)
    assert response.status_code == 200, response.text
    schemas.InboundList.model_validate(response.json)
    return [each["id"] for each in response.json["data"]]


def test_a_text_can_be_read(api: Api) -> None:
    text_id = text(
        api, "Grüße 👋", MessagingServiceSid=SERVICE, NumMedia="1", MediaUrl0="https://api.twilio.com/cat"
    )

    document = api.get(f"/sms/inbound/{text_id}").json

    assert document is not None
    schemas.InboundMessage.model_validate(document)
    assert (document["id"], document["from"], document["to"], document["body"]) == (
        text_id,
        PHONE,
        SENDER,
        "Grüße 👋",
    )
    assert (document["messaging_service_sid"], document["keyword"]) == (SERVICE, None)
    assert document["media_urls"] == ["https://api.twilio.com/cat"]
    assert document["received_at"] == "2026-11-23T12:00:00.000Z"


@pytest.mark.parametrize(
    ("body", "kind", "keyword"), [("stop", "", "STOP"), ("help", "", "HELP"), ("ARRET", "STOP", "STOP")]
)
def test_its_keyword_is_named(api: Api, body: str, kind: str, keyword: str) -> None:
    text_id = text(api, body, OptOutType=kind)

    document = api.get(f"/sms/inbound/{text_id}").json

    assert document is not None
    assert document["keyword"] == keyword


def test_texts_are_listed_newest_first_and_filtered(api: Api) -> None:
    first = text(api, "one")
    second = text(api, "two", 1, From="+442071838750", MessagingServiceSid=SERVICE)
    third = text(api, "three", 2, To="+15005550007")

    assert found(api) == [third, second, first]
    assert found(api, **{"from": "+442071838750"}) == [second]
    assert found(api, to="+15005550007") == found(api, to=" 15005550007") == [third]
    assert found(api, messaging_service_sid=SERVICE) == [second]
    assert found(api, received_from="2026-11-23T12:01:00Z", received_until="2026-11-23T12:02:00Z") == [second]


def test_texts_come_in_pages_that_miss_nothing(api: Api) -> None:
    ids = [text(api, str(number)) for number in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        page = api.get("/sms/inbound", limit=2, **({"cursor": cursor} if cursor else {})).json
        assert page is not None
        seen += [each["id"] for each in page["data"]]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            break

    assert seen == ids[::-1]


@pytest.mark.parametrize(
    "query", [{"colour": "red"}, {"cursor": "sup_" + "0" * 32}, {"limit": 201}, {"received_from": "x"}]
)
def test_faulty_filters_of_texts_are_refused(api: Api, query: dict[str, Any]) -> None:
    assert set(faults(api.get("/sms/inbound", **query))) == {f"?{next(iter(query))}"}


def test_texts_are_forgotten_when_their_time_is_over_and_opt_outs_are_not(api: Api) -> None:
    old, kept = text(api, "STOP"), text(api, "hello", 60 * 24 * 2)
    add(api)
    soon = replace(
        api.rt,
        settings=api.rt.settings.model_copy(update={"keep_inbound": timedelta(days=2)}),
        clock=lambda: START + timedelta(days=3),
    )

    assert forget_inbound(api.rt) == 0  # unless asked, everything is kept
    assert (forget_inbound(soon), forget_inbound(soon)) == (1, 0)

    assert found(api) == [kept]
    problem(api.get(f"/sms/inbound/{old}"), 404, "inbound_not_found")
    assert len(listed(api)) == 1


def test_no_note_is_needed_to_add_or_lift(api: Api) -> None:
    added = api.post({"recipient": PHONE}, path="/sms/suppressions")
    lifted = api.post({}, path=f"/sms/suppressions/{added.json['id']}/lift")

    assert (added.status_code, lifted.status_code) == (201, 200)
    assert [line["note"] for line in lifted.json["history"]] == [None, None]
