"""The API document: complete in itself, true to what the service does, and readable without the network."""

import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from werkzeug.test import TestResponse

from dev import vendor
from smsapp.config import Settings
from smsapp.health import schemas as health_schemas
from smsapp.keys.scopes import Scope
from smsapp.messages import schemas
from smsapp.web import schemas as web_schemas
from smsapp.web.plain_http import SECURITY_HEADERS
from tests.support.web import TO, Api, serving

Document = dict[str, Any]
UNSAID = {"Content-Type", "Content-Length", "Allow", *SECURITY_HEADERS}
"""Headers that HTTP has everywhere."""

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


@pytest.fixture
def document(api: Api) -> Document:
    response = api.client.get("/openapi.json")
    assert response.content_type == "application/json"
    found: Document = response.json
    return found


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Yield path, method and operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def follow(document: Document, node: Document) -> Document:
    """Return what a node is, or what it refers to."""
    while "$ref" in node:
        target: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_it_is_openapi_3_1_without_loose_ends(document: Document) -> None:
    assert document["openapi"] == "3.1.0"
    assert {"title", "version", "description", "license"} <= set(document["info"])
    for reference in set(references(document)):
        assert follow(document, {"$ref": reference}), reference
    named = {
        f"#/components/{kind}/{name}" for kind, parts in document["components"].items() for name in parts
    }
    unused = named - set(references(document))
    assert unused == {
        "#/components/securitySchemes/BearerAuth",
        "#/components/securitySchemes/TwilioSignature",
    }


