"""Stored templates, over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from smsapp.config import Settings
from smsapp.templates.schemas import TemplateDocument, TemplateList
from tests.support.web import TO, Api, faults, problem, serving


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def add(api: Api, name: str, body: str) -> TestResponse:
    return api.post({"name": name, "body": body}, path="/sms/templates")


def shown(response: TestResponse, status: int = 200) -> dict[str, Any]:
    assert response.status_code == status, response.text
    TemplateDocument.model_validate_json(response.data)
    document: dict[str, Any] = response.json
    return document


def test_a_template_has_versions_that_never_change(api: Api) -> None:
    first = shown(add(api, "order", "Order {{number}}"), 201)
    second = shown(
        api.post({"body": "Your order {{id}}, {{name}}"}, path="/sms/templates/order/versions"), 201
    )

    assert (first["version"], first["placeholders"]) == (1, ["number"])
    assert (second["version"], second["placeholders"]) == (2, ["id", "name"])
    assert shown(api.get("/sms/templates/order")) == second
    assert shown(api.get("/sms/templates/order", version=1)) == first
    versions = api.get("/sms/templates/order/versions", limit=1)
    assert versions.json["data"] == [second]
    older = api.get("/sms/templates/order/versions", limit=1, cursor=versions.json["next_cursor"])
    assert (older.json["data"], older.json["has_more"]) == ([first], False)


def test_templates_are_listed_by_name(api: Api) -> None:
    for name in ("b", "a", "c"):
        add(api, name, f"Text {name}")

    page = api.get("/sms/templates", limit=2)
    TemplateList.model_validate_json(page.data)
    rest = api.get("/sms/templates", cursor=page.json["next_cursor"])

    assert [item["name"] for item in page.json["data"] + rest.json["data"]] == ["a", "b", "c"]


def test_a_removed_template_is_gone_and_its_name_free(api: Api) -> None:
    add(api, "order", "One")

    assert (
        api.client.delete("/sms/templates/order", headers={"Authorization": f"Bearer {api.key}"}).status_code
        == 204
    )
    problem(api.get("/sms/templates/order"), 404, "template_not_found")
    problem(api.get("/sms/templates/order/versions"), 404, "template_not_found")
    problem(api.post({"body": "x"}, path="/sms/templates/order/versions"), 404, "template_not_found")
    assert shown(add(api, "order", "Two"), 201)["version"] == 1


def test_faults_are_named(api: Api) -> None:
    add(api, "order", "One")

    problem(add(api, "order", "Two"), 409, "template_exists")
    assert faults(add(api, "Order!", "x")) == {"/name": "invalid"}
    assert faults(add(api, "x", "{{")) == {"/body": "lone_braces"}
    assert faults(api.post({"body": "{{}}"}, path="/sms/templates/order/versions")) == {
        "/body": "bad_placeholder"
    }
    assert faults(api.post({"name": "x"}, path="/sms/templates")) == {"/body": "required"}
    problem(api.get("/sms/templates/order", version=2), 404, "template_not_found")
    assert faults(api.get("/sms/templates/order/versions", cursor="x")) == {"?cursor": "invalid"}


def test_a_job_keeps_the_words_of_the_version_it_was_made_of(api: Api) -> None:
    add(api, "order", "First {{n}}")
    api.post({"body": "Second {{n}}"}, path="/sms/templates/order/versions")

    def job(**options: Any) -> dict[str, Any]:
        rows = [{"to": "+14155552671", "n": "1"}]
        answer = api.post({"template": "order", "rows": rows, **options}, path="/sms/jobs")
        assert answer.status_code == 201, answer.text
        document: dict[str, Any] = answer.json
        return document

    newest, old = job(), job(template_version=1)

    assert (newest["body"], newest["template"], newest["template_version"]) == ("Second {{n}}", "order", 2)
    assert (old["body"], old["template_version"]) == ("First {{n}}", 1)
    unknown = api.post({"template": "order", "template_version": 3, "rows": []}, path="/sms/jobs")
    assert faults(unknown) == {"/template": "unknown"}


# --- A single text from a template


def test_a_text_is_made_of_a_template_and_values(api: Api) -> None:
    add(api, "order", "Order {{id}} for {{ first name }}: {{id}}")
    api.post({"body": "Newest, {{id}}"}, path="/sms/templates/order/versions")
    values = {"id": 7, "\u200bfirst\u00a0name": "{{id}}", "unused": None}

    newest = api.send(body=None, template="order", values=values)
    old = api.send(body=None, template="order", template_version=1, values=values)
    plain = api.send(body="{{id}}")

    assert newest["body"] == "Newest, 7"
    assert (old["body"], old["segments"]) == ("Order 7 for {{id}}: 7", 1)
    assert plain["body"] == "{{id}}", "a body is taken as it is"
    assert api.stored(old["id"]).body == old["body"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"/values/a": "missing_value", "/values/b": "missing_value"}),
        ({"values": {"a": " ", "b": "x"}}, {"/values/a": "missing_value"}),
        ({"values": {"a": None, "b": "x"}}, {"/values/a": "missing_value"}),
        ({"values": {"a": True, "b": 1.5}}, {"/values/a": "wrong_type", "/values/b": "wrong_type"}),
        ({"values": {"a": "\0", "b": "x"}}, {"/values/a": "invalid"}),
        ({"values": {"a": "x" * 1600, "b": "x"}}, {"/values": "text_too_long"}),
        ({"values": {"a": "x", "\u200ba": "y", "b": "x"}}, {"/values": "repeated"}),
        ({"values": {"a": "\u200b", "b": "x"}}, {"/values/a": "missing_value"}),
        ({"values": []}, {"/values": "wrong_type"}),
        ({"template_version": 2}, {"/template": "unknown"}),
        ({"template": "other"}, {"/template": "unknown"}),
        ({"template": "Other!"}, {"/template": "invalid"}),
        ({"body": "hello"}, {"/body": "invalid"}),
        ({"template": None}, {"/body": "required"}),
        ({"template": None, "body": "x", "values": {}}, {"/values": "invalid"}),
        ({"template": None, "body": "x", "template_version": 1}, {"/template_version": "invalid"}),
    ],
)
def test_what_is_wrong_with_a_text_from_a_template_is_named(
    api: Api, fields: dict[str, Any], expected: dict[str, str]
) -> None:
    add(api, "both", "{{a}}{{b}}")
    document = {"to": TO, "template": "both"} | fields

    assert faults(api.post(document)) == expected
    assert faults(api.post(document | {"dry_run": True})) == expected


def test_a_repeated_request_gets_its_answer_whatever_became_of_the_template(api: Api) -> None:
    add(api, "order", "One")
    key = {"Idempotency-Key": "k"}
    text: dict[str, Any] = {"to": TO, "template": "order"}
    job = {"template": "order", "rows": [{"to": TO}]}
    first = api.post(text, headers=key), api.post(job, path="/sms/jobs", headers={"Idempotency-Key": "j"})
    api.client.delete("/sms/templates/order", headers={"Authorization": f"Bearer {api.key}"})

    again = api.post(text, headers=key), api.post(job, path="/sms/jobs", headers={"Idempotency-Key": "j"})

    assert [answer.json for answer in again] == [answer.json for answer in first]
    assert [answer.headers["Idempotent-Replayed"] for answer in again] == ["true", "true"]
    problem(api.post(text | {"values": {}}, headers=key), 422, "idempotency_key_reused")
    assert faults(api.post(text)) == {"/template": "unknown"}