def test_every_operation_is_named_tagged_and_answered(document: Document) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    names = [operation["operationId"] for _, _, operation in operations(document)]

    assert len(set(names)) == len(names)
    assert {"sendMessage", "getMessage", "listMessages", "listMessageEvents"} <= set(names)
    for path, _, operation in operations(document):
        assert re.fullmatch("[a-z]+([A-Z][a-z]+)+", operation["operationId"])
        assert operation["summary"]
        assert set(operation["tags"]) <= tags
        parameters = [follow(document, parameter) for parameter in operation.get("parameters", [])]
        assert {p["name"] for p in parameters if p["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
        assert all(p.get("required") for p in parameters if p["in"] == "path")
        for answer in operation["responses"].values():
            assert follow(document, answer)["description"]


def test_links_lead_from_what_was_made_to_what_can_be_done_with_it(document: Document) -> None:
    addresses = {operation["operationId"]: path for path, _, operation in operations(document)}
    found = {
        (operation["operationId"], name): link
        for _, _, operation in operations(document)
        for response in operation["responses"].values()
        for name, link in response.get("links", {}).items()
    }

    assert {name for source, name in found if source == "sendMessage"} == {
        "getMessage", "cancelMessage", "eraseMessage", "listMessageEvents", "listMessageDeliveries"
    }  # fmt: skip
    for link in found.values():
        assert set(link["parameters"]) <= set(re.findall(r"{(\w+)}", addresses[link["operationId"]]))
    supplied = {link["operationId"] for link in found.values()}
    by_callers = {name for name, path in addresses.items() if "{" in path and path.startswith("/sms")}
    assert supplied == by_callers


def test_schemas_have_names_that_every_language_can_use(document: Document) -> None:
    assert [
        name for name in document["components"]["schemas"] if not re.fullmatch("[A-Z][A-Za-z]+", name)
    ] == []


def test_it_has_every_address_and_no_other(api: Api, document: Document) -> None:
    hidden = {"static", "openapi", "docs", "security_txt"}
    served = {
        (re.sub(r"<(?:[^:>]+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in api.app.url_map.iter_rules()
        if rule.endpoint not in hidden
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert {(path, method) for path, method, _ in operations(document)} == served


def test_it_says_who_may_ask(document: Document) -> None:
    for path, _, operation in operations(document):
        expected = {
            "/sms": [[{"BearerAuth": [scope]}] for scope in Scope],  # one of them, which the key must have
            "/twi": [[{"TwilioSignature": []}]],
        }.get(path[:4], [None])
        assert operation.get("security") in expected
        problem_statuses = {status for status in operation["responses"] if status in {"401", "403"}}
        assert problem_statuses == {"/sms": {"401", "403"}, "/twi": {"403"}}.get(path[:4], set())
    assert document["components"]["securitySchemes"]["BearerAuth"]["scheme"] == "bearer"
    assert document["components"]["securitySchemes"]["TwilioSignature"]["name"] == "X-Twilio-Signature"


def test_it_describes_the_headers_that_go_in(document: Document) -> None:
    def headers(operation: Document) -> set[str]:
        parameters = [follow(document, parameter) for parameter in operation.get("parameters", [])]
        return {parameter["name"] for parameter in parameters if parameter["in"] == "header"}

    found = {operation["operationId"]: headers(operation) for _, _, operation in operations(document)}

    assert found["sendMessage"] == {"Idempotency-Key", "X-Request-Id"}
    assert found["getMessage"] == {"X-Request-Id"}
    assert found["takeStatusCallback"] == set()


def test_no_parameter_of_a_query_can_be_null(document: Document) -> None:
    for _, _, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert "null" not in json.dumps(parameter)


def described(document: Document, response: TestResponse, path: str, method: str = "get") -> Document:
    """Return what the document says about a response, which must be all that there is to say."""
    answers = document["paths"][path][method]["responses"]
    assert str(response.status_code) in answers, response.text
    answer = follow(document, answers[str(response.status_code)])
    assert set(response.headers.keys()) - UNSAID <= set(answer.get("headers", {}))
    content = answer.get("content", {})
    media_type = response.content_type.partition(";")[0] if response.content_type else None
    assert (media_type in content) if media_type else not content
    return answer


def test_the_service_answers_as_it_says(api: Api, document: Document) -> None:
    first = api.post({"to": TO, "body": "x"}, headers={"Idempotency-Key": "k"})
    again = api.post({"to": TO, "body": "x"}, headers={"Idempotency-Key": "k"})
    message = first.json["id"]
    send, one, events = "/sms/send", "/sms/messages/{message_id}", "/sms/messages/{message_id}/events"
    api.send()

    answers = [
        (send, "post", first),
        (send, "post", again),
        (send, "post", api.post({"to": TO, "body": "y"}, headers={"Idempotency-Key": "k"})),
        (send, "post", api.post({})),
        (send, "post", api.post(data=b"x", content_type="text/plain")),
        (send, "post", api.post(data=b"x" * 70_000)),
        (send, "post", api.client.post("/sms/send")),
        (one, "get", api.get(f"/sms/messages/{message}")),
        (one, "get", api.get("/sms/messages/unknown")),
        (one, "get", api.get(f"/sms/messages/{message}", wait=-1)),
        (events, "get", api.get(f"/sms/messages/{message}/events")),
        ("/sms/messages", "get", api.get("/sms/messages", limit=1)),
        ("/sms/messages", "get", api.get("/sms/messages", limit=0)),
        ("/livez", "get", api.client.get("/livez")),
        ("/readyz", "get", api.client.get("/readyz")),
        ("/metrics", "get", api.client.get("/metrics")),
    ]

    statuses = [response.status_code for _, _, response in answers]
    assert statuses == [202, 202, 422, 400, 415, 413, 401, 200, 404, 400, 200, 200, 400, 200, 200, 200]
    for path, method, response in answers:
        described(document, response, path, method)
    assert "Link" in answers[11][2].headers


def test_answers_have_exactly_the_fields_that_are_described(api: Api) -> None:
    message = api.send()
    page, events = api.get("/sms/messages").json, api.get(f"/sms/messages/{message['id']}/events").json
    refused = api.post({}).json

    def fields(model: type[schemas.BaseModel]) -> set[str]:
        return set(model.model_json_schema(mode="serialization")["properties"])

    assert set(message) == set(page["data"][0]) == fields(schemas.Message)
    assert set(page) == fields(schemas.MessageList)
    assert set(events["data"][0]) == fields(schemas.Event)
    assert set(events) == fields(schemas.EventList)
    assert set(refused) == fields(web_schemas.Problem)
    assert set(refused["errors"][0]) == fields(web_schemas.ProblemFault)
    assert set(api.client.get("/readyz").json) == fields(health_schemas.Readiness)


class Page(HTMLParser):
    """Collects what a page loads and what a strict policy forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [given[name] or "" for name in ("src", "href", "data-url") if name in given]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)


def test_the_reference_needs_nobody_else_and_no_exception_from_its_policy(api: Api) -> None:
    response = api.client.get("/docs")
    page = Page()
    page.feed(response.text)
    policy = response.headers["Content-Security-Policy"]

    assert "unsafe" not in policy
    assert re.findall(r"\w+://", policy) == []
    assert policy.startswith("default-src 'none'")
    assert page.inline == []
    assert len(page.loads) == 5
    for address in page.loads:
        assert address.startswith("/")
        assert api.client.get(address, buffered=True).status_code == 200


def test_what_the_reference_loads_is_what_was_pinned(api: Api) -> None:
    about = json.loads((vendor.FOLDER / "VENDOR.json").read_text())
    served = {
        path.name: hashlib.sha256(
            api.client.get(f"/static/vendor/{path.name}", buffered=True).data
        ).hexdigest()
        for path in vendor.FOLDER.iterdir()
        if path.name != "VENDOR.json"
    }

    assert (about["name"], about["version"]) == (vendor.PACKAGE, vendor.VERSION)
    assert set(served) == set(vendor.FILES)
    assert served == about["sha256"]


def test_metrics_count_requests_by_where_and_how_they_ended(api: Api) -> None:
    api.get("/sms/messages/unknown")

    assert (
        'smsapp_request_seconds_count{endpoint="messages.show",status="404"}'
        in api.client.get("/metrics").text
    )
